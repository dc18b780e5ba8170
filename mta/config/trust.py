"""RELAY_NETWORKS: items in Exim's spelling, or as usual between `;`, commas and blanks.

In Exim's spelling a colon separates, and the colons of an IPv6 address are doubled: `:10.0.0.0/8:fd00::::/8`. Undoubled
ones are taken where a glance shows one meaning: `:10.0.0.0/8:fd00::/8`. A list is never read wider than it was written.
Any other text is a ValueError with the spelling that may have been meant.
"""

import ipaddress
import re
from collections.abc import Iterator

from mta.config.sources.exim import host_name
from mta.config.trust_hints import meant_instead, spelled_instead, split
from mta.inbound.networks import Everyone, HostName, Network, TrustItem, TrustList, network

_BREAKS = re.compile(r"[;,\s]+")
# "! 10.0.0.1" must not fall apart into an empty exclusion and a trusted address.
_LOOSE_EXCLUSION = re.compile(r"!\s+")
# Exim takes colons in pairs from the left; a colon that is left over separates.
_DOUBLED = re.compile(r"(?:[^:]|::)+")
_HEX_GROUP = re.compile(r"!?[0-9a-f]{1,4}", re.IGNORECASE)
# Exim would take its groups for eight host names.
_FULL_ADDRESS = re.compile(r"(?:^|[:!])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?:[:/]|$)", re.IGNORECASE)


def read_trust(text: str) -> TrustList:
    """Read `:10.0.0.0/8:!192.0.2.7:fd00::::/8:app.test:*`; the first colon may be missing."""
    runs = _BREAKS.split(_LOOSE_EXCLUSION.sub("!", text))
    return TrustList(tuple(item for run in runs if run not in {"", ":"} for item in _read_run(run)))


def _read_run(run: str) -> Iterator[TrustItem]:
    """Yield the items of a text without `;`, comma and blank."""
    for plain in (run, run.removeprefix(":")):
        if (item := _usual_ipv6(plain)) is not None:
            yield item
            return
    items = [(text, _read_item(text)) for text in _DOUBLED.findall(run)]
    bad = next((text for text, item in items if item is None), "")
    if _FULL_ADDRESS.search(run) or (bad and "::" in run):
        yield from _read_undoubled(run)
        return
    if bad:
        raise ValueError(f"{bad!r} is not a network, an address or a host name{meant_instead(bad)}")
    yield from (item for _, item in items if item is not None)


def _read_undoubled(run: str) -> Iterator[TrustItem]:
    texts = split(run.removeprefix(":"))
    items = [_read_usual(text) for text in texts]
    # A name such as `cafe` may be a piece of the address beside it, and three colons are a mistake or two meanings.
    whole = run.removeprefix(":").removesuffix(":") == ":".join(texts)
    if not items or not whole or ":::" in run[1:] or any(map(_HEX_GROUP.fullmatch, texts)):
        raise ValueError(spelled_instead(run, _is_usual))
    for item in items:
        if item is None:
            raise ValueError(spelled_instead(run, _is_usual))
        yield item


def _is_usual(text: str) -> bool:
    """Whether a text is one item with its colons undoubled."""
    return _read_usual(text) is not None


def _read_usual(text: str) -> TrustItem | None:
    return _usual_ipv6(text) if ":" in text else _read_item(text)


def _usual_ipv6(text: str) -> TrustItem | None:
    """Read an IPv6 network without host bits: `db:fd00::/8` may as well be a name and a network."""
    bare = text.removeprefix("!")
    prefix = bare.rpartition("/")[2]
    # With up to 32 bits it may as well be a name and an IPv4 network.
    mapped = "." in bare and "/" in bare and prefix.isdigit() and int(prefix) > 32
    if ":" not in bare or ("." in bare and not mapped):
        return None
    try:
        who = network(bare)
        ipaddress.ip_network(bare, strict=not mapped)
    except ValueError:
        return None
    return _item(who, text)


def _read_item(text: str) -> TrustItem | None:
    """Read an item in Exim's spelling."""
    bare = text.removeprefix("!").replace("::", ":")
    if bare == "*":
        return _item(Everyone(), text)
    try:
        return _item(network(bare), text)
    except ValueError:
        pass
    try:
        name = host_name(bare)
        return None if meant_instead(name) else _item(HostName(name), text)
    except ValueError:
        return None


def _item(who: Network | HostName | Everyone, text: str) -> TrustItem | None:
    # The unspecified address is no client's, and an operator who writes it means everyone.
    if isinstance(who, Network) and who.network.num_addresses == 1 and who.network.network_address.is_unspecified:
        return None
    return TrustItem(who, excluded=text.startswith("!"))
