"""Reads lists, hosts and sizes in Exim's spelling, and in other spellings that are unambiguous.

Lists are separated by `:`, and here also by `;`, `,` and blanks; empty items are ignored. Every reader raises
ValueError with words for the operator, to follow the variable's name and value.
"""

import ipaddress
import re

from mta.smtp.address import bracketed, parse_domain
from mta.smtp.domains import DomainList, domain_list

#: Hosts in the order to try them; the port is None if it was not given.
Hosts = tuple[tuple[str, int | None], ...]

#: Words by which an operator may mean every client, or no client, and which are not names of hosts or domains.
EVERYONE = frozenset({"any", "all", "anyone", "anybody", "everyone", "everybody", "true", "yes", "on"})
NOBODY = frozenset({"none", "nobody", "no", "off", "false", "null", "nil"})

_SEPARATORS = re.compile(r"[:;,\s]+")
# RFC 1035 section 2.3.1 does not allow an underscore, but names of Compose services may contain it.
_HOST_LABEL = r"[a-z0-9_](?:[a-z0-9_\-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"{_HOST_LABEL}(?:\.{_HOST_LABEL})*")
# In brackets Exim doubles the colons of an address; elsewhere two colons precede the port.
_HOST_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:;,\s\[\]]+)(?:::([^:;,\s]*))?(?=[:;,\s]|$)")
_NUMBER = re.compile(r"[0-9]{1,12}")
_SIZE = re.compile(r"([0-9]{1,12})\s*([KMG]?)", re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def read_domains(text: str) -> DomainList:
    """Read `a.test : *.b.test ; c.test`. Exim's exclusions and regular expressions are errors."""
    items = [item for item in _SEPARATORS.split(text) if item]
    for item in items:
        if item.startswith(("!", "^")):
            kind = "exclusions" if item.startswith("!") else "regular expressions"
            raise ValueError(f"{item!r}: {kind} are not supported, only domains and *.domain")
        if item.lower() in EVERYONE:
            raise ValueError(f"{item!r} is not a domain; write * for every domain")
        if item.lower() in NOBODY:
            raise ValueError(f"{item!r} is not a domain; leave the variable empty for no domain")
    return domain_list(items)


def read_hosts(text: str) -> Hosts:
    """Read `a.test : b.test::587 : [2001::db8::::1]::2525`: several hosts, some with a port of their own."""
    hosts: list[tuple[str, int | None]] = []
    start = 0
    while (start := _past_separators(text, start)) < len(text):
        match = _HOST_AND_PORT.match(text, start)
        if match is None:
            raise ValueError(f"{text[start:]!r} does not begin with a host")
        if _NUMBER.fullmatch(match[1]):
            raise ValueError(_lone_number(match[1], hosts))
        if match[1].lower() in NOBODY:
            raise ValueError(f"{match[1]!r} is not a host; leave the variable empty for no host")
        hosts.append((read_host(match[1]), None if match[2] is None else read_port(match[2])))
        start = match.end()
    return tuple(hosts)


def _past_separators(text: str, start: int) -> int:
    match = _SEPARATORS.match(text, start)
    return match.end() if match else start


def _lone_number(number: str, before: list[tuple[str, int | None]]) -> str:
    host = bracketed(before[-1][0]) if before else "smtp.example.com"
    return f"{number} is read as a host; a port follows two colons: {host}::{number}"


def read_host(text: str) -> str:
    """Return a host's name or its address. An IPv6 address is in brackets, its colons doubled or not."""
    if text.startswith("["):
        return _bracketed_address(text[1:-1])
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        return host_name(text)


def _bracketed_address(text: str) -> str:
    """Read an address with its colons doubled or not. A text is valid in one of these spellings at most."""
    for spelling in (text, text.replace("::", ":")):
        try:
            return str(ipaddress.ip_address(spelling))
        except ValueError:
            continue
    try:
        name = host_name(text)
    except ValueError:
        raise ValueError(f"[{text}] is not an address in brackets") from None
    raise ValueError(
        f"[{text}] is not an address in brackets; a name is written without brackets and with two colons before a port:"
        f" {name}::587"
    )


def write_hosts(hosts: Hosts) -> str:
    """Return the text of a list of hosts."""
    return " : ".join(
        bracketed(host.replace(":", "::")) + ("" if port is None else f"::{port}") for host, port in hosts
    )


def host_name(text: str) -> str:
    """Return a host's name in lower-case ASCII, without a trailing dot."""
    bare = text.removesuffix(".")
    name = bare.lower() if bare.isascii() else parse_domain(bare)
    if len(name) > 253 or not _HOST_NAME.fullmatch(name) or name.rpartition(".")[2].isdigit():
        raise ValueError(f"{text!r} is not a host name")
    return name


def read_port(text: str) -> int:
    """Read a TCP port."""
    port = int(text) if _NUMBER.fullmatch(text) else 0
    if not 1 <= port <= 65535:
        raise ValueError(f"{text!r} is not a port, a number from 1 to 65535")
    return port


def read_size(text: str) -> int:
    """Read a number of octets; K, M and G are powers of 1,024."""
    match = _SIZE.fullmatch(text)
    if match is None or not int(match[1]):
        raise ValueError("not a size: a number above 0, which K, M or G may follow")
    return int(match[1]) * _UNITS[match[2].upper()]


def write_size(octets: int) -> str:
    """Return the shortest text of a size."""
    unit = next(unit for unit in ("G", "M", "K", "") if octets % _UNITS[unit] == 0)
    return f"{octets // _UNITS[unit]}{unit}"
