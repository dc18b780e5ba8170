"""Asks the relay for the page, within bounds: questions at the same time, and the time of each."""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from twisted.internet import defer
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from mta.admin.state import RelayState, StateError, TooMany
from mta.admin.views.overview import DAY, Overview, OverviewFacts, overview
from mta.queue.interface import Entry, Query
from mta.queue.search.conditions import Conditions, State

T = TypeVar("T")

#: Questions at the same time, and those that wait for their turn.
MAX_ASKED, MAX_WAITING = 6, 60
#: Seconds after which a question is given up.
PATIENCE = 15.0
#: Seconds for which the facts of the first view, and the failures among them, are shown to other browsers too.
FRESH, FAILURES_FRESH = 2.0, 30.0
#: Messages that are looked at for the reasons of failures, and the days for which a message may have been tried.
MAX_FAILED, TRIED_DAYS = 500, 8
#: Seconds for which the first view waits for new facts if it has others that are not older than STALE.
HURRY, STALE = 0.25, 60.0

# The summary of the queue has these counts too, but reads the whole history for others.
_WAITING, _HELD = Conditions(states=(State.WAITING, State.HELD)), Conditions(states=(State.HELD,))


@dataclass(slots=True)
class _Kept:
    """An answer that is kept for a while."""

    value: Any = None
    until: float = 0.0


class Asking:
    """Asks a relay. Times of the wall clock are seconds since 1970."""

    def __init__(self, state: RelayState, clock: IReactorTime, wall_clock: Callable[[], float]) -> None:
        self.state = state
        self._clock = clock
        self.wall_clock = wall_clock
        self._turns = DeferredSemaphore(MAX_ASKED)
        self._waiting = 0
        self._overview, self._failed = _Kept(), _Kept()
        #: The facts that several browsers wait for.
        self._asked: Deferred[Overview] | None = None

    async def bounded(self, question: Callable[[], Awaitable[T]]) -> T:
        """Return the answer to a question. Raises TooMany, and StateError if it takes too long."""
        if self._waiting >= MAX_WAITING:
            raise TooMany("too many pages are being asked for: try again in a few seconds")
        self._waiting += 1
        try:
            answer: T = await self._turns.run(lambda: self._timed(question))
        except defer.TimeoutError:
            raise StateError(f"no answer within {PATIENCE:.0f} s: ask for less, such as for fewer days") from None
        finally:
            self._waiting -= 1
        return answer

    def _timed(self, question: Callable[[], Awaitable[T]]) -> "Deferred[T]":
        return deferred(question()).addTimeout(PATIENCE, self._clock)

    async def overview(self) -> Overview:
        """Return the first view, at most FRESH seconds old, or STALE seconds if the queue answers another question."""
        now = self._clock.seconds()
        kept: Overview | None = self._overview.value
        if kept is not None and now < self._overview.until:
            return kept
        asked = self._asked or self._ask_again()
        if kept is None or now >= self._overview.until + STALE:
            return await shared(asked)
        hurried = shared(asked).addTimeout(HURRY, self._clock)
        hurried.addErrback(lambda failure: kept if failure.check(defer.TimeoutError) else failure)
        return await hurried

    def _ask_again(self) -> "Deferred[Overview]":
        self._asked = asked = deferred(self.bounded(self._new_overview))

        def keep(found: Overview) -> Overview:
            self._overview = _Kept(found, self._clock.seconds() + FRESH)
            return found

        def forget(found: T) -> T:
            self._asked = None
            return found

        asked.addCallback(keep).addBoth(forget)
        return asked

    async def _new_overview(self) -> Overview:
        state, now = self.state, self.wall_clock()
        questions: list[Awaitable[Any]] = [
            state.about(),
            state.count(_WAITING),
            state.count(_HELD),
            state.domains(),
            state.destinations(),
            state.traffic(now - DAY),
            state.alarms(),
            state.findings(),
            self._failures(now),
        ]
        about, waiting, held, shapes, destinations, traffic, alarms, doctor, failed = await gatherResults(
            list(map(deferred, questions)), consumeErrors=True
        )
        more, failed = len(failed) > MAX_FAILED, failed[:MAX_FAILED]
        facts = OverviewFacts(now, about, waiting, held, shapes, destinations, traffic, alarms, failed, more, doctor)
        return overview(facts)

    async def _failures(self, now: float) -> list[Entry]:
        """Return the newest messages with a failed recipient."""
        if self._clock.seconds() >= self._failed.until:
            wanted = Conditions(states=(State.FAILED,), since=now - TRIED_DAYS * DAY)
            query = Query(finished=True, limit=MAX_FAILED + 1, conditions=wanted, newest_first=True)
            self._failed.value = await self.state.find(query)
            self._failed.until = self._clock.seconds() + FAILURES_FRESH
        found: list[Entry] = self._failed.value
        return found


def deferred(awaitable: Awaitable[T]) -> "Deferred[T]":
    """Return the Deferred of a coroutine, so that several run at the same time."""
    if isinstance(awaitable, Deferred):
        return awaitable

    async def wait() -> T:
        return await awaitable

    coroutine: Coroutine[Deferred[Any], Any, T] = wait()
    return Deferred.fromCoroutine(coroutine)


def shared(asked: "Deferred[T]") -> "Deferred[T]":
    """Return another Deferred with the result of one, which goes on if the other is cancelled."""
    own: Deferred[T] = Deferred()

    def answered(result: T) -> T:
        if not own.called:
            own.callback(result)
        return result

    def failed(failure: Failure) -> None:
        if not own.called:
            own.errback(failure)

    asked.addCallbacks(answered, failed)
    return own
