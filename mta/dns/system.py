"""The system's resolver configuration, resolv.conf(5): whom to ask, and where to look for a short name.

Not by dnspython's own resolver, which brings its asynchronous and encrypted transports along: 1 MB for these few lines.

The system's hosts file: addresses an operator, or a container's engine, gave to names.
"""

import ipaddress
from collections.abc import Callable, Iterable
from pathlib import Path

from mta.file_stamp import FileStamp, read_if_changed
from mta.smtp.address import is_ip

_MAX_OCTETS = 65536
# Seconds between two readings of the file.
_AGAIN = 1.0


class ResolvConf:
    """Follows the file, which a DHCP client or a VPN rewrites, and an engine when a container joins a network.

    The file is read at most once a second, and then whole: it may be replaced, or rewritten in place by a bind mount,
    with the same length and time. One that is missing or names no server changes nothing, because it may be about to be
    written.
    """

    def __init__(self, seconds: Callable[[], float], path: Path = Path("/etc/resolv.conf")) -> None:
        """Read it; `seconds` is a monotonic clock."""
        self._seconds = seconds
        self._path = path
        self._servers: tuple[str, ...] = ()
        self._search: tuple[str, ...] = ()
        self._next_look = float("-inf")
        self._generation = 0
        self._look()

    @property
    def generation(self) -> int:
        """A number that grows when the servers or the search list change."""
        self._look()
        return self._generation

    @property
    def servers(self) -> tuple[str, ...]:
        """The servers' addresses; none if there was never a usable configuration."""
        self._look()
        return self._servers

    @property
    def search(self) -> tuple[str, ...]:
        """The search list: domains in lower case, without a final dot."""
        self._look()
        return self._search

    def _look(self) -> None:
        now = self._seconds()
        if now < self._next_look:
            return
        self._next_look = now + _AGAIN
        try:
            with self._path.open("rb") as file:
                text = file.read(_MAX_OCTETS).decode("utf-8", "replace")
        except OSError:
            return
        servers, search = _read(text.splitlines())
        if servers and (servers, search) != (self._servers, self._search):
            self._servers, self._search = servers, search
            self._generation += 1


def _read(lines: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    servers: list[str] = []
    search: tuple[str, ...] = ()
    for line in lines:
        match line.split():
            case ["nameserver", address, *_] if is_ip(address):
                servers.append(address)
            case ["search" | "domain", *names]:
                # The last of them wins.
                search = tuple(name.lower().removesuffix(".") for name in names if name != ".")
    return tuple(servers), search


_MAX_HOSTS_OCTETS = 1024 * 1024


class HostsFile:
    """Reads the file when it has changed. One that is missing or cannot be read has no names."""

    def __init__(self, path: Path = Path("/etc/hosts")) -> None:
        self._path = path
        self._stamp: FileStamp | None = None
        self._names: dict[str, tuple[str, ...]] = {}

    def addresses(self, name: str) -> tuple[str, ...]:
        """Return the addresses of a name in the order of the file; none if it is not there."""
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


def parse_hosts(text: str) -> dict[str, tuple[str, ...]]:
    """Return the addresses of each name; a line that makes no sense is passed over, as everywhere on the system."""
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
