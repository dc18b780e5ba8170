"""The parent's side of the limits that workers share: a window for each destination, from which it grants connections.

A worker asks before it opens a connection and reports its end, so that the window limits the relay as a whole, and only
one worker probes a destination that is down. Messages cost no line on the channel; only connections and failures do,
and successes a few times a second while a worker waits for a connection. For a destination with a pace, however, a
worker asks for the time of each transaction and reports its end. The module does no I/O: time is an argument, and lines
to workers go through a callable.
"""

import math
from collections import Counter
from collections.abc import Callable

from mta.delivery.destinations.window import ConcurrencyWindow, LimitRefusal, WindowLimits
from mta.delivery.rates.broker import SendTo
from mta.delivery.replies.throttle_table import LimitKind
from mta.message.outcome import ErrorKind, TryLater

#: Destinations that are kept. Above this number, those without connections are deleted once their penalty has ended.
MAX_REMEMBERED = 10_000
# Successes that one line can report; more do not open a window further.
_MAX_SUCCESSES = 1000


class _SharedLimit:
    """One destination: its window, and the connections, requests and knowledge of each worker."""

    __slots__ = ("asking", "held", "knows_down", "knows_pace", "name", "trouble", "turns", "window")

    def __init__(self, name: str, limits: WindowLimits) -> None:
        self.name = name
        self.window = ConcurrencyWindow(limits)
        self.held: Counter[int] = Counter()
        #: The workers that wait for a connection, in the order in which they are served, each with the worker that was
        #: asked to spare one for it.
        self.asking: dict[int, int | None] = {}
        #: The workers that were told that the destination is down.
        self.knows_down: set[int] = set()
        #: The workers that wait for the time of a transaction, in order, and those that were told of a pace.
        self.turns: dict[int, None] = {}
        self.knows_pace: set[int] = set()
        self.trouble: TryLater | None = None

    @property
    def unused(self) -> bool:
        """Whether no worker has a connection or waits for one."""
        return not self.asking and not self.turns and not self.held.total()


class WindowBroker:
    """The limits of all destinations. Each method that is a verb of the channel gets the worker that sent it.

    `now` is wall-clock seconds.
    """

    def __init__(self, limits: WindowLimits, send: SendTo) -> None:
        self._limits = limits
        self._send = send
        self._shared: dict[str, _SharedLimit] = {}

    def want(self, worker: int, now: float, name: str, worked: int, most: int | None = None) -> None:
        """Handle a request for a connection, after `worked` successes since the last one. Grant it now or later.

        `most` is the number of connections that a rule allows all workers together.
        """
        shared = self._shared.get(name) or self._remember(name, now)
        shared.window.limit(most)
        shared.asking[worker] = None
        self._note_successes(shared, now, worked)
        self._serve(shared, now)

    def gone(self, worker: int, now: float, name: str, count: int) -> None:
        """Take back grants whose connections have ended or were not opened."""
        shared = self._shared.get(name)
        if shared is not None:
            self._release(shared, worker, count)
            self._serve(shared, now)

    def worked(self, worker: int, now: float, name: str, count: int) -> None:  # noqa: ARG002
        """Count successes."""
        shared = self._shared.get(name)
        if shared is not None:
            self._note_successes(shared, now, count)
            self._serve(shared, now)

    def failed(self, worker: int, now: float, name: str, returned: int, *words: str) -> None:
        """Handle a failure that ended `returned` connections; `words` are those of its TryLater."""
        shared = self._shared.get(name)
        if shared is None:
            return
        self._release(shared, worker, returned)
        shared.window.failed(now, shared.held.total())
        if shared.window.blocked(now) is not None:
            shared.trouble = TryLater.of_words(*words)
            # It is told at once, so that it defers the groups that wait.
            shared.asking[worker] = None
            shared.asking.update(dict.fromkeys(shared.held))
        self._serve(shared, now)

    def refused(self, worker: int, now: float, name: str, returned: int, kind: str, *words: float | None) -> None:
        """Handle a refusal because of a limit that ended `returned` connections; `words` as in LimitRefusal."""
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
        """Handle a request for the time of a transaction under a pace. Answer now or later."""
        shared = self._shared.get(name) or self._remember(name, now)
        shared.turns[worker] = None
        shared.knows_pace.add(worker)
        self._serve(shared, now)

    def answered(self, worker: int, now: float, name: str, began: float) -> None:  # noqa: ARG002
        """Count a success under a pace."""
        shared = self._shared.get(name)
        if shared is not None:
            self._note_successes(shared, now, 1, began)
            self._serve(shared, now)

    def lost(self, worker: int, now: float, name: str, began: float) -> None:  # noqa: ARG002
        """Handle a transaction under a pace that ended without a reply."""
        shared = self._shared.get(name)
        if shared is not None:
            shared.window.ended(now, began)
            self._serve(shared, now)

    def unused(self, worker: int, now: float, name: str, at: float) -> None:  # noqa: ARG002
        """Take back the time of a transaction that did not begin."""
        shared = self._shared.get(name)
        if shared is not None:
            shared.window.unused(at)
            self._serve(shared, now)

    def retry(self, worker: int, now: float, name: str) -> None:  # noqa: ARG002
        """Permit the next probe at once."""
        shared = self._shared.get(name)
        if shared is not None:
            shared.window.unblock()
            self._serve(shared, now)

    def left(self, worker: int, now: float) -> None:
        """Take back all grants of a worker that has ended."""
        for shared in list(self._shared.values()):
            shared.asking.pop(worker, None)
            shared.knows_down.discard(worker)
            shared.knows_pace.discard(worker)
            shared.turns.pop(worker, None)
            if shared.window.paced:
                # The worker may have been the one that probed.
                shared.window.ended(now, now)
            self._release(shared, worker, shared.held[worker])
            self._serve(shared, now)

    def handlers(self, worker: int, wall_clock: Callable[[], float]) -> dict[str, Callable[..., object]]:
        """Return the handlers for the channel of a worker, by verb."""

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
        if worker in shared.asking and worker in shared.asking.values():
            # It spares the connection for another worker, which is served before it.
            shared.asking[worker] = shared.asking.pop(worker)

    def _serve(self, shared: _SharedLimit, now: float) -> None:
        """Answer waiting workers as the window permits, and delete an unused destination in its default state."""
        until = shared.window.blocked(now)
        if until is not None:
            self._refuse(shared, until)
        while shared.asking and shared.window.may_open(now, shared.held.total(), 1):
            # The longest waiting of the workers with the fewest connections.
            worker = min(shared.asking, key=lambda asker: shared.held[asker])
            del shared.asking[worker]
            shared.held[worker] += 1
            self._send(worker, "grant", shared.name, shared.trouble is not None)
        if shared.asking:
            self._ask_to_spare(shared)
        self._pace(shared, now)
        if shared.unused and shared.window.is_default:
            self._shared.pop(shared.name, None)

    def _pace(self, shared: _SharedLimit, now: float) -> None:
        """Send the times of transactions to waiting workers, and a change of the pace to all workers."""
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
        trouble = shared.trouble or TryLater("the destination is down", status="4.4.1", kind=ErrorKind.CONNECT)
        asking = {**shared.asking, **shared.turns}
        for worker in asking:
            self._send(worker, "down", shared.name, until, *trouble.words)
        shared.knows_down.update(asking)
        shared.asking.clear()
        shared.turns.clear()

    def _ask_to_spare(self, shared: _SharedLimit) -> None:
        """Ask the worker with the most connections for one, for each worker that waits and has none or two fewer.

        A worker that was asked but has no connection any more cannot spare one, so that another one is asked.
        """
        for asker, asked in shared.asking.items():
            if not shared.held or asked in shared.held:
                continue
            richest, most = shared.held.most_common(1)[0]
            least = shared.held[asker]
            if richest != asker and (most >= least + 2 or least == 0):
                shared.asking[asker] = richest
                self._send(richest, "spare", shared.name)
