"""The names by which the page may be opened. Pure.

A web page of a stranger may have its name resolve to an address of this host, and would then be the same origin for a
browser (DNS rebinding). Such a request has the stranger's name in its Host header, so other names are refused.
"""

import ipaddress
from collections.abc import Iterable

_LOCALHOST = "localhost"


class HostNames:
    """The names and addresses of one listening page."""

    def __init__(self, address: str, names: Iterable[str]) -> None:
        """`address` is that of ADMIN_LISTEN, "" for all; `names` are those of the relay and of its certificate."""
        self._address = None if not address else ipaddress.ip_address(address)
        self._names = {_LOCALHOST, *(name.lower().rstrip(".") for name in names)}

    def allows(self, header: str) -> bool:
        """Return whether a request with this header Host may be answered. The port in it does not matter."""
        host = host_of(header)
        if not host:
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return host in self._names or f"*.{host.partition('.')[2]}" in self._names
        # No name is resolved for an address, so that a stranger's page cannot have it.
        return self._address is None or address == self._address or address.is_loopback

    def usual(self) -> str:
        """Return a name for the advice to an operator."""
        return next((name for name in sorted(self._names) if name != _LOCALHOST), _LOCALHOST)


def host_of(header: str) -> str:
    """Return the name or the address in a header Host, without its port; "" if there is none."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].rstrip(".")
