"""The rates that hold for a destination, as keys: texts that name the window of a rate in memory, in files and lines.

A key has the rule, its rates and, if each destination has a window of its own, the destination. A rule is known by its
text, so that one that was changed has a new window, and one that only stands in another line now keeps its window.
"""

from collections.abc import Iterable, Iterator

from mta.rate import Rate, RateUnit, read_rate
from mta.routing.carriage import Carriage, CarriageRate
from mta.routing.destination_names import carried_destination

_SEPARATOR = "\t"


def keys_of(carriage: Carriage, destination: str) -> dict[str, str]:
    """Return the keys of all rates that hold for a destination, each with the place of its rule: `30-pace.toml:1`."""
    # The destination's name ends with the places of the rules, which change with the lines before them.
    hosts = destination.removesuffix(carried_destination("", carriage.places))
    own = {_key(rate, hosts): rate.place for rate in carriage.rates_each}
    return {_key(rate, ""): rate.place for rate in carriage.rates} | own


def limits_of(key: str) -> tuple[Rate, ...]:
    """Return the rates of a key. Raises ValueError for a text that is no key."""
    _, limits, _ = key.split(_SEPARATOR)
    return tuple(map(read_rate, limits.split(", ")))


def most_recipients(keys: Iterable[str]) -> int | None:
    """Return the recipients that one message may have at most; None if no rate counts recipients."""
    counts = [rate.count for rate in all_limits(keys) if rate.unit is RateUnit.RECIPIENTS]
    return min(counts, default=None)


def most_messages(keys: Iterable[str]) -> int:
    """Return how many messages of one recipient may begin at once."""
    return min(rate.count for rate in all_limits(keys))


def messages_a_second(keys: Iterable[str]) -> float:
    """Return the slowest of the rates, each message taken to have one recipient."""
    return min(rate.count / rate.seconds for rate in all_limits(keys))


def all_limits(keys: Iterable[str]) -> Iterator[Rate]:
    """Yield the rates of these keys."""
    for key in keys:
        yield from limits_of(key)


def _key(rate: CarriageRate, destination: str) -> str:
    limits = ", ".join(map(str, rate.limits))
    return _SEPARATOR.join(part.replace(_SEPARATOR, " ") for part in (rate.rule or rate.place, limits, destination))
