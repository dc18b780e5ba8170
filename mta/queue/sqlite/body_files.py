"""The files of large bodies around a commit: placed and synced before their rows, and removed after them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList, DeferredLock, fail
from twisted.logger import Logger

from mta.blocking import RunBlocking
from mta.message.body import Body, FileBody
from mta.queue.disk.files import PART
from mta.queue.errors import as_queue_error
from mta.queue.interface import BodyLost, NewMail, QueueId
from mta.queue.sqlite.bodies import Bodies
from mta.queue.sqlite.group_commit import CommitUnknown, GroupCommit

T = TypeVar("T")
#: Gets the messages with their placed bodies. Returns a result, and the messages whose files are removed after the
#: commit.
Work = Callable[[Sequence[NewMail]], tuple[T, Sequence[QueueId]]]
_log = Logger()


class BodyFiles:
    """Works on body files in other threads than the group commit, so that small messages do not wait for large ones.

    One file is placed at a time, with one removal beside it. More would occupy all threads, and the disk would be no
    faster (measured: behind 20 bodies of 10 MiB a small message waited 100 ms for its commit; now it waits 7 ms).
    """

    def __init__(self, bodies: Bodies, commit: GroupCommit, run: RunBlocking) -> None:
        self._bodies = bodies
        self._commit = commit
        self._run = run
        self._placing = DeferredLock()
        self._removing = DeferredLock()
        self._tracked: set[Deferred[Any]] = set()

    def submit(
        self, mails: Sequence[NewMail], work: Work[T], heavy: bool = False, *, again: bool = False
    ) -> "Deferred[T]":
        """Place the body files of `mails`, then commit `work` with the messages as they are now stored.

        After a failure the files are removed, unless the rows may be in the queue file, which the next start finds
        out. If the same messages may be submitted `again`, their files are kept until one of them is lost. Fails with
        QueueError.
        """
        refusal = self._commit.refusal
        if refusal is not None:
            return fail(refusal)
        done = Deferred.fromCoroutine(self._submit(mails, work, heavy, again))
        self.track(idle := Deferred[None]())
        done.addBoth(_passing(idle))
        return done

    async def _submit(self, mails: Sequence[NewMail], work: Work[T], heavy: bool, again: bool) -> T:
        filed = [mail.id for mail in mails if isinstance(mail.body, FileBody)]
        try:
            if filed:
                mails = await self._placing.run(self._run, lambda: [self._place(mail) for mail in mails])
            result, finished = await self._commit.submit(partial(work, mails), heavy, accepted=True)
        except CommitUnknown:
            raise
        except Exception as error:
            if not again or isinstance(error, BodyLost):
                self.remove(filed)
            raise as_queue_error(error) from error
        self.remove(finished)
        return result

    def _place(self, mail: NewMail) -> NewMail:
        if not isinstance(mail.body, FileBody):
            return mail
        return replace(mail, body=self._bodies.place(mail.id, mail.body))

    def remove(self, ids: Sequence[QueueId]) -> None:
        """Remove body files in another thread. The next start removes a file that this fails to remove."""
        if ids:
            self.track(self._removing.run(self._run, lambda: self._bodies.remove(ids)))

    def discard(self, body: Body) -> None:
        """Remove a finished body that was not added, under either of its names."""
        if isinstance(body, FileBody):
            self.remove([QueueId(body.path.name.removesuffix(PART))])

    def track(self, work: "Deferred[Any]") -> None:
        """Keep a Deferred until it fires, so that `idle` waits for it, and log its failure."""
        self._tracked.add(work)
        work.addErrback(lambda failure: _log.warn("queue upkeep failed: {error}", error=failure.getErrorMessage()))
        work.addBoth(lambda _: self._tracked.discard(work))

    def idle(self) -> "Deferred[Any]":
        """Fire when all work that is tracked now has ended."""
        waiters = []
        for work in self._tracked:
            waiters.append(waiter := Deferred[None]())
            work.addBoth(_passing(waiter))
        return DeferredList(waiters)


def _passing(waiter: "Deferred[None]") -> Callable[[T], T]:
    def passing(result: T) -> T:
        waiter.callback(None)
        return result

    return passing
