"""Servers with a limit, as models on a clock: how many messages they take in a time, or transactions at a time."""

import random
from collections import deque
from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mta.delivery.remote.commands import outcome
from mta.delivery.remote.interface import Connection, DeliveryRequest, TransactionResult
from mta.message.outcome import TryLater
from mta.routing.route import Plan
from mta.smtp.replies import Reply, reply

TAKEN = reply(250, "2.0.0", "taken")
THROTTLED = reply(454, "", "Throttling failure: Maximum sending rate exceeded.")
BUSY = reply(432, "4.3.2", "Concurrent connections limit exceeded.")


class Limit(Protocol):
    """Says of each message whether the server takes it."""

    def takes(self, now: float) -> bool:
        """Whether a message that comes now is taken; it then counts."""


class TokenBucket:
    """So many messages a second on average, and a burst of this size."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self._tokens, self._last = burst, 0.0

    def takes(self, now: float) -> bool:
        self._tokens = min(self.burst, self._tokens + (now - self._last) * self.rate)
        self._last = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class FixedWindow:
    """So many messages in each minute of the clock, or another period."""

    def __init__(self, count: int, period: float, begun: float = 0.0) -> None:
        self.count, self.period, self._begun = count, period, begun
        self._window, self._taken = -1, 0

    def takes(self, now: float) -> bool:
        window = int((now + self._begun) // self.period)
        if window != self._window:
            self._window, self._taken = window, 0
        self._taken += 1
        return self._taken <= self.count


class SlidingWindow:
    """So many messages in any period. With `punishes` a refused message counts as well."""

    def __init__(self, count: int, period: float, *, punishes: bool = False) -> None:
        self.count, self.period, self.punishes = count, period, punishes
        self._times: deque[float] = deque()

    def takes(self, now: float) -> bool:
        while self._times and self._times[0] <= now - self.period:
            self._times.popleft()
        taken = len(self._times) < self.count
        if taken or self.punishes:
            self._times.append(now)
        return taken


class AtRandom:
    """Takes seven of ten messages at any pace, like a server that throttles because of its own load."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)

    def takes(self, now: float) -> bool:  # noqa: ARG002
        return self._dice.random() < 0.7


class Unlimited:
    """Takes all."""

    def takes(self, now: float) -> bool:  # noqa: ARG002
        return True


class LimitedServer:
    """A host and the Connector that reaches it. Each transaction takes `latency` seconds on the clock."""

    def __init__(
        self,
        clock: IReactorTime,
        limit: Limit | None = None,
        *,
        latency: float = 0.02,
        at_a_time: int | None = None,
        connections: int | None = None,
        of_one_connection: int | None = None,
        refusal: Reply = THROTTLED,
        host: str = "mx.test[192.0.2.1]:25",
    ) -> None:
        self.clock = clock
        self.limit: Limit = limit or Unlimited()
        self.latency = latency
        self.at_a_time = at_a_time
        self.connections = connections
        self.of_one_connection = of_one_connection
        self.refusal = refusal
        self.host = host
        self.taken: list[float] = []
        self.refused: list[float] = []
        self.open_now = 0
        self.transactions = 0
        self.most_transactions = 0

    def open(self, plan: Plan, tried: frozenset[str] = frozenset()) -> "Deferred[Connection | TryLater]":  # noqa: ARG002
        opened: Deferred[Connection | TryLater] = Deferred()
        self.clock.callLater(self.latency, self._connected, opened)
        return opened

    def _connected(self, opened: "Deferred[Connection | TryLater]") -> None:
        if opened.called:
            return
        if self.connections is not None and self.open_now >= self.connections:
            self.refused.append(self.clock.seconds())
            busy = reply(421, "4.7.0", "Too many concurrent SMTP connections")
            opened.callback(TryLater(str(busy), self.host, "4.7.0", reply=busy))
            return
        self.open_now += 1
        opened.callback(LimitedConnection(self))


class LimitedConnection:
    """One connection to a limited server."""

    def __init__(self, server: LimitedServer) -> None:
        self.server = server
        self.peer = server.host
        self.tried = frozenset((server.host,))
        self.security = ""
        self.limits: tuple[int | None, int | None] = (None, None)
        self.usable = True
        self._carried = 0

    def deliver(self, request: DeliveryRequest) -> "Deferred[TransactionResult]":
        assert self.usable
        self.usable = False
        done: Deferred[TransactionResult] = Deferred()
        server = self.server
        if server.of_one_connection is not None and self._carried >= server.of_one_connection:
            self._refuse(request, done, reply(452, "4.7.0", "Too many messages on this connection"))
        elif server.at_a_time is not None and server.transactions >= server.at_a_time:
            self._refuse(request, done, BUSY)
        else:
            server.transactions += 1
            server.most_transactions = max(server.most_transactions, server.transactions)
            server.clock.callLater(server.latency, self._end, request, done)
        return done

    def _refuse(self, request: DeliveryRequest, done: "Deferred[TransactionResult]", said: Reply) -> None:
        self.server.refused.append(self.server.clock.seconds())
        self.server.clock.callLater(self.server.latency / 10, self._answer, request, done, said)

    def _end(self, request: DeliveryRequest, done: "Deferred[TransactionResult]") -> None:
        server, now = self.server, self.server.clock.seconds()
        server.transactions -= 1
        taken = server.limit.takes(now)
        (server.taken if taken else server.refused).append(now)
        self._carried += taken
        self._answer(request, done, TAKEN if taken else server.refusal)

    def _answer(self, request: DeliveryRequest, done: "Deferred[TransactionResult]", said: Reply) -> None:
        self.usable = said.code != 421
        if not self.usable:
            self.server.open_now -= 1
        done.callback(TransactionResult({pending.index: outcome(said, self.peer) for pending in request.recipients}))

    def quit(self) -> None:
        self.usable = False
        self.server.open_now -= 1

    def when_down(self, down: Callable[[], None]) -> None:
        self.server.clock.callLater(0, down)

    def abort(self) -> None:
        self.usable = False


Make = Callable[[IReactorTime], LimitedServer]
