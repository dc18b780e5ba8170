"""The client of the API: a relay that runs, as a RelayState for programs without a reactor."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from mta.admin.client.unix_http import UnixHttp, connect_unix
from mta.admin.socket_path import SOCKET_NAME
from mta.admin.state import (
    About,
    DestinationState,
    DoctorRun,
    LoggedEvent,
    NotRunning,
    Order,
    OrderResult,
    RuleState,
    SettingState,
    StateError,
    TrafficMinute,
)
from mta.admin.wire import messages, relay
from mta.admin.wire.fields import Fields, WireError, time_text
from mta.admin.wire.findings import read_last_run
from mta.admin.wire.questions import MAX_MESSAGES, MAX_PAGE, Words, condition_words, query_words
from mta.queue.entries import DomainShape, Entry, Query, QueueId, Summary
from mta.queue.search.conditions import ANY, Conditions

T = TypeVar("T")
_API = "/api/v1"
#: Messages of one request with an order, so that each is answered in time.
ORDER_IDS = 5000


class ClientState:
    """A RelayState whose methods block, so that their coroutines never wait."""

    def __init__(self, http: UnixHttp) -> None:
        """`client_of` makes one for a queue directory."""
        self._http = http

    async def about(self) -> About:
        """Return the version, the name and the start of the relay."""
        return self._asked("about", relay.read_about)

    async def find(self, query: Query) -> list[Entry]:
        """Return messages in the order that the query asks for, by as many requests as it needs."""
        if len(query.ids) <= MAX_MESSAGES:
            return self._find(query)
        ids = sorted(set(query.ids), reverse=query.newest_first)
        found: list[Entry] = []
        for start in range(0, len(ids), MAX_MESSAGES):
            if (left := query.limit - len(found)) > 0:
                found += self._find(replace(query, ids=ids[start : start + MAX_MESSAGES], limit=left))
        return found

    def _find(self, query: Query) -> list[Entry]:
        found: list[Entry] = []
        while (left := query.limit - len(found)) > 0:
            page = replace(query, limit=min(left, MAX_PAGE))
            entries = self._list("messages", messages.read_entry, query_words(page))
            found += entries
            if len(entries) < page.limit:
                break
            last = entries[-1].id
            query = replace(query, before=last) if query.newest_first else replace(query, after=last)
        return found

    async def count(self, conditions: Conditions, *, finished: bool = False) -> int:
        """Return the number of waiting messages that meet conditions; `finished` adds the history."""
        words = {**condition_words(conditions), "history": ["yes" if finished else "no"]}
        return self._asked("messages/count", lambda value: Fields(value, "a count").whole("count"), words)

    async def select(self, conditions: Conditions) -> list[QueueId]:
        """Return the ids of the waiting messages that meet conditions, in the order of their arrival."""
        return self._list("messages/ids", messages.read_id, condition_words(conditions))

    async def domains(self) -> list[DomainShape]:
        """Return the waiting recipients by domain, most first."""
        return self._list("domains", messages.read_shape)

    async def summary(self) -> Summary:
        """Return the counts of messages and recipients."""
        return self._asked("summary", messages.read_summary)

    async def content(self, id: QueueId) -> bytes | None:
        """Return the octets of a waiting message, or None if the message does not wait."""
        return self._http.octets(f"{_API}/messages/{id}/content")

    async def waits_for(self, id: QueueId) -> str:
        """Return the reason for which a message waits; "" if it is unknown."""
        octets = self._http.octets(f"{_API}/messages/{id}")
        return (
            "" if octets is None else _read(lambda value: Fields(value, "a message").text("waits_for"), _parsed(octets))
        )

    async def order(self, order: Order) -> OrderResult:
        """Apply an order to waiting messages, by as many requests as it needs."""
        ids = order.ids
        if ids is None or len(ids) <= ORDER_IDS:
            return self._order(order)
        done: list[OrderResult] = []
        for start in range(0, len(ids), ORDER_IDS):
            try:
                done.append(self._order(replace(order, ids=ids[start : start + ORDER_IDS])))
            except StateError as error:
                if not done:
                    raise
                done.append(OrderResult((), failure=str(error)))
            if done[-1].failure:
                break
        changed = sorted(id for part in done for id in part.ids)
        return OrderResult(tuple(changed), 0, sum(part.unreported for part in done), done[-1].failure)

    def _order(self, order: Order) -> OrderResult:
        return _read(relay.read_result, self._http.send(f"{_API}/orders", relay.order_object(order)))

    async def destinations(self) -> list[DestinationState]:
        """Return the destinations that the delivery knows now, most waiting first."""
        return self._list("destinations", relay.read_destination)

    async def settings(self) -> Sequence[SettingState]:
        """Return the settings in force, those with an origin first."""
        return self._list("settings", relay.read_setting)

    async def rules(self) -> Sequence[RuleState]:
        """Return the rules in force, in their order."""
        return self._list("rules", relay.read_rule)

    async def traffic(self, since: float) -> Sequence[TrafficMinute]:
        """Return the minutes with mail from then on, oldest first, as far as they are kept."""
        return self._list("traffic", relay.read_minute, {"since": [time_text(since) or ""]})

    async def alarms(self) -> Sequence[LoggedEvent]:
        """Return the last alarms and troubles that the relay logged, newest first."""
        return self._list("alarms", relay.read_event)

    async def findings(self) -> DoctorRun | None:
        """Return the findings of the last `smtprelay doctor`."""
        return self._asked("doctor", read_last_run)

    async def follow(self, receive: Callable[[LoggedEvent], object]) -> Callable[[], None]:
        """Call `receive` for each later event until the relay ends them; the result does nothing."""
        with self.events() as events:
            for event in filter(None, events):
                receive(event)
        return lambda: None

    @contextmanager
    def events(self, conditions: Conditions = ANY) -> Iterator[Iterator[LoggedEvent | None]]:
        """Yield the later events that meet conditions; no event is missed from then on. Raises StateError, TooMany.

        None comes while there are no events, every few seconds. The events end when the relay stops.
        """
        with self._http.lines(f"{_API}/events", condition_words(conditions)) as lines:
            yield _events(lines)

    def _asked(self, target: str, read: Callable[[Any], T], words: Words | None = None) -> T:
        return _read(read, self._http.value(f"{_API}/{target}", words))

    def _list(self, target: str, read: Callable[[Any], T], words: Words | None = None) -> list[T]:
        name = target.rpartition("/")[2]
        return list(self._asked(target, lambda value: Fields(value, "an answer").items(name, read), words))


def client_of(queue_dir: Path) -> ClientState:
    """Return a client for the relay of a queue directory, which need not run. Nothing is asked yet."""
    return ClientState(UnixHttp(queue_dir / SOCKET_NAME))


def is_running(queue_dir: Path) -> bool:
    """Return whether a relay of a queue directory listens to commands. Raises StateError if that cannot be known."""
    path = queue_dir / SOCKET_NAME
    try:
        connect_unix(path).close()
    except NotRunning:
        return False
    except OSError as error:
        raise StateError(f"the relay at {path} cannot be reached: {error.strerror}") from error
    return True


def _events(lines: Iterable[bytes]) -> Iterator[LoggedEvent | None]:
    for line in lines:
        yield _read(relay.read_event, _parsed(line)) if line else None


def _parsed(octets: bytes) -> object:
    try:
        value: object = json.loads(octets)
    except (ValueError, RecursionError):
        raise StateError("a part of the relay's answer is not JSON: is it of another version?") from None
    return value


def _read(read: Callable[[Any], T], value: object) -> T:
    try:
        return read(value)
    except WireError as error:
        raise StateError(f"the answer of the relay is not as expected ({error}): is it of another version?") from None
