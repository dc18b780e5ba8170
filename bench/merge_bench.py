"""Measure the time of a start that merges the queue of a removed worker.

Usage: python -m bench.merge_bench [--directory DIR] [--messages N]

Both queues hold N messages of 4 KiB with one recipient each. Prints seconds of the clock and of the CPU, the
peak memory of the process, the peak length of the log, and the time of a start without a queue to merge.
"""

import argparse
import resource
import tempfile
import time
from contextlib import closing
from pathlib import Path

from bench.queue_load import BODY, ENVELOPE
from mta.message.body import FileBody, MemoryBody
from mta.queue.disk.files import BODIES, wal_of
from mta.queue.disk.queue_dir import FILE_NAME, prepare, worker_home
from mta.queue.ids import IdSource
from mta.queue.interface import NewMail
from mta.queue.sqlite.ledger import LedgerDelta
from mta.queue.sqlite.schema import open_file
from mta.queue.sqlite.statements import SQL
from mta.queue.sqlite.tables import Tables
from mta.queue.worker_queues.merge import merge

_HANDFUL = 10_000


def fill(home: Path, tag: int, messages: int) -> None:
    """Make a queue of so many waiting messages."""
    prepare(home)
    ids = IdSource(tag)
    with closing(open_file(home / FILE_NAME, create=True, upgrade=True)) as connection:
        ledger = LedgerDelta(connection)
        tables = Tables(connection, lambda name, size: FileBody(home / BODIES / name, size), ledger)
        for start in range(0, messages, _HANDFUL):
            connection.execute(SQL.begin)
            ledger.begin()
            for _ in range(min(_HANDFUL, messages - start)):
                now = time.time()
                tables.add(NewMail(ids.new(now), ENVELOPE, MemoryBody(BODY)), now, None, None)
            ledger.write()
            connection.execute(SQL.commit)


def measure(directory: Path, messages: int) -> str:
    """Fill two homes, merge them, and return the line to print."""
    for number in (1, 2):
        fill(worker_home(directory, number), number, messages)
    log = wal_of(directory / FILE_NAME)
    longest = 0

    def look(_step: str) -> None:
        nonlocal longest
        longest = max(longest, log.stat().st_size)

    wall, cpu = time.perf_counter(), time.process_time()
    (merged,) = merge(directory, 1, time.time(), look)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    nothing = time.perf_counter()
    merge(directory, 1, time.time())
    nothing = time.perf_counter() - nothing
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return (
        f"{merged.waiting} messages: {wall:.1f} s, {cpu:.1f} s CPU, {memory} MB resident, "
        f"log {longest >> 20} MiB; nothing to merge: {nothing * 1e3:.1f} ms"
    )


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, help="a folder on the disk to measure", default=Path())
    parser.add_argument("--messages", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="merge-bench-", dir=options.directory) as directory:
        print(measure(Path(directory), options.messages))


if __name__ == "__main__":
    main()
