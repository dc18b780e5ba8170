"""Compare the shared queue on PostgreSQL with the queue in a file of its own: rates, and CPU of relay and server.

Usage: python -m bench.shared_queue_bench [--directory DIR] [--messages N] [--rounds N]

All queues are on the disk of the directory, and the server syncs as it does by default. Each ratio is the median of the
rounds, in which the variants take turns. `bench.shared_queue_load` is one relay.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from harness.postgres import Cluster

#: The settings of a server as an operator has them, but for its memory.
SERVER = {"shared_buffers": "256MB", "max_wal_size": "2GB", "autovacuum_naptime": "15s"}


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement: messages a second, and microseconds of CPU a message."""

    rate: float
    relay: float
    server: float = 0.0


def cpu_of(cluster: Cluster) -> float:
    """Return the seconds of CPU that the processes of a server, and those that have ended, have used."""
    ticks = 0
    for process in cluster.files.processes():
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def load(arguments: Sequence[str], relays: int = 1, cluster: Cluster | None = None) -> Result:
    """Run relays at the same time, and return their common rate and their CPU a message."""
    command = [sys.executable, "-m", "bench.shared_queue_load", *arguments]
    before = cpu_of(cluster) if cluster else 0.0
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(relays)]
    results = [json.loads(each.communicate()[0]) for each in running]
    after = cpu_of(cluster) if cluster else 0.0
    messages = sum(result["messages"] for result in results)
    relay = sum(result["cpu"] for result in results)
    rate = sum(result["messages"] / result["seconds"] for result in results)
    return Result(rate, relay / messages * 1e6, (after - before) / messages * 1e6)


class Bench:
    """Servers on one disk, and the measurements on them."""

    def __init__(self, stack: ExitStack, directory: Path, messages: int, rounds: int) -> None:
        self._stack = stack
        self._directory = directory
        self._messages = messages
        self._rounds = rounds
        self._server = stack.enter_context(Cluster("bench", directory=directory, **SERVER))

    def own(self, flight: int) -> Result:
        """Measure a queue in a file."""
        return load(["--directory", str(self._directory / "own"), *self._options(flight)])

    def shared(self, flight: int, relays: int = 1) -> Result:
        """Measure a queue in a new database with so many relays."""
        server = self._server
        database = server.database()
        try:
            # The first relay makes the tables.
            load(["--url", server.url(database), "--messages", "10"])
            return load(["--url", server.url(database), *self._options(flight)], relays, server)
        finally:
            server.drop(database)

    def _options(self, flight: int) -> list[str]:
        return ["--flight", str(flight), "--messages", str(self._messages if flight > 1 else self._messages // 5)]

    def lines(self) -> Iterator[str]:
        """Measure all, a line for each comparison."""
        for flight in (1, 20, 100):
            pairs = [(self.own(flight), self.shared(flight)) for _ in range(self._rounds)]
            yield f"{flight:3} in flight, shared against own: {_both(pairs)}"
        for relays in (2, 3):
            pairs = [(self.shared(20), self.shared(20, relays)) for _ in range(self._rounds)]
            yield f" 20 in flight each, {relays} relays against one: {_both(pairs)}"
        yield f"WAL a message of 4 KiB: {self.wal():.0f} octets"
        standby = self._stack.enter_context(Cluster("standby", directory=self._directory, copy_of=self._server))
        for flight in (20, 100):
            pairs = [(self.without_standby(flight), self.with_standby(flight, standby)) for _ in range(self._rounds)]
            yield f"{flight:3} in flight, synchronous standby against none: {_both(pairs)}"

    def without_standby(self, flight: int) -> Result:
        """Measure with a server alone."""
        self._server.set(synchronous_standby_names="")
        return self.shared(flight)

    def with_standby(self, flight: int, standby: Cluster) -> Result:
        """Measure with a server that waits for its standby."""
        self._server.set(synchronous_standby_names=f'"{standby.name}"')
        self._server.wait_for_standby(standby)
        return self.shared(flight)

    def wal(self) -> float:
        """Return the octets of the log that the server writes for a message."""
        ((before,),) = self._server.execute("SELECT pg_current_wal_lsn()::text")
        self.shared(100)
        ((octets,),) = self._server.execute(f"SELECT pg_current_wal_lsn() - '{before}'::pg_lsn")
        return float(octets) / self._messages


def _both(pairs: Sequence[tuple[Result, Result]]) -> str:
    rate = statistics.median(new.rate / old.rate for old, new in pairs)
    cpu = statistics.median(new.relay / old.relay for old, new in pairs)
    old, new = (statistics.median(result.rate for result in results) for results in zip(*pairs, strict=True))
    relay, server = (statistics.median(getattr(new, name) for _, new in pairs) for name in ("relay", "server"))
    return (
        f"rate {rate:.2f} ({new:.0f}/s against {old:.0f}/s), relay's CPU {cpu:.2f},"
        f" CPU a message: relay {relay:.0f} us, server {server:.0f} us"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, help="on the disk to measure, which any user can enter")
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with ExitStack() as stack:
        directory = options.directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queue-bench-")))
        if options.directory is None:
            directory.chmod(0o755)
        for line in Bench(stack, directory, options.messages, options.rounds).lines():
            print(line, flush=True)


if __name__ == "__main__":
    main()
