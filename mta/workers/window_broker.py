"""The limits of a destination over all workers: the parent keeps one window for each and gives leave from it.

A worker asks for leave before it opens a connection and says when one is gone, so that the window bounds the relay as
a whole, and one worker alone probes a destination that is down. A message costs no word, only connections, trouble and
a windowful of successes do, except for a destination with a pace: there a worker asks for the time of each transaction
and tells its end. Pure: time is an argument, and words to a worker go through a callable.
"""

import math
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from mta.delivery.destinations.window import ConcurrencyWindow, LimitRefusal, WindowLimits
from mta.delivery.replies.throttle_table import LimitKind
from mta.message.outcome import TryLater

#: Destinations that are remembered for nothing but an old failure; more than that are forgotten when it is over.
MOST_REMEMBERED = 10_000
# More successes than that open no window further.
_MOST_WORKED = 1000


class Tell(Protocol):
    """Says something to a worker."""

    def __call__(self, worker: int, verb: str, /, *arguments: object) -> None:
        """Send the verb and its arguments; a worker that is gone hears nothing."""


class _SharedLimit:
    """One destination: its window, who has how many connections, who asked for one, and who was told it is down."""

    __slots__ = ("asking", "held", "name", "told_down", "told_pace", "trouble", "turns", "window")

    def __init__(self, name: str, limits: WindowLimits) -> None:
        self.name = name
        self.window = ConcurrencyWindow(limits)
        self.held: Counter[int] = Counter()
        #: In the order they asked; the values mean nothing.
        self.asking: dict[int, None] = {}
        self.told_down: set[int] = set()
        #: The workers that asked when a transaction may begin, in that order, and those that were told of a pace.
        self.turns: dict[int, None] = {}
        self.told_pace: set[int] = set()
        self.trouble: TryLater | None = None

    @property
    def unused(self) -> bool:
        """Whether no worker has a connection or wants one."""
        return not self.asking and not self.turns and not self.held.total()


class WindowBroker:
    """All destinations. Each verb names the worker that says it; `now` is wall-clock seconds."""

    def __init__(self, limits: WindowLimits, tell: Tell) -> None:
        self._limits = limits
        self._tell = tell
        self._shares: dict[str, _SharedLimit] = {}

    def want(self, worker: int, now: float, name: str, worked: int) -> None:
        """Be asked for one connection more; `worked` successes came since the last time. Answered now or later."""
        share = self._shares.get(name) or self._remember(name, now)
        share.asking[worker] = None
        self._note_successes(share, now, worked)
        self._serve(share, now)
        if worker in share.asking:
            self._have_one_spared(share, worker)

    def gone(self, worker: int, now: float, name: str, count: int) -> None:
        """Learn that connections ended, or that leave was not used."""
        share = self._shares.get(name)
        if share is not None:
            self._take_back(share, worker, count)
            self._serve(share, now)

    def worked(self, worker: int, now: float, name: str, count: int) -> None:  # noqa: ARG002
        """Learn of successes."""
        share = self._shares.get(name)
        if share is not None:
            self._note_successes(share, now, count)
            self._serve(share, now)

    def failed(self, worker: int, now: float, name: str, returned: int, *words: str) -> None:
        """Learn of a failure, which ended `returned` connections; `words` are the text, host and status of it."""
        share = self._shares.get(name)
        if share is None:
            return
        self._take_back(share, worker, returned)
        share.window.failed(now, share.held.total())
        if share.window.blocked(now) is not None:
            share.trouble = TryLater(*words)
            # It hears at once, to put off what waits for an answer.
            share.asking[worker] = None
            share.asking.update(dict.fromkeys(share.held))
        self._serve(share, now)

    def refused(self, worker: int, now: float, name: str, returned: int, kind: str, *words: float | None) -> None:
        """Learn of a refusal because of a limit, which ended `returned` connections; `words` as in a Refusal."""
        share = self._shares.get(name)
        if share is None:
            return
        wait, began, accepted, seconds = words
        self._take_back(share, worker, returned)
        left = share.held.total()
        refusal = LimitRefusal(LimitKind[kind], wait, began or now, left, left, int(accepted or 0), seconds or 0.0)
        share.window.refused(now, refusal)
        self._serve(share, now)

    def turn(self, worker: int, now: float, name: str) -> None:
        """Be asked when a transaction may begin, by the pace. Answered now or later."""
        share = self._shares.get(name) or self._remember(name, now)
        share.turns[worker] = None
        share.told_pace.add(worker)
        self._serve(share, now)

    def answered(self, worker: int, now: float, name: str, began: float) -> None:  # noqa: ARG002
        """Learn of a success by the pace."""
        share = self._shares.get(name)
        if share is not None:
            self._note_successes(share, now, 1, began)
            self._serve(share, now)

    def lost(self, worker: int, now: float, name: str, began: float) -> None:  # noqa: ARG002
        """Learn that a transaction by the pace ended without an answer."""
        share = self._shares.get(name)
        if share is not None:
            share.window.ended(now, began)
            self._serve(share, now)

    def unused(self, worker: int, now: float, name: str, at: float) -> None:  # noqa: ARG002
        """Learn that no transaction began at the time that was given for it."""
        share = self._shares.get(name)
        if share is not None:
            share.window.unused(at)
            self._serve(share, now)

    def retry(self, worker: int, now: float, name: str) -> None:  # noqa: ARG002
        """Let the next probe go at once."""
        share = self._shares.get(name)
        if share is not None:
            share.window.unblock()
            self._serve(share, now)

    def left(self, worker: int, now: float) -> None:
        """Learn that a worker ended, and all its connections with it."""
        for share in list(self._shares.values()):
            share.asking.pop(worker, None)
            share.told_down.discard(worker)
            share.told_pace.discard(worker)
            share.turns.pop(worker, None)
            if share.window.paced:
                # The probe may have been its own.
                share.window.ended(now, now)
            self._take_back(share, worker, share.held[worker])
            self._serve(share, now)

    def handlers(self, worker: int, wall_clock: Callable[[], float]) -> dict[str, Callable[..., object]]:
        """Return what a worker's channel is to call, by verb."""

        def timed(verb: Callable[..., None]) -> Callable[..., None]:
            return lambda *arguments: verb(worker, wall_clock(), *arguments)

        verbs: tuple[Callable[..., None], ...] = (self.want, self.gone, self.worked, self.failed, self.retry)
        verbs += (self.refused, self.turn, self.answered, self.lost, self.unused)
        return {verb.__name__: timed(verb) for verb in verbs}

    def _remember(self, name: str, now: float) -> _SharedLimit:
        if len(self._shares) >= MOST_REMEMBERED:
            self._shares = {
                known.name: known
                for known in self._shares.values()
                if not known.unused or known.window.blocked(now) is not None
            }
        share = self._shares[name] = _SharedLimit(name, self._limits)
        return share

    def _note_successes(self, share: _SharedLimit, now: float, count: int, began: float = 0.0) -> None:
        for _ in range(min(count, _MOST_WORKED)):
            share.window.succeeded(now, began)
        if share.trouble is None or share.window.down:
            return
        share.trouble = None
        for worker in share.told_down:
            self._tell(worker, "up", share.name)
        share.told_down.clear()

    def _take_back(self, share: _SharedLimit, worker: int, count: int) -> None:
        share.held[worker] -= min(count, share.held[worker])
        if not share.held[worker]:
            del share.held[worker]

    def _serve(self, share: _SharedLimit, now: float) -> None:
        """Answer those who asked, as far as there is an answer, and forget a destination with nothing to it."""
        until = share.window.blocked(now)
        if until is not None:
            self._refuse(share, until)
        while share.asking and share.window.may_open(now, share.held.total(), 1):
            # Of those with the fewest connections, who asked first.
            worker = min(share.asking, key=lambda asker: share.held[asker])
            del share.asking[worker]
            share.held[worker] += 1
            self._tell(worker, "grant", share.name, share.trouble is not None)
        self._pace(share, now)
        if share.unused and share.window.forgettable:
            self._shares.pop(share.name, None)

    def _pace(self, share: _SharedLimit, now: float) -> None:
        """Say when transactions may begin to those who asked, and to all that there is a pace, or none any more."""
        if not share.window.paced:
            for worker in share.told_pace:
                self._tell(worker, "pace", share.name, None)
            share.told_pace.clear()
            share.turns.clear()
            return
        rate = share.window.rate(now)
        for worker in [holder for holder in share.held if holder not in share.told_pace]:
            share.told_pace.add(worker)
            self._tell(worker, "pace", share.name, rate)
        while share.turns and (at := share.window.next_start(now)) < math.inf:
            worker = next(iter(share.turns))
            del share.turns[worker]
            share.window.started(now)
            self._tell(worker, "turn", share.name, at, rate)

    def _refuse(self, share: _SharedLimit, until: float) -> None:
        trouble = share.trouble or TryLater("the destination is down", status="4.4.1")
        asking = {**share.asking, **share.turns}
        for worker in asking:
            self._tell(worker, "down", share.name, until, trouble.text, trouble.host, trouble.status)
        share.told_down.update(asking)
        share.asking.clear()
        share.turns.clear()

    def _have_one_spared(self, share: _SharedLimit, asker: int) -> None:
        """Ask whoever has clearly more for one of its connections, and anyone at all where the asker has none."""
        if not share.held:
            return
        richest, most = share.held.most_common(1)[0]
        least = share.held[asker]
        if richest != asker and (most >= least + 2 or least == 0):
            self._tell(richest, "spare", share.name)
