"""The routes of the API, below its version; `openapi.json` describes them."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from klein import Klein
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.http import Request

from mta.admin.api.answers import JSON_TYPE, PartsWriter, error_answer, json_answer, set_head, told_error
from mta.admin.api.errors import BAD_REQUEST, NOT_FOUND, WRONG_TYPE, ApiError
from mta.admin.api.events import FollowedEvents
from mta.admin.api.questions import Questions
from mta.admin.state import RelayState
from mta.admin.wire import relay as objects
from mta.admin.wire.fields import seconds_of
from mta.admin.wire.findings import last_run_object
from mta.admin.wire.messages import entry_object, shape_object, summary_object
from mta.admin.wire.questions import read_choice, read_query, read_whole_id, read_words
from mta.queue.ids import prefix_range
from mta.queue.interface import Entry, Query, QueueId, Status
from mta.queue.search.conditions import Conditions
from mta.queue.search.matching import for_order

T = TypeVar("T")
#: Returns the operator that sends a request, for the log; the text is the name that an order gives. Raises ApiError.
Authorize = Callable[[Request, str], Awaitable[str]]

#: Messages that are read at a time.
PART = 100
#: Parameters of a request.
MAX_PARAMETERS = 1000
_WHOLE_ID = 13
_DESCRIPTION = Path(__file__).with_name("openapi.json")


class Api:
    """Answers the requests for one relay."""

    app = Klein()

    def __init__(
        self, state: RelayState, authorize: Authorize, clock: IReactorTime, wall_clock: Callable[[], float]
    ) -> None:
        self._state = state
        self._authorize = authorize
        self._clock = clock
        self._wall_clock = wall_clock
        self._questions = Questions(clock)

    async def _ask(self, question: Coroutine[Any, Any, T]) -> T:
        return await self._questions.ask(question)

    @app.route("/about", methods=["GET"])
    async def about(self, request: Request) -> bytes:
        """Answer with the relay itself."""
        words(request)
        return json_answer(request, objects.about_object(await self._ask(self._state.about())))

    @app.route("/openapi.json", methods=["GET"])
    async def description(self, request: Request) -> bytes:
        """Answer with the description of the API."""
        words(request)
        set_head(request, JSON_TYPE)
        return _DESCRIPTION.read_bytes()

    # Messages

    @app.route("/messages", methods=["GET"])
    async def messages(self, request: Request) -> bytes:
        """Answer with the messages of a query, and the cursor of the next ones."""
        query = read_query(words(request, any_word=True), self._wall_clock())
        return await self._stream(request, self._messages(query))

    async def _messages(self, query: Query) -> AsyncIterator[str]:
        yield '{"messages": ['
        left, last = query.limit, None
        async for entry in self._found(replace(query, limit=query.limit + 1)):
            if not left:
                break
            yield (",\n" if last else "") + json.dumps(entry_object(entry))
            left, last = left - 1, entry.id
        else:
            last = None
        yield f'],\n"next": {json.dumps(last)}}}\n'

    async def _found(self, query: Query) -> AsyncIterator[Entry]:
        """Yield the messages of a query, of which PART are in memory."""
        left = query.limit
        while left > 0:
            wanted = min(PART, left)
            entries = await self._ask(self._state.find(replace(query, limit=wanted)))
            for entry in entries:
                yield entry
            if len(entries) < wanted:
                return
            left -= wanted
            last = entries[-1].id
            query = replace(query, before=last) if query.newest_first else replace(query, after=last)

    @app.route("/messages/count", methods=["GET"])
    async def count(self, request: Request) -> bytes:
        """Answer with the number of messages that meet conditions."""
        given = words(request, any_word=True)
        finished = read_choice(given, "history")
        conditions = self._conditions(given, "history")
        number = await self._ask(self._state.count(conditions, finished=finished))
        return json_answer(request, {"count": number})

    @app.route("/messages/ids", methods=["GET"])
    async def ids(self, request: Request) -> bytes:
        """Answer with the ids of the waiting messages that meet conditions."""
        conditions = self._conditions(words(request, any_word=True))
        return await self._list(request, "ids", await self._ask(self._state.select(conditions)))

    @app.route("/messages/<id>", methods=["GET"])
    async def message(self, request: Request, id: str) -> bytes:
        """Answer with one message, its attempts, and the reason for which it waits."""
        words(request)
        whole = await self._whole_id(id)
        entries = await self._ask(self._state.find(Query([whole], finished=True, details=True)))
        if not entries:
            raise _no_message(id)
        entry = entries[0]
        waits = any(each.status is Status.WAITING for each in entry.recipients)
        reason = await self._ask(self._state.waits_for(whole)) if waits else ""
        return json_answer(request, entry_object(entry, reason))

    @app.route("/messages/<id>/content", methods=["GET"])
    async def content(self, request: Request, id: str) -> bytes:
        """Answer with the octets of a waiting message."""
        words(request)
        octets = await self._ask(self._state.content(await self._whole_id(id)))
        if octets is None:
            raise ApiError(NOT_FOUND, f"no message {id} is in the queue")
        set_head(request, b"message/rfc822")
        # A browser must not show a stranger's message as a page of this site.
        request.setHeader(b"Content-Disposition", b"attachment")
        request.setHeader(b"Content-Length", str(len(octets)).encode())
        return octets

    async def _whole_id(self, id: str) -> QueueId:
        """Return the whole id for one that may be abbreviated. Raises ApiError."""
        if len(id) >= _WHOLE_ID:
            return read_whole_id(id)
        if prefix_range(id.lower()) is None:
            raise ApiError(BAD_REQUEST, f"not a queue id: {id!r}")
        query = Query(finished=True, limit=2, conditions=Conditions(ids=(id,)))
        found = await self._ask(self._state.find(query))
        if len(found) > 1:
            raise ApiError(BAD_REQUEST, f"the ids of several messages begin with {id}: give more of it")
        if not found:
            raise _no_message(id)
        return found[0].id

    # The relay

    @app.route("/domains", methods=["GET"])
    async def domains(self, request: Request) -> bytes:
        """Answer with the waiting recipients by domain."""
        words(request)
        return await self._list(request, "domains", map(shape_object, await self._ask(self._state.domains())))

    @app.route("/summary", methods=["GET"])
    async def summary(self, request: Request) -> bytes:
        """Answer with the counts of messages and recipients."""
        words(request)
        return json_answer(request, summary_object(await self._ask(self._state.summary())))

    @app.route("/destinations", methods=["GET"])
    async def destinations(self, request: Request) -> bytes:
        """Answer with the destinations that the delivery knows."""
        words(request)
        found = await self._ask(self._state.destinations())
        return await self._list(request, "destinations", map(objects.destination_object, found))

    @app.route("/settings", methods=["GET"])
    async def settings(self, request: Request) -> bytes:
        """Answer with the settings in force."""
        words(request)
        found = await self._ask(self._state.settings())
        return await self._list(request, "settings", map(objects.setting_object, found))

    @app.route("/rules", methods=["GET"])
    async def rules(self, request: Request) -> bytes:
        """Answer with the rules in force."""
        words(request)
        return await self._list(request, "rules", map(objects.rule_object, await self._ask(self._state.rules())))

    @app.route("/traffic", methods=["GET"])
    async def traffic(self, request: Request) -> bytes:
        """Answer with the minutes that have mail."""
        given = words(request, "since")
        since = _since(given.get("since", ())) if "since" in given else self._wall_clock() - 86400
        found = await self._ask(self._state.traffic(since))
        return await self._list(request, "traffic", map(objects.minute_object, found))

    @app.route("/alarms", methods=["GET"])
    async def alarms(self, request: Request) -> bytes:
        """Answer with the last alarms and troubles."""
        words(request)
        return await self._list(request, "alarms", map(objects.event_object, await self._ask(self._state.alarms())))

    @app.route("/doctor", methods=["GET"])
    async def doctor(self, request: Request) -> bytes:
        """Answer with the findings of the last `smtprelay doctor`."""
        words(request)
        return json_answer(request, last_run_object(await self._ask(self._state.findings())))

    @app.route("/events", methods=["GET"])
    async def events(self, request: Request) -> bytes:
        """Answer with the events that meet conditions, as they happen, without an end."""
        conditions = self._conditions(words(request, any_word=True))
        return await FollowedEvents(request, self._clock, conditions).run(self._state)

    # Orders

    @app.route("/orders", methods=["POST"])
    async def orders(self, request: Request) -> bytes:
        """Carry out an order; answer when it is on disk."""
        words(request)
        if (request.getHeader(b"content-type") or b"").partition(b";")[0].strip().lower() != JSON_TYPE:
            raise ApiError(WRONG_TYPE, "an order is JSON: send Content-Type: application/json")
        assert request.content is not None
        order, conditions = objects.read_order_request(read_json(request.content.read()))
        order = replace(order, by=await self._authorize(request, order.by))
        if conditions is not None:
            wanted = for_order(order.action, self._conditions(conditions))
            order = replace(order, ids=tuple(await self._ask(self._state.select(wanted))))
        result = await self._questions.ask(self._state.order(order), limited=False)
        return json_answer(request, objects.result_object(result))

    def _conditions(self, given: Mapping[str, list[str]], *others: str) -> Conditions:
        return read_words({name: texts for name, texts in given.items() if name not in others}, self._wall_clock())

    @app.handle_errors(Exception)
    def failed(self, request: Any, failure: Failure) -> bytes:
        """Answer with an error."""
        return error_answer(request, told_error(failure))

    async def _list(self, request: Request, name: str, values: Iterable[object]) -> bytes:
        """Answer with an object that has a list."""

        async def parts() -> AsyncIterator[str]:
            yield f"{{{json.dumps(name)}: ["
            comma = ""
            for value in values:
                yield comma + json.dumps(value)
                comma = ",\n"
            yield "]}\n"

        return await self._stream(request, parts())

    async def _stream(self, request: Request, parts: AsyncIterator[str]) -> bytes:
        """Write an answer in parts, and return the last one."""
        writer = PartsWriter(request, self._clock)
        try:
            async for part in parts:
                await writer.write(part)
        except CancelledError:
            # The reader is gone.
            raise
        except Exception:
            if writer.begun:
                told_error(Failure())
                await writer.break_off()
            raise
        return writer.end()


def words(request: Request, *allowed: str, any_word: bool = False) -> dict[str, list[str]]:
    """Return the parameters of a request. Raises ApiError if there are others, or too many."""
    args: Mapping[bytes, list[bytes]] = request.args or {}
    if sum(map(len, args.values())) > MAX_PARAMETERS:
        raise ApiError(BAD_REQUEST, f"more than {MAX_PARAMETERS} parameters")
    try:
        given = {name.decode(): [text.decode() for text in texts] for name, texts in args.items()}
    except UnicodeDecodeError:
        raise ApiError(BAD_REQUEST, "the parameters are not UTF-8") from None
    unknown = [] if any_word else [name for name in given if name not in allowed]
    if unknown:
        raise ApiError(BAD_REQUEST, f"there is no parameter {unknown[0][:50]!r}")
    return given


def read_json(body: bytes) -> object:
    """Return the value of a body. Raises ApiError."""
    try:
        value: object = json.loads(body.decode())
        if b"\\u" in body:
            # A text may have half of a character, which the queue cannot look for.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise ApiError(BAD_REQUEST, "the body is not JSON, or has half of a character") from None
    return value


def _since(texts: Iterable[str]) -> float:
    text = "".join(texts)
    try:
        return seconds_of(text)
    except (ValueError, OverflowError):
        raise ApiError(BAD_REQUEST, f"since: {text[:50]!r} is not a time such as 2026-11-22T12:00:00Z") from None


def _no_message(id: str) -> ApiError:
    return ApiError(NOT_FOUND, f"no message {id} is in the queue or its history")
