"""B14: an idle relay, from its start until some seconds later."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.processes import cpu_seconds, resident_mb
from bench.row import RELAY, Bench, Figures, Goal

# A start is seen to a fiftieth of a second, and depends on other work of the machine, so that a round has several.
_OTHER_STARTS = 4


@dataclass(frozen=True, slots=True)
class Idle:
    """The time until the greeting, the memory, and the wake-ups of an idle relay."""

    name: str = "B14"
    words: str = "idle"
    contenders: Sequence[str] = (RELAY,)
    goals: Sequence[Goal] = (Goal("resident MB", 60, at_most=True), Goal("ready s", 1, at_most=True))

    def run(self, bench: Bench, contender: str) -> Figures:  # noqa: ARG002  there is only one
        """Start it and watch it."""
        return watch(bench, {})


def watch(bench: Bench, settings: Mapping[str, str]) -> Figures:
    """Start a relay with settings some times, and watch the last one."""
    starts = [_seconds_to_start(bench, settings) for _ in range(bench.amount(_OTHER_STARTS, 0))]
    server = bench.server(RELAY, sink_port=9, relay=settings)
    begun = time.perf_counter()
    with server:
        starts.append(time.perf_counter() - begun)
        # The rest of a start is done within three seconds.
        time.sleep(3)
        cpu, woken = cpu_seconds(server.pid), _wakeups(server.pid)
        seconds = bench.amount(10, 3)
        time.sleep(seconds)
        return {
            "ready s": median(starts),
            "resident MB": resident_mb(server.pid),
            "wake-ups/min": (_wakeups(server.pid) - woken) * 60 / seconds,
            "CPU %": (cpu_seconds(server.pid) - cpu) * 100 / seconds,
        }


def _seconds_to_start(bench: Bench, settings: Mapping[str, str]) -> float:
    begun = time.perf_counter()
    with bench.server(RELAY, sink_port=9, relay=settings):
        return time.perf_counter() - begun


def _wakeups(pid: int) -> int:
    """Return how often a process's threads went to sleep of themselves, and so had been awake."""
    name, total = "voluntary_ctxt_switches:", 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        lines = (thread / "status").read_text().splitlines()
        total += next(int(line.removeprefix(name)) for line in lines if line.startswith(name))
    return total


ROW = Idle()
