"""Binds the listening sockets, serves connections from them, and fits the number of clients to the file descriptors.

The sockets are bound first at a start, before the process gives up its privileges and before it creates a file.
"""

import errno
import resource
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Factory

from mta.inbound.sockets.accepting import ClientPort
from mta.inbound.sockets.balance import Balance, SharedPort

#: Connections that the kernel keeps while the reactor is busy.
BACKLOG = 1024
# Seconds between two attempts to bind a port that is in use.
_RETRY = 0.05


class PortError(Exception):
    """A port cannot be opened; the message names the setting to check."""


class NoSuchProtocol(PortError):
    """The kernel does not support IPv6, or IPv4."""


def bind(address: str, port: int, setting: str, patience: float = 0.0, *, port_setting: str = "PORT") -> socket.socket:
    """Return a listening socket on an IPv4 or IPv6 address literal.

    `setting` and `port_setting` name the settings of the address and of the port.

    An IPv6 socket accepts IPv6 only, so that `0.0.0.0` and `::0` can both be bound. If another program has the port,
    this blocks for up to `patience` seconds until it is free. Raises PortError.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return _bind(address, port, setting)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                advice = _advice(error, setting, port_setting)
                raise PortError(f"cannot listen on {address} port {port}: {advice}") from None
        select.select((), (), (), _RETRY)


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
        # Accepted sockets inherit the option, which saves a system call for each connection.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.bind((address, port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def _advice(error: OSError, setting: str, port_setting: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"another program listens there; stop it or choose another {port_setting}"
    if error.errno == errno.EACCES:
        return f"a port below 1024 needs root, CAP_NET_BIND_SERVICE, or another {port_setting} such as 2525"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this host has no such address; check {setting}"
    return f"{error.strerror}; check {setting} and {port_setting}"


def listen(reactor: Any, listening: socket.socket, factory: Factory, balance: Balance | None = None) -> ClientPort:
    """Serve connections to a socket. The socket is closed, because the port has a copy of its own.

    `balance` must be given if other processes accept from the socket too.
    """
    port_type = ClientPort if balance is None else SharedPort
    port: ClientPort = port_type._fromListeningDescriptor(reactor, listening.fileno(), listening.family, factory)  # noqa: SLF001
    listening.close()
    if isinstance(port, SharedPort) and balance is not None:
        port.balance = balance
    port.startListening()
    return port


def room_for_clients(most: int, notice: Callable[[str], object]) -> int:
    """Return how many clients may be connected at once, at most `most`. A smaller number is logged.

    Clients get half of the descriptors, because the other half is needed to deliver their mail. The soft limit, which
    many systems set to 1,024 for programs that use select(), is raised as far as the hard limit allows.
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
