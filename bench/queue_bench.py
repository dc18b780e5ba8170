"""Measure the queue alone: durable adds and settlements a second, and their cost for the reactor thread.

Usage: python -m bench.queue_bench [--directory DIR] [--messages N]

Each message is 4 KiB with one recipient, is added born claimed and settled when the add is answered. `busy` lets the
reactor thread also work 200 us a message, with a system call in each piece, as the SMTP code around the queue does.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from twisted.internet import reactor

from mta.message.body import MemoryBody
from mta.message.envelope import Envelope, Origin, Recipient
from mta.message.outcome import Delivered
from mta.queue.disk.threads import Threads
from mta.queue.ids import IdSource
from mta.queue.interface import NewMail, Settlement, Verdict
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from mta.smtp.address import parse_address

BODY = os.urandom(4096)
ENVELOPE = Envelope(
    parse_address("sender@example.test"),
    (Recipient(parse_address("bob@example.test")),),
    Origin("127.0.0.1", "client.example.test", "ESMTP"),
)
TOOK = Delivered("250 2.0.0 Ok: queued as 12345", "mx.example.test[192.0.2.1]:25")


class Load:
    """Keeps a number of messages in flight until all are settled."""

    def __init__(self, queue: SqliteQueue, messages: int, flight: int, work: float) -> None:
        self.queue = queue
        self.left = messages
        self.open = messages
        self.flight = flight
        self.work = work
        self.ids = IdSource(1)

    def start(self, done) -> None:
        """Begin; `done` is called at the end."""
        self.done = done
        for _ in range(self.flight):
            self.send()

    def send(self) -> None:
        """Add one more, if any are left."""
        if self.left == 0:
            return
        self.left -= 1
        labour(self.work)
        now = time.time()
        mail = NewMail(self.ids.new(now), ENVELOPE, MemoryBody(BODY))
        self.queue.add(mail, now, lease=600.0).addCallbacks(self.added, self.failed)

    def added(self, claim) -> None:
        """Go on with the next, and settle this one."""
        self.send()
        labour(self.work)
        verdicts = [Verdict(0, TOOK)]
        self.queue.settle(Settlement(claim, verdicts, time.time())).addCallbacks(self.settled, self.failed)

    def settled(self, kept: bool) -> None:
        """Count it."""
        assert kept
        self.open -= 1
        if self.open == 0:
            self.done()

    def failed(self, failure) -> None:
        """Tell and give up."""
        failure.printTraceback()
        self.done()


def labour(seconds: float) -> None:
    """Use the CPU in pieces of 20 us, with a system call that gives up the interpreter's lock after each."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        piece = time.thread_time() + 20e-6
        while time.thread_time() < piece:
            pass
        os.write(NULL, b"x")


NULL = os.open(os.devnull, os.O_WRONLY)


def measure(directory: Path, messages: int, flight: int, work: float) -> str:
    shutil.rmtree(directory, ignore_errors=True)
    run = Threads(reactor)
    queue = open_queue(directory, run=run, now=time.time())
    load = Load(queue, messages, flight, work)
    marks: list[tuple[float, float, float]] = []

    def mark() -> None:
        marks.append((time.perf_counter(), time.thread_time(), time.process_time()))

    def done() -> None:
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
    yield f"{'flight':>6} {'':>5} {'mails/s':>9} {'changes/s':>9} {'reactor us':>10} {'all us':>9}"
    for flight in (1, 20, 100):
        for work in (0.0, 100e-6):
            yield measure(directory, messages if flight > 1 else messages // 5, flight, work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, help="on the disk to measure; a new one under . if not given")
    parser.add_argument("--messages", type=int, default=10_000)
    options = parser.parse_args()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="queue-bench-", dir="."))
    try:
        for line in lines(directory / "queue", options.messages):
            print(line, flush=True)
    finally:
        shutil.rmtree(directory / "queue", ignore_errors=True)
        if options.directory is None:
            directory.rmdir()


if __name__ == "__main__":
    main()
