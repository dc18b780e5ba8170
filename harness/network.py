"""A network of one's own: namespaces in which any address may be served. They end with the program that made them."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class NoNetworkError(Exception):
    """No namespace can be made here; the message says why."""


class Network:
    """One network namespace. A context manager; raises NoNetworkError where the system forbids it."""

    def __enter__(self) -> Self:
        # cat ends with its input: when this process closes the pipe, or ends.
        command = ["unshare", "--net", "sh", "-c", "echo ready && exec cat"]
        pipe = subprocess.PIPE
        try:
            self._holder = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        except OSError as error:
            raise NoNetworkError(str(error)) from error
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "ready\n":
            raise NoNetworkError(self._holder.communicate()[1].strip())
        try:
            self.ip("link", "set", "lo", "up")
        except (NoNetworkError, OSError) as error:
            self.__exit__()
            raise NoNetworkError(str(error)) from error
        return self

    def __exit__(self, *exc: object) -> None:
        self._holder.communicate()

    @property
    def pid(self) -> int:
        """A process that lives in the namespace."""
        return self._holder.pid

    def ip(self, *arguments: str) -> None:
        """Run the `ip` command inside. Raises NoNetworkError with its words."""
        with self.entered():
            done = subprocess.run(
                ["ip", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
        if done.returncode:
            raise NoNetworkError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Have this thread make its sockets and programs inside. Sockets stay where they were made."""
        with Path("/proc/thread-self/ns/net").open() as home, Path(f"/proc/{self.pid}/ns/net").open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise NoNetworkError(f"setns: {os.strerror(ctypes.get_errno())}")


def connect(near: Network, near_address: str, far: Network, far_address: str) -> None:
    """Lay a cable from the `eth0` of one network to that of another; `near` reaches all else through `far`."""
    near.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", str(far.pid))
    for network, address in ((near, near_address), (far, far_address)):
        network.ip("address", "add", address, "dev", "eth0")
        network.ip("link", "set", "eth0", "up")
    near.ip("route", "add", "default", "via", far_address.partition("/")[0])
