"""Measure the queue alone: durable adds and settlements a second, and their cost for the reactor thread.

Usage: python -m bench.queue_bench [--directory DIR] [--messages N]
       python -m bench.queue_bench --url private|URL [--directory DIR] [--rounds N] [--quick] [--rows ROW ...]

Each message is 4 KiB with one recipient, is added born claimed and settled when the add is answered. `busy` lets the
reactor thread also work 200 us a message, with a system call in each piece, as the SMTP code around the queue does.
The reactor, the pace of garbage collection and the options of the queue are those of a relay.

With `--url` the queue on PostgreSQL is measured, against the queue in files and itself: `bench.shared_queue` has
the rows. It makes databases of its own, on the server of a URL, or on a private one whose files are in DIR.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.queue_load import Load
from mta.daemon.garbage import look_for_garbage_rarely
from mta.queue.disk.threads import Threads
from mta.queue.ids import IdSource
from mta.queue.sqlite.queue import open_queue
from mta.queue.sqlite.wal import WAL_OCTETS
from mta.reactor.epoll import install_unless_chosen


def measure(reactor: Any, directory: Path, messages: int, flight: int, work: float) -> str:
    shutil.rmtree(directory, ignore_errors=True)
    run = Threads(reactor)
    queue = open_queue(directory, run=run, now=time.time(), call_later=reactor.callLater, wal_octets=WAL_OCTETS)
    load = Load(queue, messages, flight, ids=IdSource(1), work=work, marks=False)
    marks: list[tuple[float, float, float]] = []

    def mark() -> None:
        marks.append((time.perf_counter(), time.thread_time(), time.process_time()))

    def done(failure) -> None:
        if failure is not None:
            failure.printTraceback()
        mark()
        queue.close().addBoth(lambda _: reactor.crash())

    mark()
    reactor.callWhenRunning(load.start, done)
    reactor.run(installSignalHandlers=False)
    run.stop()
    wall, thread, process = (after - before for before, after in zip(*marks, strict=True))
    extra = 2 * work
    return (
        f"{flight:6} {'busy' if work else 'idle':>5} {messages / wall:9.0f} {messages / wall * 2:9.0f}"
        f" {(thread / messages - extra) * 1e6:10.0f} {(process / messages - extra) * 1e6:9.0f}"
    )


def lines(directory: Path, messages: int) -> Iterator[str]:
    install_unless_chosen()
    # Only here, because its import would install another one.
    from twisted.internet import reactor  # noqa: PLC0415

    look_for_garbage_rarely()
    yield f"{'flight':>6} {'':>5} {'mails/s':>9} {'changes/s':>9} {'reactor us':>10} {'all us':>9}"
    for flight in (1, 20, 100):
        for work in (0.0, 100e-6):
            yield measure(reactor, directory, messages if flight > 1 else messages // 5, flight, work)


def measure_shared(url: str, directory: Path, rows: list[str], rounds: int, *, quick: bool) -> None:
    """Print the rows of the queue on PostgreSQL."""
    # Only here, because a measurement of the queue in files needs no driver.
    from bench.shared_queue import Database, Databases, Rows, Sizes  # noqa: PLC0415
    from harness.postgres import Cluster  # noqa: PLC0415

    sizes = Sizes(rounds=rounds)
    if quick:
        sizes = Sizes(rounds, messages=1000, waiting=5000, through=2000, beside=2000)

    def print_rows(new_database: Callable[[], Database]) -> None:
        for name, row in Rows(new_database, directory, sizes).all():
            for line in row() if not rows or name in rows else ():
                print(line, flush=True)

    if url == "private":
        # Any user must be able to enter, because the server is not root's.
        directory.chmod(0o755)
        with Cluster(directory=directory, autovacuum_naptime="15s") as cluster:
            cluster.reuse_log_files()
            print_rows(lambda: Database(cluster.url(cluster.database()), cluster))
    else:
        with Databases(url) as databases:
            print_rows(databases.new)


def measure_files(directory: Path, messages: int) -> None:
    """Print the rows of the queue in files."""
    try:
        for line in lines(directory / "queue", messages):
            print(line, flush=True)
    finally:
        shutil.rmtree(directory / "queue", ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, help="on the disk to measure; a new one under . if not given")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--url", help="postgresql://..., a user that may make databases; or `private`")
    parser.add_argument("--rows", nargs="*", default=[], help="names of rows of --url")
    parser.add_argument("--rounds", type=int, default=3, help="of --url")
    parser.add_argument("--quick", action="store_true", help="small loads with --url, not to quote")
    options = parser.parse_args()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="queue-bench-", dir="."))
    try:
        if options.url:
            measure_shared(options.url, directory.resolve(), options.rows, options.rounds, quick=options.quick)
        else:
            measure_files(directory, options.messages)
    finally:
        if options.directory is None:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
