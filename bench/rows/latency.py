"""B3: the latency of a lone client, whose syncs are shared with no other session."""

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from bench.client import Client, content
from bench.row import EXIM, POSTFIX, RELAY, Bench, Figures, Goal

#: No server: as many octets as a message has, written over old octets of a file, and synced.
DISK = "the disk alone"

_WARM = 30
_OCTETS = 4096


@dataclass(frozen=True, slots=True)
class Latency:
    """The row. The time runs from the last octet of the end of the data to the 250."""

    name: str = "B3"
    words: str = "4 KiB, one session, latency of the durable 250"
    contenders: Sequence[str] = (RELAY, POSTFIX, EXIM, DISK)
    goals: Sequence[Goal] = (
        Goal("median ms", 0.5, at_most=True, against=POSTFIX),
        Goal("p99 ms", 0.5, at_most=True, against=POSTFIX),
    )

    def run(self, bench: Bench, contender: str) -> Figures:
        """Send one message after the other on one connection."""
        number = bench.amount(600, 100)
        times = _disk(bench, number) if contender == DISK else _server(bench, contender, number)
        return {"median ms": median(times) * 1000, "p99 ms": quantiles(times, n=100)[98] * 1000}


def _server(bench: Bench, contender: str, number: int) -> list[float]:
    message = content(_OCTETS)
    with bench.sink() as sink, bench.server(contender, sink.port) as server, Client(server.port) as client:
        return [client.send(["someone@example.test"], message) for _ in range(_WARM + number)][_WARM:]


def _disk(bench: Bench, number: int) -> list[float]:
    with tempfile.TemporaryFile(dir=bench.directory, buffering=0) as file:
        file.write(bytes(_OCTETS * number))
        os.fsync(file.fileno())
        return [_overwrite(file.fileno(), place * _OCTETS) for place in range(number)]


def _overwrite(file: int, place: int) -> float:
    began = time.perf_counter()
    os.pwrite(file, b"x" * _OCTETS, place)
    os.fdatasync(file)
    return time.perf_counter() - began


ROW = Latency()
