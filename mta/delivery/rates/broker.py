"""Gives leave to send by the rates of the operator's rules: to one destination after the other, in turn.

A destination asks before a transaction and reports its end. From the leave to the end a transaction takes a place in
the windows of its rates, and it is counted at its end: so no host sees more in any span than a rate says, however long
the transactions take. Before leave is given, a file says so (`mta.delivery.rates.journal`), because a relay that is
killed must not give the same leave again. With several workers the broker is in their parent.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from mta.delivery.rates.journal import Counted, Journal, Used
from mta.delivery.rates.limit import Asker, Keys, Limit, Request

#: Windows that are kept; above this number those are deleted in which nothing counts any more.
MAX_REMEMBERED = 1000


class SendTo(Protocol):
    """Sends a line to a worker."""

    def __call__(self, worker: int, verb: str, /, *arguments: object) -> None:
        """Send the verb and its arguments. For a worker that has ended, do nothing."""


class RateBroker:
    """The windows of all rates. Each method that is a verb of the channel gets the worker that sent it."""

    def __init__(self, clock: IReactorTime, send: SendTo, journal: Journal) -> None:
        """`journal` has the counts of mail that was sent before the start."""
        self._clock = clock
        self._send = send
        self._journal = journal
        self._limits: dict[str, Limit] = {}
        self._max_limits = MAX_REMEMBERED
        self._requests: dict[Asker, Request] = {}
        # The transactions of each worker that have leave and have not ended.
        self._running: dict[int, Counter[tuple[Keys, int]]] = {}
        # The requests that have leave which is not in the file yet.
        self._unsaved: list[Request] = []
        # The limits by which more leave was given than the file says.
        self._short: dict[str, Limit] = {}
        self._saving = False

    def ask(self, worker: int, name: str, keys: Sequence[str], recipients: int) -> None:
        """Handle the request of a destination for one transaction. Give leave now or later."""
        self.withdraw(worker, name)
        request = self._requests[worker, name] = Request((worker, name), tuple(keys), recipients)
        self._try(request)

    def withdraw(self, worker: int, name: str) -> None:
        """Forget the request of a destination, because it has no message to send."""
        request = self._requests.pop((worker, name), None)
        if request is None:
            return
        if request.blocked_by:
            self._limit(request.blocked_by).waiting.pop(request.asker, None)
        else:
            self.unused(worker, name, request.keys, request.recipients)

    def unused(self, worker: int, name: str, keys: Sequence[str], recipients: int) -> None:  # noqa: ARG002
        """Take back leave for a transaction that will not begin."""
        self._end(worker, tuple(keys), recipients, counts=False)

    def begun(self, worker: int, name: str, keys: Sequence[str], recipients: int) -> None:  # noqa: ARG002
        """Count a transaction that began without leave, because its message goes on to another host."""
        self._begin(worker, tuple(keys), recipients)
        if self._short:
            self._save()

    def ended(self, worker: int, name: str, keys: Sequence[str], recipients: int) -> None:  # noqa: ARG002
        """Count a transaction that has ended."""
        self._end(worker, tuple(keys), recipients, counts=True)

    def left(self, worker: int) -> None:
        """Count all that a worker was sending which has ended, and forget its requests."""
        for asker in [asker for asker in self._requests if asker[0] == worker]:
            self.withdraw(*asker)
        for (keys, recipients), times in self._running.pop(worker, Counter()).items():
            for _ in range(times):
                self._count_end(keys, recipients, counts=True)

    def handlers(self, worker: int) -> dict[str, Callable[..., object]]:
        """Return the handlers for the channel of a worker, by verb."""

        def of(verb: Callable[..., None]) -> Callable[..., None]:
            return lambda *arguments: verb(worker, *arguments)

        verbs: tuple[Callable[..., None], ...] = (self.ask, self.withdraw, self.unused, self.begun, self.ended)
        return {f"rate_{verb.__name__}": of(verb) for verb in verbs}

    def close(self) -> None:
        """End all timers, and write the state of all windows to the file. No leave is given any more."""
        self._requests.clear()
        self._unsaved.clear()
        self._short.clear()
        for limit in self._limits.values():
            limit.waiting.clear()
            self._stop_timer(limit)
        self._journal.close(*self._state())

    def _try(self, request: Request) -> None:
        """Give leave if all rates have room and no earlier request waits; otherwise let the request wait for one."""
        now = self._clock.seconds()
        for limit in self._each(request.keys):
            if limit.waiting or limit.next_start(now, request.recipients) > now:
                request.blocked_by = limit.key
                limit.waiting[request.asker] = request
                self._serve(limit)
                if request.told == -math.inf and request.blocked_by == limit.key:
                    self._tell(request, limit, now, len(limit.waiting) - 1)
                return
        self._give(request)

    def _serve(self, limit: Limit) -> None:
        """Give leave to the first requests that wait for a rate, as long as there is room."""
        self._stop_timer(limit)
        while limit.waiting:
            now = self._clock.seconds()
            asker, request = next(iter(limit.waiting.items()))
            at = limit.next_start(now, request.recipients)
            if at > now:
                self._wait(limit, request, at, now)
                return
            del limit.waiting[asker]
            others = (each for each in self._each(request.keys) if each is not limit)
            other = next((each for each in others if each.next_start(now, request.recipients) > now), None)
            if other is None:
                self._give(request)
                continue
            # It goes behind those that wait for the other rate, and leaves this one to the next.
            request.blocked_by = other.key
            other.waiting[asker] = request
            self._tell(request, other, now, len(other.waiting) - 1)
            if len(other.waiting) == 1:
                self._serve(other)

    def _wait(self, limit: Limit, first: Request, at: float, now: float) -> None:
        """Serve a limit again when it has room; the first request is told when that is, if it does not know."""
        self._stop_timer(limit)
        if at < math.inf:
            limit.timer = self._clock.callLater(at - now, self._fire, limit)
            if abs(at - first.told) > 1.0:
                self._tell(first, limit, now, 0)

    def _fire(self, limit: Limit) -> None:
        limit.timer = None
        self._serve(limit)

    def _tell(self, request: Request, limit: Limit, now: float, place: int) -> None:
        """Tell a destination how long its request will wait, about."""
        at = limit.next_start(now, request.recipients)
        request.told = now if at == math.inf else at
        wait = max(0.0, request.told - now) + limit.wait_of(place)
        self._send(request.asker[0], "rate_wait", request.asker[1], limit.key, wait)

    def _give(self, request: Request) -> None:
        """Give leave, as soon as the file says so."""
        request.blocked_by = ""
        self._begin(request.asker[0], request.keys, request.recipients)
        if any(limit.unsaved for limit in self._each(request.keys)):
            self._unsaved.append(request)
            self._save()
        else:
            self._send_leave(request)

    def _send_leave(self, request: Request) -> None:
        del self._requests[request.asker]
        now = self._clock.seconds()
        room = min(limit.room(now) for limit in self._each(request.keys))
        self._send(request.asker[0], "rate_leave", request.asker[1], request.keys, request.recipients, room)

    def _begin(self, worker: int, keys: Keys, recipients: int) -> None:
        self._running.setdefault(worker, Counter())[keys, recipients] += 1
        for limit in self._each(keys):
            limit.take(1, recipients)
            if limit.unsaved:
                self._short[limit.key] = limit

    def _end(self, worker: int, keys: Keys, recipients: int, *, counts: bool) -> None:
        running = self._running.get(worker, Counter())
        if not running[keys, recipients]:
            # The worker speaks of leave that was given back when its channel ended.
            return
        running[keys, recipients] -= 1
        if not running[keys, recipients]:
            del running[keys, recipients]
        self._count_end(keys, recipients, counts=counts)

    def _count_end(self, keys: Keys, recipients: int, *, counts: bool) -> None:
        now = self._clock.seconds()
        limits = list(self._each(keys))
        for limit in limits:
            if counts:
                limit.end(recipients)
                limit.count(now, recipients)
            else:
                limit.take(-1, -recipients)
        for limit in limits:
            self._serve(limit)

    def _save(self) -> None:
        """Write to the file for how many messages leave is given now, then give it; one write for all that wait."""
        if self._saving:
            return
        batch, self._unsaved = self._unsaved, []
        short, self._short = self._short, {}
        blocks = [(limit, limit.to_save()) for limit in short.values() if limit.unsaved]
        self._saving = True
        self._journal.append([used for _, used in blocks]).addCallback(lambda _: self._saved(batch, blocks))

    def _saved(self, batch: Iterable[Request], blocks: Iterable[tuple[Limit, Used]]) -> None:
        for limit, used in blocks:
            limit.saved(used)
        self._saving = False
        for request in batch:
            if self._requests.get(request.asker) is request:
                self._send_leave(request)
        self._go_on_saving()

    def _go_on_saving(self) -> None:
        if self._saving:
            return
        if self._unsaved or self._short:
            self._save()
        elif self._journal.long:
            self._saving = True
            self._journal.rewrite(*self._state()).addCallback(lambda _: self._rewritten())

    def _rewritten(self) -> None:
        self._saving = False
        self._go_on_saving()

    def _state(self) -> tuple[dict[str, list[Counted]], list[Used]]:
        """Return the counts in the windows, by key, and the leave given beyond that."""
        counted = {key: [window.dump() for window in limit.windows] for key, limit in self._limits.items()}
        given = (limit.given() for limit in self._limits.values())
        return counted, [used for used in given if used.messages or used.recipients]

    def _each(self, keys: Sequence[str]) -> Iterable[Limit]:
        return [self._limit(key) for key in keys]

    def _limit(self, key: str) -> Limit:
        limit = self._limits.get(key)
        if limit is None:
            self._forget()
            limit = self._limits[key] = Limit(key)
            for window, entries in zip(limit.windows, self._journal.counted(key, self._clock.seconds()), strict=False):
                window.load(entries, self._clock.seconds())
        return limit

    def _forget(self) -> None:
        if len(self._limits) >= self._max_limits:
            now = self._clock.seconds()
            self._limits = {key: limit for key, limit in self._limits.items() if not limit.idle(now)}
            self._max_limits = max(MAX_REMEMBERED, 2 * len(self._limits))

    def _stop_timer(self, limit: Limit) -> None:
        if limit.timer is not None:
            limit.timer.cancel()
            limit.timer = None
