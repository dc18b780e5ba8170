"""The system's resolver configuration, resolv.conf(5): whom to ask, and where to look for a short name.

Not by dnspython's own resolver, which brings its asynchronous and encrypted transports along: 1 MB for these few lines.
"""

from collections.abc import Iterable
from pathlib import Path

from mta.smtp.address import is_ip


def system_servers(path: str = "/etc/resolv.conf") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the servers' addresses and the search list; both are empty where there is no usable configuration."""
    try:
        text = Path(path).read_text("utf-8", "replace")
    except OSError:
        return (), ()
    return _read(text.splitlines())


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
