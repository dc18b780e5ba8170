"""The system's hosts file: addresses an operator, or a container's engine, gave to names."""

import ipaddress
from pathlib import Path

_MAX_OCTETS = 1024 * 1024


class HostsFile:
    """Reads the file when it has changed. One that is missing or cannot be read has no names."""

    def __init__(self, path: Path = Path("/etc/hosts")) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._names: dict[str, tuple[str, ...]] = {}

    def addresses(self, name: str) -> tuple[str, ...]:
        """Return the addresses of a name in the order of the file; none if it is not there."""
        self._refresh()
        return self._names.get(name.lower(), ())

    def _refresh(self) -> None:
        try:
            state = self._path.stat()
            stamp = (state.st_mtime_ns, state.st_size)
            if stamp == self._stamp:
                return
            with self._path.open("rb") as file:
                self._names = parse_hosts(file.read(_MAX_OCTETS).decode("utf-8", "replace"))
            self._stamp = stamp
        except OSError:
            self._stamp, self._names = None, {}


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
