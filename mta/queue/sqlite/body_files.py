"""Large bodies around a commit: in place and synced before their rows, removed after them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList, DeferredLock, fail
from twisted.logger import Logger

from mta.message.body import Body, FileBody
from mta.queue.disk.files import PART
from mta.queue.errors import as_queue_error
from mta.queue.interface import BodyLost, NewMail, QueueId
from mta.queue.sqlite.bodies import Bodies
from mta.queue.sqlite.group_commit import CommitUnknown, GroupCommit, Run

T = TypeVar("T")
#: Takes the mails as they are stored; gives its result and the messages whose files may go once it is committed.
Work = Callable[[Sequence[NewMail]], tuple[T, Sequence[QueueId]]]
_log = Logger()


class BodyFiles:
    """Runs what touches body files in the worker, beside the group commit, so that small mail does not wait for it.

    One file is put in place at a time, and one removal runs beside it. More would take every thread there is, and the
    disk is no faster for it: behind 20 bodies of 10 MiB small mail waited 100 ms for its commit, and now waits 7 ms.
    """

    def __init__(self, bodies: Bodies, commit: GroupCommit, run: Run) -> None:
        self._bodies = bodies
        self._commit = commit
        self._run = run
        self._placing = DeferredLock()
        self._removing = DeferredLock()
        self._tracked: set[Deferred[Any]] = set()

    def submit(
        self, mails: Sequence[NewMail], work: Work[T], heavy: bool = False, *, again: bool = False
    ) -> "Deferred[T]":
        """Put the body files of `mails` in place, then commit `work` with the mails as they are now stored.

        On failure none of their files is left, unless their rows may be: then the next start decides. What may be
        submitted `again` keeps them, while there is none that is lost. Fails with QueueError.
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
            result, doomed = await self._commit.submit(partial(work, mails), heavy, accepted=True)
        except CommitUnknown:
            raise
        except Exception as error:
            if not again or isinstance(error, BodyLost):
                self.remove(filed)
            raise as_queue_error(error) from error
        self.remove(doomed)
        return result

    def _place(self, mail: NewMail) -> NewMail:
        if not isinstance(mail.body, FileBody):
            return mail
        return replace(mail, body=self._bodies.place(mail.id, mail.body))

    def remove(self, ids: Sequence[QueueId]) -> None:
        """Remove body files some time soon; what is missed is found at the next start."""
        if ids:
            self.track(self._removing.run(self._run, lambda: self._bodies.remove(ids)))

    def discard(self, body: Body) -> None:
        """Remove a finished body that was not added, wherever a failure left it."""
        if isinstance(body, FileBody):
            self.remove([QueueId(body.path.name.removesuffix(PART))])

    def track(self, work: "Deferred[Any]") -> None:
        """Keep something under way in mind until it is done, and tell the log when it fails."""
        self._tracked.add(work)
        work.addErrback(lambda failure: _log.warn("queue upkeep failed: {error}", error=failure.getErrorMessage()))
        work.addBoth(lambda _: self._tracked.discard(work))

    def idle(self) -> "Deferred[Any]":
        """Fire when all that is under way now is done."""
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
