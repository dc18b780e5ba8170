"""Reads RELAY_NETWORKS: items in Exim's spelling, or in the usual one between `;`, commas and blanks.

In Exim's spelling a colon separates the items, and the colons of an IPv6 address are doubled:
`:10.0.0.0/8:fd00::::/8`. Undoubled IPv6 addresses are accepted if the list has one meaning only:
`:10.0.0.0/8:fd00::/8`. A list is never read wider than it was written. Any other text is a ValueError with the spelling
that may have been meant.
"""

import ipaddress
import re

from mta.config.sources.exim import host_name
from mta.inbound.networks import Everyone, HostName, Network, TrustItem, TrustList, network

_SEPARATORS = re.compile(r"[;,\s]+")
# "! 10.0.0.1" must not fall apart into an empty exclusion and a trusted address.
_LOOSE_EXCLUSION = re.compile(r"!\s+")
# Exim takes colons in pairs from the left; a colon that is left over separates.
_EXIM_ITEM = re.compile(r"(?:[^:]|::)+")
_HEX_GROUP = re.compile(r"!?[0-9a-f]{1,4}", re.IGNORECASE)
# Exim would take the groups of this address for eight host names.
_FULL_ADDRESS = re.compile(r"(?:^|[:!])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?:[:/]|$)", re.IGNORECASE)


def read_trust(text: str) -> TrustList:
    """Read `:10.0.0.0/8:!192.0.2.7:fd00::::/8:app.test:*`; the first colon may be missing."""
    runs = _SEPARATORS.split(_LOOSE_EXCLUSION.sub("!", text))
    return TrustList(tuple(item for run in runs if run not in {"", ":"} for item in _read_run(run)))


def _read_run(run: str) -> list[TrustItem]:
    """Return the items of a text without `;`, comma and blank."""
    for text in (run, run.removeprefix(":")):
        if item := _read_ipv6(text):
            return [item]
    found = [(text, _read_item(text)) for text in _EXIM_ITEM.findall(run)]
    bad = next((text for text, item in found if item is None), "")
    if _FULL_ADDRESS.search(run) or (bad and "::" in run):
        return _read_undoubled(run)
    if bad:
        from mta.config.trust_hints import meant_instead  # noqa: PLC0415

        raise ValueError(f"{bad!r} is not a network, an address or a host name{meant_instead(bad)}")
    return [item for _, item in found if item]


def _read_undoubled(run: str) -> list[TrustItem]:
    """Return the items of a colon list with undoubled IPv6 addresses. Raises ValueError if it has several meanings."""
    # Imported if needed, because few relays have a list of this kind.
    from mta.config.trust_hints import spelled_instead, split_undoubled  # noqa: PLC0415

    texts = split_undoubled(run.removeprefix(":"))
    items = [item for text in texts if (item := _read_usual(text))]
    # A name such as `cafe` may be a piece of the address beside it, and three colons are a mistake or two meanings.
    whole = run.removeprefix(":").removesuffix(":") == ":".join(texts)
    doubtful = not whole or ":::" in run[1:] or any(map(_HEX_GROUP.fullmatch, texts))
    if not items or len(items) < len(texts) or doubtful:
        raise ValueError(spelled_instead(run, lambda text: _read_usual(text) is not None))
    return items


def _read_usual(text: str) -> TrustItem | None:
    """Read an item with its colons undoubled."""
    return _read_ipv6(text) if ":" in text else _read_item(text)


def _read_ipv6(text: str) -> TrustItem | None:
    """Read an IPv6 network without host bits, because `db:fd00::/8` may also be a name and a network."""
    bare = text.removeprefix("!")
    prefix = bare.rpartition("/")[2]
    # An IPv4-mapped network with up to 32 bits may also be a name and an IPv4 network.
    mapped = "." in bare and "/" in bare and prefix.isdigit() and int(prefix) > 32
    if ":" not in bare or ("." in bare and not mapped):
        return None
    try:
        ipaddress.ip_network(bare, strict=not mapped)
        return _item(network(bare), text)
    except ValueError:
        return None


def _read_item(text: str) -> TrustItem | None:
    """Read an item in Exim's spelling."""
    bare = text.removeprefix("!").replace("::", ":")
    if bare == "*":
        return _item(Everyone(), text)
    try:
        return _item(network(bare), text)
    except ValueError:
        pass
    from mta.config.trust_hints import meant_instead  # noqa: PLC0415

    try:
        name = host_name(bare)
    except ValueError:
        return None
    return None if meant_instead(name) else _item(HostName(name), text)


def _item(who: Network | HostName | Everyone, text: str) -> TrustItem | None:
    # The unspecified address is not a client's, and an operator who writes it means everyone.
    if isinstance(who, Network) and who.network.num_addresses == 1 and who.network.network_address.is_unspecified:
        return None
    return TrustItem(who, excluded=text.startswith("!"))
