"""RELAY_NETWORKS: Exim's host list, read without its trap that IPv6 addresses want doubled colons.

Undoubled ones are understood where that leaves one meaning. A list is never read wider than it was written: what
cannot be read, or could be read in two ways, is a ValueError.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from mta.config.exim import host_name
from mta.inbound.networks import Everyone, HostName, Network, TrustItem, TrustList, network

_BREAKS = re.compile(r"[;,\s]+")
# "! 10.0.0.1" must not fall apart into an empty exclusion and a trusted address.
_LOOSE_EXCLUSION = re.compile(r"!\s+")
# Exim takes colons in pairs from the left; one that is left over separates.
_DOUBLED = re.compile(r"(?:[^:]|::)+")
_HEX_GROUP = re.compile(r"[0-9a-f]{1,4}")
# The most pieces that one item has between colons: eight groups with their colons doubled.
_LONGEST_SPAN = 17
_UNSPECIFIED = network("::")

_Reading = tuple[TrustItem, ...]
# A reading while it is put together: an item and what follows it. As tuples, 16,000 items took 1.2 GB of memory.
_Chain = tuple[TrustItem, "_Chain"] | None
_ReadItem = Callable[[str], TrustItem | None]


def read_trust(text: str) -> TrustList:
    """Read `:10.0.0.0/8:!192.0.2.7:fd00::::/8:app.test:*`; `;`, commas and blanks separate as well."""
    runs = _BREAKS.split(_LOOSE_EXCLUSION.sub("!", text))
    return TrustList(tuple(item for run in runs if run not in {"", ":"} for item in _read_run(run)))


def _read_run(run: str) -> _Reading:
    """Read items that only colons separate."""
    # A host may be called db or cafe, but not beside an undoubled address that it might be a piece of.
    readings = _readings(run, _item_of_either_spelling) or _readings(run, _item)
    if not readings:
        raise ValueError(_why_unreadable(run))
    if len(readings) > 1:
        exims = tuple(map(_item, _DOUBLED.findall(run)))
        for reading in readings:
            if reading == exims:
                return reading
        raise ValueError(f"{run!r} can be read in two ways; separate its items by ;")
    return readings[0]


def _why_unreadable(run: str) -> str:
    """Say which item cannot be read; where that may depend on how colons are taken, that the run cannot."""
    bad = [item for item in _DOUBLED.findall(run) if not (_item(item) or _item_of_either_spelling(item))]
    # A bad piece without a dot may be part of an IPv6 address, beside other pieces of it that are bad as well.
    sure = [item for item in bad if "." in item or len(bad) == 1]
    if sure and sure[0] != run:
        return f"{sure[0]!r} is not a network, an address or a host name"
    return f"{run!r} is not made of networks, addresses and host names"


def _readings(run: str, read: _ReadItem) -> list[_Reading]:
    """Return the ways to take a run apart at single colons: none, the only one, or some of many."""
    pieces = run.split(":")
    ways: dict[int, list[_Chain]] = {len(pieces): [None]}
    if not pieces[-1]:
        ways[len(pieces) - 1] = [None]
    for start in reversed(range(len(pieces))):
        ways.setdefault(start, []).extend(islice(_readings_from(start, pieces, ways, read), 2))
    return [tuple(_items(chain)) for chain in ways[0] + (ways[1] if not pieces[0] else [])]


def _items(chain: _Chain) -> Iterator[TrustItem]:
    while chain is not None:
        item, chain = chain
        yield item


def _readings_from(
    start: int, pieces: list[str], ways: Mapping[int, list[_Chain]], read: _ReadItem
) -> Iterator[_Chain]:
    for end in range(start + 1, min(start + _LONGEST_SPAN, len(pieces)) + 1):
        item = read(":".join(pieces[start:end])) if ways[end] else None
        if item:
            yield from ((item, rest) for rest in ways[end])


def _item_of_either_spelling(text: str) -> TrustItem | None:
    """Read an item, but none that may be a piece of an address, or a name and a network, in the usual spelling."""
    bare = text.removeprefix("!")
    if _HEX_GROUP.fullmatch(bare.lower()):
        return None
    return _read(text, bare) if ":" in bare and _is_exact(bare) else _item(text)


def _item(text: str) -> TrustItem | None:
    """Read an item in Exim's spelling: colons that do not separate are doubled."""
    return _read(text, text.removeprefix("!").replace("::", ":")) if _DOUBLED.fullmatch(text) else None


def _read(text: str, bare: str) -> TrustItem | None:
    try:
        who = _who(bare)
    except ValueError:
        return None
    # The unspecified address is nobody's, and as an item it would let a row of colons mean several things.
    return None if who == _UNSPECIFIED else TrustItem(who, excluded=text.startswith("!"))


def _is_exact(text: str) -> bool:
    """Whether a text is a network without host bits. `::ffff:10.0.0.0/8` hides an IPv4 network and may have some."""
    try:
        ipaddress.ip_network(text, strict="." not in text)
    except ValueError:
        return False
    return True


def _who(text: str) -> Network | HostName | Everyone:
    if text == "*":
        return Everyone()
    try:
        return network(text)
    except ValueError:
        return HostName(host_name(text))
