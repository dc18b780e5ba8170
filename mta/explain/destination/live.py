"""A destination as the running relay has it, in words. Pure."""

from collections.abc import Iterable, Iterator

from mta.admin.state import DestinationState
from mta.message.dates import short_timestamp
from mta.queue.interface import DomainShape

_UNITS = (("a second", 1.0), ("a minute", 60.0), ("an hour", 3600.0))
_DAY = 86400.0


class LiveIndex:
    """Finds the destinations by which mail for a domain goes, as far as the delivery tells without a look-up."""

    def __init__(self, destinations: Iterable[DestinationState]) -> None:
        self._by_name: dict[str, list[DestinationState]] = {}
        for each in destinations:
            for name in {*each.domains, *each.hosts, each.name}:
                self._by_name.setdefault(name, []).append(each)

    def of(self, shape: DomainShape) -> tuple[DestinationState, ...]:
        """Return the destinations where mail for a domain waits in memory, or else those of the host that replied."""
        return tuple(self._by_name.get(shape.domain) or self._by_name.get(host_name(shape.host)) or ())


def host_name(label: str) -> str:
    """Return the name in the label of a host, `mx.b.test[192.0.2.1]:25`."""
    return label.partition("[")[0].lower()


def live_lines(state: DestinationState) -> Iterator[tuple[str, str]]:
    """Yield the names and the texts of lines about a destination: its connections, and each limit that it has now."""
    yield "open", connection_words(state)
    if state.blocked_until is not None:
        yield "down", down_words(state)
    if state.pace is not None:
        said = f", because it said: {state.throttled_because}" if state.throttled_because else ""
        yield "pace", f"{pace_words(state.pace)}{said}"
    elif state.throttled:
        said = f": {state.throttled_because}" if state.throttled_because else ""
        yield "limit", f"it has refused more connections{said}"
    learned = [
        f"{number} {noun}"
        for number, noun in (
            (state.most_recipients, "recipients in a transaction"),
            (state.most_messages, "messages over a connection"),
        )
        if number is not None
    ]
    if learned:
        yield "learned", f"its hosts take at most {' and '.join(learned)}"
    if state.passed_over:
        yield "avoids", f"{', '.join(state.passed_over)}, which failed or throttled within the last minute"


def connection_words(state: DestinationState) -> str:
    """Return the connections of a destination in words, with the groups that wait for one."""
    waiting = f"; {state.waiting} groups of recipients wait for one" if state.waiting else ""
    busy = f", {state.busy} with a transaction" if state.connections else ""
    return f"{state.connections} of {state.window} connections{busy}{waiting}"


def down_words(state: DestinationState) -> str:
    """Return until when no connection is opened, and why, of a destination that is down."""
    assert state.blocked_until is not None
    times = f"; {state.failures} failures in a row" if state.failures > 1 else ""
    because = f": {state.blocked_because}" if state.blocked_because else ""
    return f"no connection until the probe at {short_timestamp(state.blocked_until)}{because}{times}"


def state_words(state: DestinationState) -> str:
    """Return the state of a destination in a few words for a table: `down`, `paced 2 a minute`, `limited` or `ok`."""
    if state.blocked_until is not None:
        return "down"
    if state.pace is not None:
        return f"paced {pace_words(state.pace)}"
    return "limited" if state.throttled else "ok"


def pace_words(pace: float) -> str:
    """Return messages a second in the unit that an operator would use."""
    for unit, seconds in _UNITS:
        if pace * seconds >= 1:
            return f"{pace * seconds:.3g} {unit}"
    return f"{pace * _DAY:.3g} a day"
