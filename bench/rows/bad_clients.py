"""B15: the latency of one client while a crowd of others behaves badly."""

import gc
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from statistics import quantiles

from bench.client import Client, content
from bench.crowd import crowd
from bench.row import RELAY, Bench, Figures, Goal
from bench.server import Server
from harness.crowd import descriptors, descriptors_used_up

_SILENT, _SLOW, _FLOOD, _DEAF, _STARVED = "silent", "slow", "flood", "deaf", "no descriptors"
_KINDS = (_SILENT, _SLOW, _FLOOD, _DEAF, _STARVED)
#: Acts of a crowd a second: octets of the slow, connections of the flood, and of those who meet no descriptors.
_OCTETS, _CONNECTIONS, _KNOCKS = 250, 500, 100
_WARM = 100
_OTHERS = 500


@dataclass(frozen=True, slots=True)
class Crowd:
    """The row. Each crowd is measured between two halves of a quiet time; its ratio is that of the two p99."""

    name: str = "B15"
    words: str = "a crowd: 4 KiB, one session, latency of the durable 250 amid others"
    contenders: Sequence[str] = (RELAY,)
    goals: Sequence[Goal] = tuple(Goal(f"{kind}/quiet", 2, at_most=True) for kind in _KINDS)

    def run(self, bench: Bench, contender: str) -> Figures:
        """Send one message after the other on one connection, quietly and amid each crowd."""
        silent, half = bench.amount(2000, 500), bench.amount(1000, 200)
        figures: dict[str, float] = {}
        with ExitStack() as stack:
            stack.enter_context(descriptors(silent + _OTHERS))
            sink = stack.enter_context(bench.sink())
            server = stack.enter_context(bench.server(contender, sink.port))
            client = stack.enter_context(Client(server.port))
            times(client, _WARM)
            for kind in _KINDS:
                quiet = times(client, half)
                with _crowd(kind, server, silent, bench.amount(10, 2)):
                    amid = times(client, 2 * half)
                quiet += times(client, half)
                figures |= {f"{kind}/quiet": p99(amid) / p99(quiet), f"p99 ms {kind}": p99(amid)}
                figures.setdefault("p99 ms quiet", p99(quiet))
        return figures


def _crowd(kind: str, server: Server, silent: int, deaf: int) -> AbstractContextManager[object]:
    port = server.port
    if kind == _SILENT:
        return crowd("silent", port, count=silent)
    if kind == _SLOW:
        return crowd("slow", port, count=min(500, silent), rate=_OCTETS)
    if kind == _FLOOD:
        return crowd("flood", port, rate=_CONNECTIONS)
    if kind == _DEAF:
        return crowd("deaf", port, count=deaf)
    stack = ExitStack()
    stack.enter_context(descriptors_used_up(server.pid))
    stack.enter_context(crowd("knock", port, rate=_KNOCKS))
    return stack


def times(client: Client, number: int) -> list[float]:
    """Return how long each of so many messages waited for its 250, in milliseconds."""
    message = content()
    gc.collect()
    return [client.send(["someone@example.test"], message) * 1000 for _ in range(number)]


def p99(times: Sequence[float]) -> float:
    return quantiles(times, n=100)[98]


ROW = Crowd()
