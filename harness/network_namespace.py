"""A network with public addresses of its own: ports 25, 53 and 443 are real, and no address of a test is private."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from harness.network import Network
from harness.processes import free_port

#: The network whose addresses are served. For a relay they are neither private nor those of a documentation.
PREFIX = "8.26.56"
#: The last numbers of the addresses of hosts.
HOSTS = range(1, 255)


def public_address(host: int) -> str:
    """Return the address of a host, one of `HOSTS`."""
    assert host in HOSTS, host
    return f"{PREFIX}.{host}"


def why_not() -> str | None:
    """Return why no network can be made here, or None if one can."""
    return None if os.geteuid() == 0 else "only root makes network namespaces"


@contextmanager
def public_network() -> Iterator[Network]:
    """Have this thread, and the threads and programs that it starts inside, live in a network of its own.

    Its loopback interface has the addresses of `HOSTS` beside 127.0.0.0/8. No packet leaves it. Raises NoNetworkError
    where the system forbids it.
    """
    # A claim to a block of ports is known in one network only, and later tests need ports outside.
    free_port()
    with Network() as network:
        network.ip("address", "add", f"{PREFIX}.0/24", "dev", "lo")
        with network.entered():
            yield network
