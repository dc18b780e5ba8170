"""Hosts and ports as Exim and Postfix name them in their tables."""

import re
from dataclasses import dataclass

from mta.config.imports.blocks import CannotImportError
from mta.config.sources.exim import host_name, read_host, read_port
from mta.smtp.address import bracketed, is_ip

SMTP_PORT = 25
# The names of ports that Postfix looks up in /etc/services.
_SERVICES = {"smtp": 25, "smtps": 465, "submissions": 465, "urd": 465, "submission": 587}
_NEXTHOP = re.compile(r"(?P<brackets>\[(?P<within>[^\[\]]*)\]|(?P<name>[^:\[\]\s]+))(?::(?P<port>[^:\s]*))?")
_OPTIONS = {"byname", "bydns", "no_randomize"}
_NARROWER = {"ipv4_only", "ipv4_prefer"}
_MX = re.compile(r"/mx(?=::|$)", re.IGNORECASE)
_WITH_PORT = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]+)::(?P<port>[0-9]+)")


@dataclass(frozen=True, slots=True)
class Nexthop:
    """A next hop of Postfix: a host, or a domain whose MX hosts are meant, and the port.

    `text` is the next hop as it was written, in lower case, by which a login is looked up.
    """

    text: str
    host: str
    port: int = SMTP_PORT
    has_port: bool = False
    looks_for_mx: bool = False

    @property
    def place(self) -> str:
        """The host and its port as a rule names them, `mail.a.test:25`."""
        return f"{bracketed(self.host)}:{self.port}"


def read_nexthop(text: str) -> Nexthop:
    """Read `[host]:port`, `[192.0.2.1]`, `domain` or `domain:port` (Postfix's transport(5)).

    Raises CannotImportError.
    """
    found = _NEXTHOP.fullmatch(text)
    if found is None:
        raise CannotImportError("the next hop is not of the form [host]:port, host or host:port")
    inside = found["within"] is not None
    name = found["within"] if inside else found["name"]
    address = name[5:] if name.lower().startswith("ipv6:") else name
    try:
        host = address.lower() if inside and is_ip(address) else host_name(name)
    except ValueError:
        raise CannotImportError(f"the next hop {name!r} is no host, and an address stands in [ ]") from None
    if host == "file":
        raise CannotImportError("a rule would take the host name file for the beginning of a path")
    port = SMTP_PORT if found["port"] is None else _port(found["port"])
    return Nexthop(text.lower(), host, port, found["port"] is not None, not inside)


def read_nexthops(text: str) -> tuple[Nexthop, ...]:
    """Read one next hop, or several between commas and blanks. Raises CannotImportError."""
    return tuple(read_nexthop(each) for each in re.split(r"[,\s]+", text) if each)


def _port(text: str) -> int:
    if text.lower() in _SERVICES:
        return _SERVICES[text.lower()]
    try:
        return read_port(text)
    except ValueError:
        raise CannotImportError(f"the port {text!r} is no number from 1 to 65535") from None


def read_route_data(text: str) -> tuple[str, ...] | str:
    """Return the hosts of Exim's `route_data` as rules name them, or a domain whose MX hosts are meant.

    It is a list of hosts and options (Exim's specification, section 20.3 to 20.7). Raises CannotImportError.
    """
    hosts, options = _parts(text)
    if narrower := sorted(_NARROWER & options):
        raise CannotImportError(f"the option {narrower[0]} has no counterpart for single hosts")
    if unknown := sorted(options - _OPTIONS):
        raise CannotImportError(f"the option or transport {unknown[0]!r} has no counterpart")
    if any("$" in each or each == "+" for each in hosts):
        raise CannotImportError("a list with variables or groups has no counterpart")
    if len(hosts) == 1 and _MX.search(hosts[0]):
        return _mx_domain(hosts[0])
    return tuple(map(_exim_host, hosts))


def _parts(text: str) -> tuple[list[str], set[str]]:
    """Return the hosts of a list and its options."""
    if text.startswith('"'):
        listed, _, options = text[1:].partition('"')
    else:
        listed, _, options = text.partition(" ")
    separator = ":"
    if changed := re.match(r"<(\S)\s*", listed):
        separator, listed = changed[1], listed[changed.end() :]
    # A doubled separator stands for itself.
    items = re.split(f"(?<!{re.escape(separator)}){re.escape(separator)}(?!{re.escape(separator)})", listed)
    hosts = [item.strip() for item in items if item.strip()]
    if separator != ":":
        hosts = [
            re.sub(r":(?=[0-9]+$)", "::", host) if host.count(":") == 1 or "]:" in host else host for host in hosts
        ]
    if not hosts:
        raise CannotImportError("the line names no host")
    return hosts, set(options.split())


def _mx_domain(item: str) -> str:
    name = _MX.sub("", item)
    if "::" in name:
        raise CannotImportError("a port for MX hosts has no counterpart in one rule; set port in a [[transport]] rule")
    try:
        return host_name(name)
    except ValueError:
        raise CannotImportError(f"{name!r} is no domain") from None


def _exim_host(item: str) -> str:
    if _MX.search(item):
        raise CannotImportError("a list of hosts and MX hosts of a domain has no counterpart")
    found = _WITH_PORT.fullmatch(item)
    host = found["host"] if found else item
    address = host.replace("::", ":") if host.count("::") > 1 else host
    try:
        name = address.lower() if is_ip(address) else read_host(host)
        return f"{bracketed(name)}:{read_port(found['port']) if found else SMTP_PORT}"
    except ValueError:
        raise CannotImportError(f"{item!r} is no host, which a port follows after two colons") from None
