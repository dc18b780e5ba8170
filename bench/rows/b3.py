"""B3: what one client waits for when nobody else is there, and no sync can be shared."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from bench.client import Client, content
from bench.row import EXIM, POSTFIX, RELAY, Bench, Figures, Goal

_WARM = 30


@dataclass(frozen=True, slots=True)
class Latency:
    """The row. The time runs from the last octet of the end of the data to the 250."""

    name: str = "B3"
    words: str = "4 KiB, one session, latency of the durable 250"
    contenders: Sequence[str] = (RELAY, POSTFIX, EXIM)
    goals: Sequence[Goal] = (
        Goal("median ms", 0.5, at_most=True, against=POSTFIX),
        Goal("p99 ms", 0.5, at_most=True, against=POSTFIX),
    )

    def run(self, bench: Bench, contender: str) -> Figures:
        """Send one message after the other on one connection."""
        message = content()
        with bench.sink() as sink, bench.server(contender, sink.port) as server, Client(server.port) as client:
            for _ in range(_WARM):
                client.send(["someone@example.test"], message)
            times = [client.send(["someone@example.test"], message) for _ in range(bench.amount(600, 100))]
        return {"median ms": median(times) * 1000, "p99 ms": quantiles(times, n=100)[98] * 1000}


ROW = Latency()
