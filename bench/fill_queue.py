"""Fill a queue through its own `add`, and measure adds and claims with so many messages waiting.

Usage: python -m bench.fill_queue DIRECTORY --counts 0 10000 1000000 [--sample N] [--to ADDRESS ...]

Prints one JSON object: `adds/s` and `claims/s`, each taken over the sample, by the number of messages that waited.
Without a sample the queue is only filled. The messages go to the addresses in turn and are due in a day.
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from mta.message.body import MemoryBody
from mta.message.envelope import Envelope, Origin, Recipient
from mta.queue.disk.threads import Threads
from mta.queue.ids import IdSource
from mta.queue.interface import Claim, NewMail
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from mta.smtp.address import parse_address

#: Octets of a message: the queue's files stay below 1 GB with a million of them.
MESSAGE_BYTES = 512
_BODY = (b"Subject: waiting\r\n\r\n" + b"x" * MESSAGE_BYTES)[: MESSAGE_BYTES - 2] + b"\r\n"
#: Adds on their way at once: as many as a busy listener may have.
_FLIGHT = 1000
#: Messages in one claim, as the relay asks for them.
_HANDFUL = 100
_DAY = 86400.0
# Samples at each count, of which the median counts: each takes a second or less.
_TIMES = 5


class Filler:
    """Adds to a queue and claims from it."""

    def __init__(self, queue: SqliteQueue, addresses: Sequence[str]) -> None:
        self._queue = queue
        self._ids = IdSource(1)
        self._envelopes = itertools.cycle(_envelope(address) for address in addresses)
        self.waiting = 0

    async def fill(self, count: int) -> None:
        """Add until so many wait."""
        await self._add(count - self.waiting, _DAY)

    async def adds(self, sample: int) -> float:
        """Return how many a second are added; they are due before all others."""
        begun = time.perf_counter()
        await self._add(sample, 0.0)
        return sample / (time.perf_counter() - begun)

    async def claims(self, sample: int) -> float:
        """Return how many due messages a second are claimed; then they wait like the others."""
        begun, claimed = time.perf_counter(), list[Claim]()
        while len(claimed) < sample:
            claimed += await self._queue.claim(time.time(), _HANDFUL, 600.0)
        rate = sample / (time.perf_counter() - begun)
        await gatherResults([self._queue.release(claim, time.time() + _DAY) for claim in claimed])
        return rate

    async def _add(self, count: int, delay: float) -> None:
        """Keep a flight of adds under way until all are on disk."""
        left = iter(range(count))
        await gatherResults([Deferred.fromCoroutine(self._lane(left, delay)) for _ in range(_FLIGHT)])
        self.waiting += max(0, count)

    async def _lane(self, left: Iterator[int], delay: float) -> None:
        for _ in left:
            now = time.time()
            mail = NewMail(self._ids.new(now), next(self._envelopes), MemoryBody(_BODY))
            await self._queue.add(mail, now, due=now + delay)


def _envelope(address: str) -> Envelope:
    origin = Origin("127.0.0.1", "client.example.test", "ESMTP")
    return Envelope(parse_address("sender@example.test"), (Recipient(parse_address(address)),), origin)


async def _measure(queue: SqliteQueue, options: argparse.Namespace) -> dict[str, dict[int, float]]:
    filler = Filler(queue, options.to)
    # Code, caches and the file's first pages are made warm.
    await filler.adds(options.sample)
    await filler.claims(options.sample)
    adds: dict[int, float] = {}
    claims: dict[int, float] = {}
    for count in options.counts:
        await filler.fill(count)
        if options.sample:
            # The disk has written the filling: the row measures the cost of waiting messages, not of arriving ones.
            os.sync()
            pairs = [(await filler.adds(options.sample), await filler.claims(options.sample)) for _ in range(_TIMES)]
            adds[count] = median(add for add, _ in pairs)
            claims[count] = median(claim for _, claim in pairs)
    return {"adds/s": adds, "claims/s": claims}


async def _main(reactor: Any, options: argparse.Namespace) -> None:
    run = Threads(reactor)
    queue = open_queue(options.directory, run=run, now=time.time())
    try:
        print(json.dumps(await _measure(queue, options)))
    finally:
        await queue.close()
        run.stop()


def main() -> None:
    """Fill and measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", required=True)
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--to", nargs="+", default=["someone@example.test"])
    options = parser.parse_args()
    react(lambda reactor: Deferred.fromCoroutine(_main(reactor, options)))


if __name__ == "__main__":
    main()
