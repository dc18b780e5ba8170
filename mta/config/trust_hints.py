"""Guesses the meaning of an item of RELAY_NETWORKS that cannot be read, for the error about it."""

import ipaddress
import re
from collections.abc import Callable

from mta.config.sources.exim import EVERYONE, NOBODY
from mta.inbound.networks import network

# Texts by which an operator means something that is written otherwise, and advice that follows the error.
_ADVICE = (
    (re.compile("|".join(EVERYONE)), "for everyone write *, which makes an open relay if strangers can connect"),
    (re.compile(r"0|0/0|0\.0\.0\.0|::"), "for everyone write *, which makes an open relay if strangers can connect"),
    (re.compile("|".join(NOBODY)), "to trust no other client leave the variable empty"),
    (
        re.compile("private|rfc1918|privatenets|private[_-]networks"),
        "for the private networks write 10.0.0.0/8 ; 172.16.0.0/12 ; 192.168.0.0/16 ; fd00::/8, or some of them",
    ),
    # Exim's notation for another separator than the colon.
    (re.compile("<"), "items may stand between semicolons without it"),
    (
        re.compile("(?:eth|wlan|docker|ens|eno|enp|wg|tun|br)[0-9][0-9a-z]*|lo"),
        "the networks of an interface are added by NET_DEV={}",
    ),
    (re.compile("/[0-9]+"), "write the address before it, without a blank"),
)
# Part of an IPv4 address, perhaps with a wildcard for the rest, and the prefix length if there is one.
_SHORT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3}){0,2})((?:\.[*x])*\.?)(?:/([0-9]{1,2}))?")
_MASK = re.compile(r"[0-9.]+/[0-9.]+")
# The end of a range may be its last octet alone.
_RANGE = re.compile(r"([0-9]+\.[0-9.]+\.)([0-9]+)-([0-9.]+)")
_BRACKETS = re.compile(r"\[([^\[\]]+)\]((?:/[0-9]+)?)")
_UNDOUBLED_ITEM = re.compile(r"(?:^|:)(!?(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?:/[0-9]+)?|!?[^:]+)", re.IGNORECASE)
_TOO_MANY_COLONS = re.compile(r":{3,}")
_MOST_NETWORKS = 8


def meant_instead(item: str) -> str:
    """Return advice with the right spelling of an item, to follow its error; "" if that cannot be guessed.

    A host name gets such advice, too, if it is in EVERYONE or NOBODY, or is an interface's name.
    """
    bare = item.removeprefix("!").lower()
    for pattern, advice in _ADVICE:
        if pattern.fullmatch(bare):
            return f"; {advice.format(bare)}"
    if networks := _networks(bare):
        return f"; if that is meant, write {networks}"
    return "; write a range as the networks it consists of" if _RANGE.fullmatch(bare) else ""


def _networks(text: str) -> str:
    """Return the networks that an address in brackets, a range, a short form, a mask or a scoped address stands for."""
    try:
        if match := _BRACKETS.fullmatch(text):
            return str(ipaddress.ip_network(match[1] + match[2], strict=False)).removesuffix("/128")
        if match := _RANGE.fullmatch(text):
            first = ipaddress.IPv4Address(match[1] + match[2])
            last = ipaddress.IPv4Address(match[3] if "." in match[3] else match[1] + match[3])
            found = list(ipaddress.summarize_address_range(first, last))
            return " ; ".join(map(str, found)) if len(found) <= _MOST_NETWORKS else ""
        if (match := _SHORT.fullmatch(text)) and (match[2] or match[3]):
            octets = match[1].split(".")
            address = ".".join([*octets, "0", "0", "0"][:4])
            return str(ipaddress.IPv4Network(f"{address}/{match[3] or 8 * len(octets)}", strict=False))
        if _MASK.fullmatch(text):
            return str(ipaddress.IPv4Network(text, strict=False))
        if "%" in text:
            return str(ipaddress.IPv6Address(text.partition("%")[0]))
    except (ValueError, TypeError):
        pass
    return ""


def spelled_instead(run: str, is_item: Callable[[str], bool]) -> str:
    """Return the error about a text whose colons cannot be read, with both right spellings if they can be guessed.

    `is_item` tells whether a text is one item with its colons undoubled.
    """
    bare = run.removeprefix(":")
    if advice := meant_instead(bare) or meant_instead(run):
        return f"{run!r} is not a network, an address or a host name{advice}"
    address = run.lstrip(":")
    for guess in (
        # An IPv4 network behind stray colons.
        [address] if "." in address and ":" not in address else [],
        _without_host_bits(run),
        _without_host_bits(bare),
        *(split_undoubled(_TOO_MANY_COLONS.sub(colons, bare)) for colons in (":::", "::")),
    ):
        if guess and all(map(is_item, guess)):
            exims = " : ".join(item.replace(":", "::") for item in guess)
            advice = f"if {' ; '.join(guess)} is meant, write that, or : {exims} as in Exim"
            return f"the colons of {run!r} cannot be read; {advice}"
    return f"the colons of {run!r} cannot be read; separate the items by ; or double the colons of IPv6 addresses"


def split_undoubled(text: str) -> list[str]:
    """Return the items of a colon list with undoubled IPv6 addresses, or no item if the list cannot be split.

    An IPv6 address takes as many groups as follow it, so the caller must check the items.
    """
    items: list[str] = _UNDOUBLED_ITEM.findall(text)
    return items if _single_colons(":".join(items)) == _single_colons(text) else []


def _single_colons(text: str) -> str:
    return re.sub(":+", ":", text).removesuffix(":")


def _without_host_bits(text: str) -> list[str]:
    """Return the IPv4 network inside an IPv4-mapped one, or a lone IPv6 network without its host bits."""
    try:
        found = network(text)
    except ValueError:
        return []
    alone = ":" not in text.replace("::", "")
    return [str(found)] if found.network.version == 4 or alone else []
