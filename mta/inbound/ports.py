"""Binding the listening sockets, which comes first: before privileges are given up and before anything is created.

How many clients fit into the descriptors that the system lets this process have.
"""

import errno
import resource
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Factory

from mta.inbound.accepting import ClientPort
from mta.inbound.balance import Balance, SharedPort

#: Connections the kernel holds for us while the reactor is busy.
BACKLOG = 1024
# Seconds between two looks at a port that somebody has.
_LOOK = 0.05


class PortError(Exception):
    """A port cannot be opened; the message says which setting to look at."""


class NoSuchProtocol(PortError):
    """The kernel knows no IPv6, or no IPv4."""


def bind(address: str, port: int, setting: str, patience: float = 0.0) -> socket.socket:
    """Return a listening socket on an IPv4 or IPv6 address literal. `setting` names where the address came from.

    An IPv6 socket takes IPv6 only, so that `0.0.0.0` and `::0` can both be bound. With `patience` (seconds) this blocks
    so long for another program to give the port up. Raises PortError.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return _bind(address, port, setting)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                raise PortError(f"cannot listen on {address} port {port}: {_advice(error, setting)}") from None
        select.select((), (), (), _LOOK)


def _bind(address: str, port: int, setting: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise NoSuchProtocol(f"cannot listen on {address}: {error.strerror}; check {setting}") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Accepted sockets inherit it: one call here for one at each connection.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.bind((address, port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def _advice(error: OSError, setting: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program listens there; stop it or choose another PORT"
    if error.errno == errno.EACCES:
        return "a port below 1024 needs root, CAP_NET_BIND_SERVICE, or another PORT such as 2525"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this host has no such address; check {setting}"
    return f"{error.strerror}; check {setting} and PORT"


def listen(reactor: Any, listening: socket.socket, factory: Factory, balance: Balance | None = None) -> ClientPort:
    """Serve connections to a socket, which is closed: the port has its own copy.

    `balance` is given when other processes accept from it too.
    """
    kind = ClientPort if balance is None else SharedPort
    port: ClientPort = kind._fromListeningDescriptor(reactor, listening.fileno(), listening.family, factory)  # noqa: SLF001
    listening.close()
    if isinstance(port, SharedPort) and balance is not None:
        port.balance = balance
    port.startListening()
    return port


def room_for_clients(most: int, notice: Callable[[str], object]) -> int:
    """Return how many clients may be connected at once, at most `most`; an operator is told when it must be fewer.

    They get half of the descriptors, for the other half is needed to deliver what they send. The soft limit, which
    many systems set to 1,024 for the sake of programs that use select(), is raised as far as the hard one allows.
    """
    wanted = 2 * most
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return most
    notice(f"only {soft // 2} clients may be connected at once, not {most}: let the relay have {wanted} open files")
    return soft // 2
