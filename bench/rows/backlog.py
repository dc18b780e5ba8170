"""B11: a million messages wait. Adds and claims beside them, and a start of the relay with them."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.processes import cpu_seconds, peak_mb
from bench.row import RELAY, Bench, Figures, Goal
from bench.server import Server
from harness.daemon import ROOT

EMPTY_QUEUE = "empty queue"
#: How long a relay that has started is watched, for its peak memory.
_WATCHED_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """The queue alone, filled through its own `add`; then a relay that starts with it."""

    name: str = "B11"
    words: str = "1,000,000 messages of 512 octets waiting"
    contenders: Sequence[str] = (RELAY, EMPTY_QUEUE)
    goals: Sequence[Goal] = (
        Goal("adds/s", 0.9, against=EMPTY_QUEUE),
        Goal("claims/s", 0.9, against=EMPTY_QUEUE),
        Goal("start s", 3, at_most=True),
        Goal("resident MB", 300, at_most=True),
    )

    def run(self, bench: Bench, contender: str) -> Figures:
        """Fill, measure the queue, and start the relay on it."""
        most = bench.amount(1_000_000, 20_000)
        counts = [0] if contender == EMPTY_QUEUE else bench.amount([0, 10_000, 100_000, most], [0, most])
        sample = bench.amount(20_000, 10_000)
        # The sink's port is closed: every waiting message is tried and deferred again.
        server = bench.server(RELAY, sink_port=9)
        try:
            rates = fill(server, counts, sample)
        except BaseException:
            server.__exit__()
            raise
        figures = {f"{name} @ {count} waiting": rate for name, by in rates.items() for count, rate in by.items()}
        figures |= {name: list(by.values())[-1] for name, by in rates.items()}
        return {**figures, **_started(server, bench.amount(_WATCHED_SECONDS, 3.0))}


def fill(
    server: Server, counts: Sequence[int], sample: int = 0, to: Sequence[str] = ()
) -> Mapping[str, dict[str, float]]:
    """Fill the queue of a server that is not running, in a process of its own; return the figures."""
    command = [sys.executable, "-m", "bench.fill_queue", str(server.home / "queue"), "--sample", str(sample)]
    command += ["--counts", *map(str, counts), *(["--to", *to] if to else [])]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the queue could not be filled: {done.stderr[-500:]}")
    rates: dict[str, dict[str, float]] = json.loads(done.stdout)
    return rates


def _started(server: Server, seconds: float) -> Figures:
    begun = time.perf_counter()
    with server:
        ready = time.perf_counter() - begun
        time.sleep(seconds)
        cpu = cpu_seconds(server.pid) * 100 / (ready + seconds)
        return {"start s": ready, "resident MB": peak_mb(server.pid), "CPU %": cpu}


ROW = Backlog()
