"""What several rows do: smtp-source through a server into smtp-sink, timed from the first connect to the last one."""

import time
from dataclasses import dataclass

from bench.load import Sink, Source
from bench.server import Server
from tests.fakes.processes import until

_ROUND_SECONDS = 120.0
_WARM = 200


@dataclass(frozen=True, slots=True)
class Load:
    """What clients send. `options` are smtp-source's; `-d` keeps a session's connection for all its messages."""

    octets: int = 4096
    sessions: int = 20
    options: tuple[str, ...] = ("-d",)


@dataclass(frozen=True, slots=True)
class Passage:
    """What it took: seconds from the first connect until the last 250, and until the sink had the last message."""

    messages: int
    accepted_seconds: float
    delivered_seconds: float

    @property
    def accepts(self) -> float:
        """Durable accepts a second."""
        return self.messages / self.accepted_seconds

    @property
    def deliveries(self) -> float:
        """Messages a second, end to end."""
        return self.messages / self.delivered_seconds


def warm_up(server: Server, sink: Sink, load: Load, messages: int = _WARM) -> None:
    """Send a few messages first, so that connections, caches and processes are there when the clock starts."""
    pass_through(server, sink, load, messages)


def pass_through(server: Server, sink: Sink, load: Load, messages: int) -> Passage:
    """Send the messages through a server. Raises RuntimeError or TimeoutError, which say what went wrong."""
    goal = sink.count() + messages
    with Source(server.port, messages, load.octets, load.sessions, options=load.options) as source:
        until(lambda: sink.count() >= goal or source.failed, _ROUND_SECONDS, what=f"message {messages} at the sink")
        ended = time.perf_counter()
        words = source.finish()
    if source.failed:
        raise RuntimeError(f"smtp-source failed: {words[-500:]}")
    return Passage(messages, source.ended - source.begun, ended - source.begun)
