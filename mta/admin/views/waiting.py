"""Waiting mail by destination and age, as tables and bars. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mta.admin.state import DestinationState
from mta.queue.interface import DomainShape

#: The words of each class of age: below each of AGE_BOUNDS, and older.
AGES = ("under 5 min", "under 1 h", "under 6 h", "under 24 h", "over 1 day")
#: The width of a bar in its own units.
BAR = 100.0


@dataclass(frozen=True, slots=True)
class Share:
    """One class of age in a bar."""

    age: str
    #: The place of the class among AGES.
    place: int
    count: int
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class WaitingDomain:
    """A domain for which mail waits, and the state of its destination if the delivery knows one."""

    shape: DomainShape
    #: All of its recipients, held ones too.
    total: int
    shares: tuple[Share, ...]
    destination: DestinationState | None
    #: The state in a word, and its name in a style sheet.
    state: str
    kind: str
    #: Why it waits, or the last reply.
    why: str


def waiting_domains(
    shapes: Sequence[DomainShape], destinations: Sequence[DestinationState], now: float
) -> list[WaitingDomain]:
    """Return the domains in their order; the longest bar is that of the domain with most mail."""
    most = max((sum(each.ages) for each in shapes), default=0)
    find = destination_finder(destinations)
    return [_waiting(each, most, find(each), now) for each in shapes]


def destination_finder(destinations: Sequence[DestinationState]) -> Callable[[DomainShape], DestinationState | None]:
    """Return the callable that finds the destination of a domain for which mail waits.

    A destination that is down has no domains while its mail waits on disk, but the host of the last reply names it.
    """
    by_domain = {domain: each for each in destinations for domain in (*each.domains, each.name)}
    by_host = {host: each for each in destinations for host in (*each.hosts, each.name) if host}

    def find(shape: DomainShape) -> DestinationState | None:
        return by_domain.get(shape.domain) or by_host.get(shape.host.partition("[")[0])

    return find


def _waiting(shape: DomainShape, most: int, destination: DestinationState | None, now: float) -> WaitingDomain:
    total = sum(shape.ages)
    state, kind = destination_state(destination, now)
    if destination is None:
        state, kind = ("held", "held") if shape.held and not shape.waiting else ("waits", "waiting")
    blocked = "" if destination is None else destination.blocked_because or destination.throttled_because
    said = ": ".join(filter(None, (shape.host, shape.reply)))
    return WaitingDomain(shape, total, age_shares(shape.ages, most), destination, state, kind, blocked or said)


def destination_state(destination: DestinationState | None, now: float) -> tuple[str, str]:
    """Return the state of a destination in a word or two, and its name in a style sheet."""
    if destination is None:
        return "", ""
    if destination.blocked_until is not None and destination.blocked_until > now:
        return "down", "failed"
    # A pace alone is that of a rule.
    if destination.throttled:
        return "slowed down", "deferred"
    if destination.failures:
        return "in trouble", "deferred"
    return "working", "delivered"


def age_shares(ages: Sequence[int], most: int) -> tuple[Share, ...]:
    """Return the parts of a bar, without empty ones; a total of `most` has the full width."""
    x, shares = 0.0, []
    for place, count in enumerate(ages):
        if count:
            width = max(0.8, round(BAR * count / max(1, most), 2))
            shares.append(Share(AGES[place], place, count, round(x, 2), width))
            x += width
    return tuple(shares)


def all_ages(shapes: Sequence[DomainShape]) -> tuple[int, ...]:
    """Return the waiting recipients of all domains by age."""
    return tuple(sum(each.ages[place] for each in shapes) for place in range(len(AGES)))
