"""The move of the queue in QUEUE_DIR to a database. It may be cut anywhere, and goes on when it is called again."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from mta.queue.disk.queue_dir import FILE_NAME, Lock, lock_relay
from mta.queue.errors import as_queue_error
from mta.queue.interface import QueueError
from mta.queue.move.source import SourceQueue
from mta.queue.move.target import TargetQueue
from mta.queue.sqlite.group_commit import Step, no_step
from mta.queue.worker_queues.merge import merge


@dataclass(frozen=True, slots=True)
class MovedMail:
    """The numbers of messages that a move carried over."""

    waiting: int
    finished: int
    #: Whether an earlier call had begun the move.
    resumed: bool

    def __str__(self) -> str:
        moved = "finished the move of messages" if self.resumed else "moved the queue's messages"
        more = " more" if self.resumed else ""
        return f"{moved}: {self.waiting}{more} waiting, {self.finished}{more} in the history"


@dataclass(frozen=True, slots=True)
class Move:
    """A move of the queue of QUEUE_DIR, with those of other workers in it, to a database."""

    directory: Path
    #: The parameters of libpq, with the password.
    parameters: Mapping[str, str] = field(repr=False)
    #: The version of this program.
    program: str
    #: Gets lines for the operator.
    tell: Callable[[str], object]
    #: Messages that go over in one transaction.
    slice_size: int = 1000
    step: Step = no_step

    def run(self, now: float) -> MovedMail:
        """Carry all messages over; then QUEUE_DIR has an empty queue. Blocks; raises QueueError.

        No relay may run on QUEUE_DIR. Relays on the database may run: they get the messages all at once, at the end.
        """
        if not (self.directory / FILE_NAME).exists():
            raise QueueError(f"there is no queue in {self.directory}: check QUEUE_DIR")
        try:
            with lock_relay(self.directory):
                for merged in merge(self.directory, 1, now):
                    self.tell(str(merged))
                with Lock(self.directory), closing(SourceQueue(self.directory, now, self.slice_size)) as source:
                    return self._to_target(source)
        except (sqlite3.Error, OSError) as error:
            raise as_queue_error(error) from error

    def _to_target(self, source: SourceQueue) -> MovedMail:
        with closing(TargetQueue(self.parameters, self.program)) as target:
            for notice in target.notices:
                self.tell(notice)
            return self._carry(source, target)

    def _carry(self, source: SourceQueue, target: TargetQueue) -> MovedMail:
        resumed = source.name is not None
        name = source.begin()
        self.step("begin")
        waiting = finished = 0
        if not target.begin(name, f"move of {self.directory}"):
            for messages in source.waiting(target.place()):
                self.step("add messages")
                target.add(messages)
                waiting += len(messages)
            self.step("finish")
            finished = target.finish(source.finished(), source.totals())
        self.step("confirm")
        target.confirm()
        self.step("empty")
        source.empty()
        return MovedMail(waiting, finished, resumed)
