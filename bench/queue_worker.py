"""One process that works on a queue, as a relay does without its SMTP: for the measurements of `bench.shared_queue`.

It has the reactor of a relay, its pace of garbage collection, and a queue with the options of a relay.

Usage: python -m bench.queue_worker DIRECTORY|postgresql://...

Each line of standard input is a task, and each line of standard output its figures, both in JSON. The first line of the
output is `{}`, when the queue is open. Tasks are `{"load": MESSAGES, "flight": NUMBER, "work": MICROSECONDS}`, in which
the reactor's thread also works for a time for each message, `{"claim": MESSAGES}`, which claims handfuls and settles
them, and `{"hold": MESSAGES}`, which adds messages that wait. The end of the input ends it.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from bench.queue_load import BODY, ENVELOPE, LEASE, TOOK, Load
from mta.daemon.garbage import look_for_garbage_rarely
from mta.message.body import MemoryBody
from mta.queue.disk.threads import Threads
from mta.queue.ids import IdSource
from mta.queue.interface import NewMail, Queue, Settlement, Verdict
from mta.queue.sqlite.queue import open_queue
from mta.queue.sqlite.wal import WAL_OCTETS
from mta.reactor.epoll import install_unless_chosen

#: Messages in one claim, as the relay asks for them.
HANDFUL = 100
_FLIGHT = 200


class Worker:
    """A queue that is open, and the tasks on it."""

    def __init__(self, place: str, reactor: Any) -> None:
        self._threads = [Threads(reactor, 6), Threads(reactor)]
        self._leave: Callable[[], Deferred[Any] | None] = lambda: None
        if place.startswith("postgres"):
            self._queue, self._ids = self._open_shared(place, reactor)
        else:
            self._queue = open_queue(
                Path(place),
                run=self._threads[0],
                now=time.time(),
                call_later=reactor.callLater,
                wal_octets=WAL_OCTETS,
            )
            self._ids = IdSource(1)

    def _open_shared(self, url: str, reactor: Any) -> tuple[Queue, IdSource]:
        # Only here, because a measurement of the queue in a file needs no driver.
        from mta.queue.postgres.membership.membership import (  # noqa: PLC0415
            Membership,
            MembershipListeners,
            NodeIdentity,
        )
        from mta.queue.postgres.membership.node import join  # noqa: PLC0415
        from mta.queue.postgres.queue import LANES, PostgresQueue  # noqa: PLC0415
        from mta.queue.postgres.schema import SCHEMA_KNOWN, open_schema  # noqa: PLC0415
        from mta.queue.postgres.session import DatabaseSession  # noqa: PLC0415
        from mta.queue.postgres.url import read_server  # noqa: PLC0415

        server = read_server(url)
        identity = NodeIdentity("bench", "bench", SCHEMA_KNOWN, LANES)
        session = DatabaseSession(server.connection_parameters(), changes=False)
        open_schema(session)
        node = join(session, identity.name, identity.program, identity.schema_known, identity.lanes)
        session.close()
        membership = Membership(
            node,
            identity,
            lambda: DatabaseSession(server.connection_parameters(), changes=False),
            clock=reactor,
            reactor=reactor,
            wall_clock=time.time,
            run=self._threads[1],
            listeners=MembershipListeners(fenced=_tell, woken=lambda _: None, notice=_tell, trouble=_tell),
        )
        queue = PostgresQueue(
            server,
            membership,
            run=self._threads[0],
            seconds=reactor.seconds,
            wall_clock=time.time,
            directory=Path(tempfile.mkdtemp(prefix="queue-bench-")),
            call_later=reactor.callLater,
            reactor=reactor,
        )
        membership.start()
        self._leave = membership.leave
        return queue, IdSource(node.tag)

    async def work(self, task: dict[str, int]) -> dict[str, float]:
        """Carry out a task and return its figures: seconds, CPU in seconds of this process, and messages."""
        begun, cpu = time.perf_counter(), time.process_time()
        if "load" in task:
            number = await self._load(task["load"], task["flight"], task.get("work", 0) * 1e-6)
        elif "hold" in task:
            number = await self._hold(task["hold"])
        else:
            number = await self._claim(task["claim"])
        return {
            "messages": number,
            "seconds": time.perf_counter() - begun,
            "cpu": time.process_time() - cpu,
        }

    async def _load(self, messages: int, flight: int, work: float) -> int:
        done: Deferred[None] = Deferred()

        def end(failure: Any) -> None:
            if not done.called:
                done.callback(failure)

        Load(self._queue, messages, flight, ids=self._ids, work=work / 2).start(end)
        await done
        return messages

    async def _hold(self, messages: int) -> int:
        for begin in range(0, messages, _FLIGHT):
            await gatherResults([self._add() for _ in range(min(_FLIGHT, messages - begin))])
        return messages

    def _add(self) -> "Deferred[Any]":
        now = time.time()
        return self._queue.add(NewMail(self._ids.new(now), ENVELOPE, MemoryBody(BODY[:512])), now)

    async def _claim(self, messages: int) -> int:
        number = 0
        while number < messages:
            claims = await self._queue.claim(time.time(), HANDFUL, LEASE)
            if not claims:
                break
            await gatherResults(
                [self._queue.settle(Settlement(claim, [Verdict(0, TOOK)], time.time())) for claim in claims]
            )
            number += len(claims)
        return number

    async def close(self) -> None:
        """Close the queue and end the threads."""
        await self._queue.close()
        await gatherResults([left] if (left := self._leave()) is not None else [])
        for threads in self._threads:
            threads.stop()


def _tell(*words: object) -> None:
    print(*words, file=sys.stderr)


async def _main(reactor: Any, place: str) -> None:
    worker = Worker(place, reactor)
    print("{}", flush=True)
    read = Threads(reactor)
    while line := await read(sys.stdin.readline):
        print(json.dumps(await worker.work(json.loads(line))), flush=True)
    await worker.close()
    read.stop()


if __name__ == "__main__":
    install_unless_chosen()
    look_for_garbage_rarely()
    react(lambda reactor, place: Deferred.fromCoroutine(_main(reactor, place)), sys.argv[1:])
