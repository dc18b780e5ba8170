"""A connector with no network: each connection's answers are given by the test."""

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed

from mta.delivery.remote.interface import Connection, DeliveryRequest, TransactionResult
from mta.message.outcome import Delivered, Outcome, TryLater
from mta.routing.route import Plan

Answer = Callable[[DeliveryRequest], dict[int, Outcome]]


def delivers(request: DeliveryRequest) -> dict[int, Outcome]:
    return {pending.index: Delivered("250 2.0.0 Ok", "mx.test[192.0.2.1]:25") for pending in request.recipients}


class FakeConnection:
    """Answers at once, or when the test says so if `held`."""

    def __init__(self, connector: "FakeConnector", plan: Plan | None = None) -> None:
        self.connector = connector
        self.plan = plan
        self.peer = "mx.test[192.0.2.1]:25"
        self.security = ""
        self.tried = frozenset((self.peer,))
        self.limits: tuple[int | None, int | None] = (None, None)
        self.usable = True
        self.ended = ""
        #: Called by the test once the connection is to be down.
        self.downs: list[Callable[[], None]] = []
        self.pending: tuple[DeliveryRequest, Deferred[TransactionResult]] | None = None

    def deliver(self, request: DeliveryRequest) -> Deferred[TransactionResult]:
        assert self.usable
        assert self.pending is None
        self.connector.requests.append(request)
        self.connector.carried.append((self.plan, request))
        if not self.connector.held:
            return succeed(TransactionResult(self.connector.answer(request)))
        self.usable = False
        done: Deferred[TransactionResult] = Deferred()
        self.pending = (request, done)
        return done

    def answer(self, result: TransactionResult | None = None, usable: bool = True) -> None:
        assert self.pending is not None
        request, done = self.pending
        self.pending = None
        self.usable = usable
        done.callback(TransactionResult(self.connector.answer(request)) if result is None else result)

    def quit(self) -> None:
        self.usable = False
        self.ended = "quit"

    def when_down(self, down: Callable[[], None]) -> None:
        self.downs.append(down)

    def abort(self) -> None:
        self.usable = False
        self.ended = "abort"
        if self.pending is not None:
            request, _ = self.pending
            trouble = TryLater("cut short", status="4.4.2")
            self.answer(TransactionResult({pending.index: trouble for pending in request.recipients}), usable=False)


class FakeConnector:
    """Remembers the opened connections and the transactions. While `down` is set, no connection can be opened."""

    def __init__(self) -> None:
        self.answer: Answer = delivers
        self.down: TryLater | None = None
        #: Whether transactions wait for `FakeConnection.answer`.
        self.held = False
        #: Whether connections wait for `connect`.
        self.slow = False
        self.plans: list[Plan] = []
        self.tried: list[frozenset[str]] = []
        self.requests: list[DeliveryRequest] = []
        #: The transactions, each with the plan by which its connection was opened.
        self.carried: list[tuple[Plan | None, DeliveryRequest]] = []
        self.connections: list[FakeConnection] = []
        self.connecting: list[Deferred[Connection | TryLater]] = []

    def open(self, plan: Plan, tried: frozenset[str] = frozenset()) -> Deferred[Connection | TryLater]:
        self.plans.append(plan)
        self.tried.append(tried)
        if not self.slow:
            return succeed(self._result(plan))
        opening: Deferred[Connection | TryLater] = Deferred()
        self.connecting.append(opening)
        return opening

    def connect(self) -> None:
        """Let all that is being opened come to its end."""
        connecting, self.connecting = self.connecting, []
        for opening in connecting:
            opening.callback(self._result())

    def _result(self, plan: Plan | None = None) -> Connection | TryLater:
        if self.down is not None:
            return self.down
        self.connections.append(FakeConnection(self, plan))
        return self.connections[-1]
