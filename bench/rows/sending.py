"""Sends messages from smtp-source through a server into smtp-sink, timed from the first connect to the last message."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.load import Counter, Sink, Source
from bench.processes import cpu_seconds
from bench.recipients import RecipientSink
from bench.row import EXIM, HARAKA, POSTFIX, RELAY, RELAY_X2, Bench, Figures, Goal
from bench.server import Server
from harness.waiting import until

_ROUND_SECONDS = 120.0
#: How much of a round's messages a slower contender gets, so that all take a like time.
_SHARES = {POSTFIX: 0.4, EXIM: 0.1, HARAKA: 0.2, RELAY_X2: 1.5}


@dataclass(frozen=True, slots=True)
class Load:
    """The load of the clients. `options` are smtp-source's; `-d` keeps a session's connection for all its messages."""

    octets: int = 4096
    sessions: int = 20
    options: tuple[str, ...] = ("-d",)


#: The load of B1.
USUAL = Load()


@dataclass(frozen=True, slots=True)
class Passage:
    """The measured run: seconds from the first connect until the last 250, and until the sink had the last message."""

    messages: int
    accepted_seconds: float
    delivered_seconds: float
    cpu_seconds: float

    @property
    def accepts(self) -> float:
        """Durable accepts a second."""
        return self.messages / self.accepted_seconds

    @property
    def deliveries(self) -> float:
        """Messages a second, end to end."""
        return self.messages / self.delivered_seconds

    def figures(self) -> Figures:
        """Return it under the names the table has."""
        return {
            "end-to-end/s": self.deliveries,
            "accepts/s": self.accepts,
            "CPU ms/message": self.cpu_seconds * 1000 / self.messages,
        }


@dataclass(frozen=True, slots=True)
class Throughput:
    """A row of messages a second; with `grown`, numbers of sessions, a run that takes its time also draws a curve."""

    name: str
    words: str
    load: Load
    goals: Sequence[Goal]
    messages: int = 5000
    quick_messages: int = 600
    contenders: Sequence[str] = (RELAY, RELAY_X2, POSTFIX, EXIM)
    sink: type[Sink] | type[RecipientSink] = Sink
    grown: Sequence[int] = ()

    def run(self, bench: Bench, contender: str) -> Figures:
        """Send one round's messages through a fresh server that has been warmed up."""
        messages = share(contender, bench.amount(self.messages, self.quick_messages))
        with self.sink() as sink, bench.server(contender, sink.port) as server:
            figures = warm_passage(server, sink, messages, self.load).figures()
            return {**figures, **(self._curve(server, sink, messages // 4) if not bench.quick else {})}

    def _curve(self, server: Server, sink: Counter, messages: int) -> Figures:
        loads = (replace(self.load, sessions=sessions) for sessions in self.grown)
        return {
            f"end-to-end/s @ {load.sessions} sessions": pass_through(
                server, sink, load, min(messages, 100 + 40 * load.sessions)
            ).deliveries
            for load in loads
        }


def share(contender: str, messages: int) -> int:
    """Return how many of a round's messages a contender gets."""
    return max(1, round(messages * _SHARES.get(contender, 1)))


def warm_up(server: Server, sink: Counter, load: Load, messages: int) -> None:
    """Send a few messages first, so that connections, caches and processes are there when the clock starts."""
    pass_through(server, sink, load, max(load.sessions, messages))


def warm_passage(server: Server, sink: Counter, messages: int, load: Load = USUAL) -> Passage:
    """Send the messages through a server after a tenth as many that are not measured. Raises as `pass_through`."""
    warm_up(server, sink, load, messages // 10)
    return pass_through(server, sink, load, messages)


def pass_through(server: Server, sink: Counter, load: Load, messages: int) -> Passage:
    """Send the messages through a server. Raises RuntimeError or TimeoutError with the reason."""
    goal = sink.count() + messages
    before = cpu_seconds(server.pid)
    with Source(server.port, messages, load.octets, load.sessions, options=load.options) as source:
        until(lambda: sink.count() >= goal or source.failed, _ROUND_SECONDS, what=f"message {messages} at the sink")
        ended = time.perf_counter()
        source.finish()
    used = cpu_seconds(server.pid) - before
    return Passage(messages, source.ended - source.begun, ended - source.begun, used)
