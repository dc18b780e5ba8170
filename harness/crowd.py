"""Clients that behave badly, many at a time, each crowd one object that ends with its `with` block."""

import resource
import selectors
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from harness.waiting import PATIENCE

#: An address that the daemons of the tests do not trust.
STRANGER = "127.0.0.2"


@contextmanager
def descriptors(count: int) -> Iterator[None]:
    """Let this process and its children open so many descriptors. Raises ValueError if the system forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def descriptors_used_up(pid: int) -> Iterator[None]:
    """Let a process open no descriptor beside those that it has open now."""
    # The list of this process has also the descriptor by which it is read, and which is closed then.
    names = [*Path(f"/proc/{pid}/fd").iterdir()]
    used = {int(name.name) for name in names if name.is_symlink()}
    lowest_free = next(number for number in range(len(used) + 1) if number not in used)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    """Return a connection from this address."""
    return socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0))


class Rest:
    """Whether a process rests: `come` is true once all its threads have slept whenever it was looked at for a while.

    A thread that spins is never seen asleep, however little of a busy processor it gets.
    """

    _LOOKS = 25

    def __init__(self, pid: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._asleep = 0

    def come(self) -> bool:
        """Look once."""
        states = [file.read_text().rpartition(")")[2].split()[0] for file in self._tasks.glob("*/stat")]
        self._asleep = self._asleep + 1 if set(states) == {"S"} else 0
        return self._asleep >= self._LOOKS


class Silent:
    """Clients that connect and send no command. `said` counts the reply codes that they received."""

    def __init__(self, port: int, count: int, source: str = "127.0.0.1") -> None:
        self.said: Counter[bytes] = Counter()
        self._sockets = []
        for _ in range(count):
            client = connect(port, source)
            self.said[client.recv(512)[:9]] += 1
            self._sockets.append(client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for client in self._sockets:
            client.close()


class Flood:
    """A thread that connects and hangs up as fast as it can; `count` says how often it did."""

    def __init__(self, port: int, source: str) -> None:
        self.count = 0
        self._port, self._source = port, source
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            with suppress(OSError):
                connect(self._port, self._source).close()
                self.count += 1


class Deaf:
    """Clients that ask and ask and never read an answer, until neither side takes any more."""

    def __init__(self, clients: list[socket.socket], question: bytes) -> None:
        self._clients = clients
        self._question = question * 1000
        self._waiting = selectors.DefaultSelector()
        for client in clients:
            client.setblocking(False)
            self._waiting.register(client, selectors.EVENT_WRITE)

    def ask(self) -> bool:
        """Send as many octets as the other side takes at once. Return whether any client was left."""
        ready = self._waiting.select(0.2)
        for key, _ in ready:
            client = key.fileobj
            assert isinstance(client, socket.socket)
            try:
                client.send(self._question)
            except (BlockingIOError, ssl.SSLWantWriteError):
                continue
            except OSError:
                self._waiting.unregister(client)
        return bool(ready)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._waiting.close()
        for client in self._clients:
            client.close()
