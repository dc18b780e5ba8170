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
MAX_REMEMBERED = 10_000
# More successes than that open no window further.
_MAX_SUCCESSES = 1000


class SendTo(Protocol):
    """Says something to a worker."""

    def __call__(self, worker: int, verb: str, /, *arguments: object) -> None:
        """Send the verb and its arguments; a worker that is gone hears nothing."""


class _SharedLimit:
    """One destination: its window, who has how many connections, who asked for one, and who was told it is down."""

    __slots__ = ("asking", "held", "knows_down", "knows_pace", "name", "trouble", "turns", "window")

    def __init__(self, name: str, limits: WindowLimits) -> None:
        self.name = name
        self.window = ConcurrencyWindow(limits)
        self.held: Counter[int] = Counter()
        #: In the order they asked; the values mean nothing.
        self.asking: dict[int, None] = {}
        self.knows_down: set[int] = set()
        #: The workers that asked when a transaction may begin, in that order, and those that were told of a pace.
        self.turns: dict[int, None] = {}
        self.knows_pace: set[int] = set()
        self.trouble: TryLater | None = None

    @property
    def unused(self) -> bool:
        """Whether no worker has a connection or wants one."""
        return not self.asking and not self.turns and not self.held.total()


class WindowBroker:
    """All destinations. Each verb names the worker that says it; `now` is wall-clock seconds."""

    def __init__(self, limits: WindowLimits, send: SendTo) -> None:
        self._limits = limits
        self._send = send
        self._shared: dict[str, _SharedLimit] = {}

    def want(self, worker: int, now: float, name: str, worked: int) -> None:
        """Be asked for one connection more; `worked` successes came since the last time. Answered now or later."""
        shared = self._shared.get(name) or self._remember(name, now)
        shared.asking[worker] = None
        self._note_successes(shared, now, worked)
        self._serve(shared, now)
        if worker in shared.asking:
            self._ask_to_spare(shared, worker)

    def gone(self, worker: int, now: float, name: str, count: int) -> None:
        """Learn that connections ended, or that leave was not used."""
        shared = self._shared.get(name)
        if shared is not None:
            self._release(shared, worker, count)
            self._serve(shared, now)

    def worked(self, worker: int, now: float, name: str, count: int) -> None:  # noqa: ARG002
        """Learn of successes."""
        shared = self._shared.get(name)
        if shared is not None:
            self._note_successes(shared, now, count)
            self._serve(shared, now)

    def failed(self, worker: int, now: float, name: str, returned: int, *words: str) -> None:
        """Learn of a failure, which ended `returned` connections; `words` are the text, host and status of it."""
        shared = self._shared.get(name)
        if shared is None:
            return
        self._release(shared, worker, returned)
        shared.window.failed(now, shared.held.total())
        if shared.window.blocked(now) is not None:
            shared.trouble = TryLater(*words)
            # It hears at once, to put off what waits for an answer.
            shared.asking[worker] = None
            shared.asking.update(dict.fromkeys(shared.held))
        self._serve(shared, now)

    def refused(self, worker: int, now: float, name: str, returned: int, kind: str, *words: float | None) -> None:
        """Learn of a refusal because of a limit, which ended `returned` connections; `words` as in a Refusal."""
        shared = self._shared.get(name)
        if shared is None:
            return
        wait, began, accepted, seconds = words
        self._release(shared, worker, returned)
        left = shared.held.total()
        refusal = LimitRefusal(LimitKind[kind], wait, began or now, left, left, int(accepted or 0), seconds or 0.0)
        shared.window.refused(now, refusal)
        self._serve(shared, now)

    def turn(self, worker: int, now: float, name: str) -> None:
        """Be asked when a transaction may begin, by the pace. Answered now or later."""
        shared = self._shared.get(name) or self._remember(name, now)
        shared.turns[worker] = None
        shared.knows_pace.add(worker)
        self._serve(shared, now)

    def answered(self, worker: int, now: float, name: str, began: float) -> None:  # noqa: ARG002
        """Learn of a success by the pace."""
        shared = self._shared.get(name)
        if shared is not None:
            self._note_successes(shared, now, 1, began)
            self._serve(shared, now)

    def lost(self, worker: int, now: float, name: str, began: float) -> None:  # noqa: ARG002
        """Learn that a transaction by the pace ended without an answer."""
        shared = self._shared.get(name)
        if shared is not None:
            shared.window.ended(now, began)
            self._serve(shared, now)

    def unused(self, worker: int, now: float, name: str, at: float) -> None:  # noqa: ARG002
        """Learn that no transaction began at the time that was given for it."""
        shared = self._shared.get(name)
        if shared is not None:
            shared.window.unused(at)
            self._serve(shared, now)

    def retry(self, worker: int, now: float, name: str) -> None:  # noqa: ARG002
        """Let the next probe go at once."""
        shared = self._shared.get(name)
        if shared is not None:
            shared.window.unblock()
            self._serve(shared, now)

    def left(self, worker: int, now: float) -> None:
        """Learn that a worker ended, and all its connections with it."""
        for shared in list(self._shared.values()):
            shared.asking.pop(worker, None)
            shared.knows_down.discard(worker)
            shared.knows_pace.discard(worker)
            shared.turns.pop(worker, None)
            if shared.window.paced:
                # The probe may have been its own.
                shared.window.ended(now, now)
            self._release(shared, worker, shared.held[worker])
            self._serve(shared, now)

    def handlers(self, worker: int, wall_clock: Callable[[], float]) -> dict[str, Callable[..., object]]:
        """Return what a worker's channel is to call, by verb."""

        def timed(verb: Callable[..., None]) -> Callable[..., None]:
            return lambda *arguments: verb(worker, wall_clock(), *arguments)

        verbs: tuple[Callable[..., None], ...] = (self.want, self.gone, self.worked, self.failed, self.retry)
        verbs += (self.refused, self.turn, self.answered, self.lost, self.unused)
        return {verb.__name__: timed(verb) for verb in verbs}

    def _remember(self, name: str, now: float) -> _SharedLimit:
        if len(self._shared) >= MAX_REMEMBERED:
            self._shared = {
                known.name: known
                for known in self._shared.values()
                if not known.unused or known.window.blocked(now) is not None
            }
        shared = self._shared[name] = _SharedLimit(name, self._limits)
        return shared

    def _note_successes(self, shared: _SharedLimit, now: float, count: int, began: float = 0.0) -> None:
        for _ in range(min(count, _MAX_SUCCESSES)):
            shared.window.succeeded(now, began)
        if shared.trouble is None or shared.window.down:
            return
        shared.trouble = None
        for worker in shared.knows_down:
            self._send(worker, "up", shared.name)
        shared.knows_down.clear()

    def _release(self, shared: _SharedLimit, worker: int, count: int) -> None:
        shared.held[worker] -= min(count, shared.held[worker])
        if not shared.held[worker]:
            del shared.held[worker]

    def _serve(self, shared: _SharedLimit, now: float) -> None:
        """Answer those who asked, as far as there is an answer, and forget a destination with nothing to it."""
        until = shared.window.blocked(now)
        if until is not None:
            self._refuse(shared, until)
        while shared.asking and shared.window.may_open(now, shared.held.total(), 1):
            # Of those with the fewest connections, who asked first.
            worker = min(shared.asking, key=lambda asker: shared.held[asker])
            del shared.asking[worker]
            shared.held[worker] += 1
            self._send(worker, "grant", shared.name, shared.trouble is not None)
        self._pace(shared, now)
        if shared.unused and shared.window.is_default:
            self._shared.pop(shared.name, None)

    def _pace(self, shared: _SharedLimit, now: float) -> None:
        """Say when transactions may begin to those who asked, and to all that there is a pace, or none any more."""
        if not shared.window.paced:
            for worker in shared.knows_pace:
                self._send(worker, "pace", shared.name, None)
            shared.knows_pace.clear()
            shared.turns.clear()
            return
        rate = shared.window.rate(now)
        for worker in [holder for holder in shared.held if holder not in shared.knows_pace]:
            shared.knows_pace.add(worker)
            self._send(worker, "pace", shared.name, rate)
        while shared.turns and (at := shared.window.next_start(now)) < math.inf:
            worker = next(iter(shared.turns))
            del shared.turns[worker]
            shared.window.started(now)
            self._send(worker, "turn", shared.name, at, rate)

    def _refuse(self, shared: _SharedLimit, until: float) -> None:
        trouble = shared.trouble or TryLater("the destination is down", status="4.4.1")
        asking = {**shared.asking, **shared.turns}
        for worker in asking:
            self._send(worker, "down", shared.name, until, trouble.text, trouble.host, trouble.status)
        shared.knows_down.update(asking)
        shared.asking.clear()
        shared.turns.clear()

    def _ask_to_spare(self, shared: _SharedLimit, asker: int) -> None:
        """Ask whoever has clearly more for one of its connections, and anyone at all where the asker has none."""
        if not shared.held:
            return
        richest, most = shared.held.most_common(1)[0]
        least = shared.held[asker]
        if richest != asker and (most >= least + 2 or least == 0):
            self._send(richest, "spare", shared.name)
