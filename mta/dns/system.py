"""Follows the two files of the system that a resolver needs: resolv.conf(5) and hosts(5).

The relay does not use the `Resolver` of dnspython for them, because it imports asynchronous and encrypted transports
that take 1 MB of memory (measured).
"""

import ipaddress
from collections.abc import Callable
from pathlib import Path

from mta.file_stamp import FileStamp, read_if_changed
from mta.smtp.address import is_ip

_MAX_RESOLV_CONF_OCTETS = 65536
_MAX_HOSTS_OCTETS = 1024 * 1024
# Seconds between two readings of resolv.conf.
_READ_INTERVAL = 1.0


class ResolvConf:
    """Follows resolv.conf, which a DHCP client, a VPN or a container engine may rewrite at any time.

    The file is read at most once a second, and then always: it may be replaced, or rewritten in place through a bind
    mount, with the same length and time. A file that is missing or names no server changes nothing, because it may be
    about to be written.
    """

    def __init__(self, seconds: Callable[[], float], path: Path = Path("/etc/resolv.conf")) -> None:
        """Read the file; `seconds` is a monotonic clock."""
        self._seconds = seconds
        self._path = path
        self._servers: tuple[str, ...] = ()
        self._search: tuple[str, ...] = ()
        self._next_reading = float("-inf")
        self._generation = 0
        self._refresh()

    @property
    def generation(self) -> int:
        """A number that grows when the servers or the search list change."""
        self._refresh()
        return self._generation

    @property
    def servers(self) -> tuple[str, ...]:
        """The addresses of the name servers; empty if the file has never named one."""
        self._refresh()
        return self._servers

    @property
    def search(self) -> tuple[str, ...]:
        """The search list: domains in lower case, without a final dot."""
        self._refresh()
        return self._search

    def _refresh(self) -> None:
        now = self._seconds()
        if now < self._next_reading:
            return
        self._next_reading = now + _READ_INTERVAL
        try:
            with self._path.open("rb") as file:
                text = file.read(_MAX_RESOLV_CONF_OCTETS).decode("utf-8", "replace")
        except OSError:
            return
        servers, search = _parse_resolv_conf(text)
        if servers and (servers, search) != (self._servers, self._search):
            self._servers, self._search = servers, search
            self._generation += 1


class HostsFile:
    """Follows the hosts file, whose names an operator or a container engine gave. A missing file has no names."""

    def __init__(self, path: Path = Path("/etc/hosts")) -> None:
        self._path = path
        self._stamp: FileStamp | None = None
        self._names: dict[str, tuple[str, ...]] = {}

    def addresses(self, name: str) -> tuple[str, ...]:
        """Return the addresses of a name in the order of the file; empty if the file does not have the name."""
        self._refresh()
        return self._names.get(name.lower(), ())

    def _refresh(self) -> None:
        try:
            changed = read_if_changed(self._path, self._stamp, _MAX_HOSTS_OCTETS)
        except OSError:
            self._stamp, self._names = None, {}
            return
        if changed is not None:
            octets, self._stamp = changed
            self._names = parse_hosts(octets.decode("utf-8", "replace"))


def _parse_resolv_conf(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the name servers and the search list."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    for line in text.splitlines():
        match line.split():
            case ["nameserver", address, *_] if is_ip(address):
                servers.append(address)
            case ["search" | "domain", *names]:
                # The last such line counts.
                search = tuple(name.lower().removesuffix(".") for name in names if name != ".")
    return tuple(servers), search


def parse_hosts(text: str) -> dict[str, tuple[str, ...]]:
    """Return the addresses of each name; lines that make no sense are ignored, as by the C library."""
    names: dict[str, list[str]] = {}
    for line in text.splitlines():
        address, *hosts = line.partition("#")[0].split() or [""]
        try:
            canonical = str(ipaddress.ip_address(address))
        except ValueError:
            continue
        for host in hosts:
            known = names.setdefault(host.lower().rstrip("."), [])
            if canonical not in known:
                known.append(canonical)
    return {name: tuple(addresses) for name, addresses in names.items()}
