"""Add, mark and settle messages in one queue as one relay does, and print the time as JSON.

Usage: python -m bench.shared_queue_load (--directory DIR | --url URL) --messages N --flight N

Each message is 4 KiB with one recipient. It is added born claimed, then marked and settled, each once the step before
it is durable. The line that is printed has the seconds from the first add to the last settlement, and those of CPU of
this process.
"""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from bench.queue_bench import BODY, ENVELOPE, TOOK
from mta.message.body import MemoryBody
from mta.queue.disk.threads import Threads
from mta.queue.ids import IdSource
from mta.queue.interface import NewMail, Queue, Settlement, Verdict
from mta.queue.postgres.membership.node import Node, join
from mta.queue.postgres.queue import LANES, PostgresQueue
from mta.queue.postgres.schema import open_schema
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server
from mta.queue.sqlite.queue import open_queue
from mta.queue.sqlite.wal import WAL_OCTETS


class OneNode:
    """The nodes of a relay that lives through the measurement."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def wake_peers(self) -> None:
        """Do nothing, because no other relay is to be woken."""


class Messages:
    """Sends messages one after another, `flight` of them at the same time."""

    def __init__(self, queue: Queue, messages: int, ids: IdSource) -> None:
        self._queue = queue
        self._left = messages
        self._ids = ids

    async def send(self) -> None:
        """Send until none is left."""
        while self._left:
            self._left -= 1
            now = time.time()
            new = NewMail(self._ids.new(now), ENVELOPE, MemoryBody(BODY))
            claim = await self._queue.add(new, now, lease=600.0)
            assert claim is not None
            await self._queue.note_in_flight(claim.id, [0])
            assert await self._queue.settle(Settlement(claim, [Verdict(0, TOOK)], time.time()))


def measured(queue: Queue, ids: IdSource, messages: int, flight: int) -> dict[str, float]:
    """Return the seconds of all messages, and of the CPU for them."""
    begin: list[float] = []

    def start() -> "Deferred[object]":
        begin.extend((time.perf_counter(), time.process_time()))
        load = Messages(queue, messages, ids)
        return gatherResults([Deferred.fromCoroutine(load.send()) for _ in range(flight)])

    ended: list[object] = []

    def end(result: object) -> None:
        begin.extend((time.perf_counter(), time.process_time()))
        ended.append(result)
        queue.close().addBoth(lambda _: reactor.crash())

    reactor.callWhenRunning(lambda: start().addBoth(end))
    reactor.run(installSignalHandlers=False)
    if not isinstance(ended[0], list):
        sys.exit(str(ended[0]))
    wall, cpu, wall_end, cpu_end = begin
    return {"seconds": wall_end - wall, "cpu": cpu_end - cpu, "messages": messages}


def shared_queue(url: str, run: Threads, directory: Path) -> tuple[PostgresQueue, IdSource]:
    """Return a queue in the name of a new node of the database at a URL, whose tables are made if they are missing."""
    server = read_server(url)
    session = DatabaseSession(server.connection_parameters())
    open_schema(session)
    node = join(session, "bench", "bench", 1, LANES)
    session.close()
    queue = PostgresQueue(
        server,
        OneNode(node),
        run=run,
        seconds=reactor.seconds,
        wall_clock=time.time,
        directory=directory,
        call_later=reactor.callLater,
    )
    return queue, IdSource(node.tag)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--directory", type=Path, help="of a queue of its own, which is made and deleted")
    place.add_argument("--url", help="of a shared queue")
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--flight", type=int, default=20)
    options = parser.parse_args()
    run = Threads(reactor)
    if options.url:
        queue, ids = shared_queue(options.url, run, Path(os.devnull))
        print(json.dumps(measured(queue, ids, options.messages, options.flight)))
    else:
        own = open_queue(
            options.directory, run=run, now=time.time(), call_later=reactor.callLater, wal_octets=WAL_OCTETS
        )
        try:
            print(json.dumps(measured(own, IdSource(1), options.messages, options.flight)))
        finally:
            shutil.rmtree(options.directory, ignore_errors=True)
    run.stop()


if __name__ == "__main__":
    main()
