"""Runs one transaction after the other over a session that is ready for mail.

Before the last octet of a message goes out, a note on disk says to which recipients it is being sent. A message that
fits in one write is noted before its transaction begins, and again if the note has become stale when the body is due. A
larger one is noted while its last piece is held back.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from mta.coroutines import PromptDeferred
from mta.delivery.remote.commands import (
    PreparedTransaction,
    excess,
    outcomes,
    prepare_transaction,
    unprotected_outcomes,
)
from mta.delivery.remote.in_flight import InFlightLog, not_noted
from mta.delivery.remote.interface import DeliveryRequest, IsStale, TransactionResult
from mta.delivery.remote.protocol import SmtpClientProtocol
from mta.delivery.replies.hints import without_tls
from mta.delivery.replies.smarthost_refusals import OwnSmarthost
from mta.message.envelope import TlsDemand
from mta.message.outcome import Outcome
from mta.routing.route import Route
from mta.smtp.client.dialogue import ClientEvent, FailureKind, SessionFailure
from mta.smtp.client.transaction import OutgoingMessage, RecipientReply
from mta.smtp.replies import Reply

# The ways in which a kept-open connection ends between two transactions.
_ENDED_WHILE_IDLE = frozenset({FailureKind.LOST, FailureKind.TIMEOUT, FailureKind.CLOSING})

# Reading a member off its Enum costs as much as a call in Python 3.11; this one ends each transaction.
_DONE = ClientEvent.DONE
_REQUIRED = TlsDemand.REQUIRED


@dataclass(slots=True)
class _OpenTransaction:
    request: DeliveryRequest
    prepared: PreparedTransaction
    result: "Deferred[TransactionResult]"
    #: Whether any of its commands was given to the SMTP machine.
    begun: bool = False


class SmtpConnection:
    """The Connection of mta.delivery.remote.interface."""

    def __init__(
        self,
        protocol: SmtpClientProtocol,
        route: Route,
        security: str,
        in_flight: InFlightLog,
        lost: "Callable[[SmtpConnection], None] | None" = None,
        *,
        tried: frozenset[str] = frozenset(),
        proven: bool = False,
    ) -> None:
        """Take over a protocol whose session is ready; `lost` is called once, when the connection is down.

        `proven` says that the host has proved its name in TLS.
        """
        self.peer = route.label
        self._smarthost = OwnSmarthost(route, route.smarthost) if route.smarthost else None
        self.tried = tried or frozenset((self.peer,))
        self.security = security
        self._lmtp = route.lmtp
        self._proven = proven
        self._protocol = protocol
        self._client = protocol.client
        self._in_flight = in_flight
        self._lost = lost
        self._transaction: _OpenTransaction | None = None
        self._used = False
        self._quitting = False
        self._is_down = False
        self._when_down: Callable[[], None] | None = None
        protocol.listener = self

    @property
    def limits(self) -> tuple[int | None, int | None]:
        """The recipients of a transaction and the messages of the session that the host announces to take at most."""
        offer = self._client.offer
        return offer.most_recipients, offer.most_messages

    @property
    def usable(self) -> bool:
        """Whether the connection can take a request now."""
        return self._transaction is None and self._client.ready and not self._quitting

    def deliver(self, request: DeliveryRequest) -> "Deferred[TransactionResult]":
        """Run one transaction; one at a time. The Deferred does not fail because of anything a remote host did."""
        if self._transaction is not None:
            raise RuntimeError("a connection runs one transaction at a time")
        if not self.usable:
            return succeed(TransactionResult({}, stale=True))
        if request.envelope.tls_demand is _REQUIRED and (unprotected := self._unprotected(request)):
            return succeed(TransactionResult(unprotected))
        prepared = prepare_transaction(self._client.offer, request, self.peer)
        message = prepared.message
        if message is None:
            return succeed(TransactionResult(prepared.outcomes))
        transaction = self._transaction = _OpenTransaction(request, prepared, PromptDeferred())
        if message.body is None:
            self._begin(transaction, message, None)
        else:
            noting = self._in_flight.note_in_flight(request)
            noting.addCallbacks(self._noted, self._not_noted, (transaction, message), {}, (transaction,))
        return transaction.result

    def quit(self) -> None:
        """Send QUIT and close the connection, after the transaction that is running."""
        self._quitting = True
        if self._transaction is None and self._client.ready:
            self._client.quit()
            self._protocol.close(by_host=self._when_down is not None)

    def when_down(self, down: Callable[[], None]) -> None:
        """Have `down` called once the connection is down; now, if it is down already."""
        if self._is_down:
            down()
        else:
            self._when_down = down

    def abort(self) -> None:
        """Close the connection at once; a running `deliver` ends with TryLater."""
        self._protocol.end(SessionFailure(FailureKind.LOCAL, "4.4.2", "connection closed by this relay"))

    def session_event(self, event: ClientEvent) -> None:
        """Act on an event of the session."""
        if event is _DONE:
            self._finish()
        elif event is ClientEvent.SEND_BODY and self._transaction is not None:
            request, message = self._transaction.request, self._transaction.prepared.message
            again = message is not None and message.body is not None
            self._protocol.stream_body(request.body, partial(self._in_flight.note_in_flight, request, again=again))
        elif event is ClientEvent.CLOSED:
            self._protocol.close()
            self._finish()

    def connection_lost(self) -> None:
        """Report that the connection is down."""
        self._is_down = True
        if self._lost is not None:
            lost, self._lost = self._lost, None
            lost(self)
        if self._when_down is not None:
            down, self._when_down = self._when_down, None
            down()

    def _unprotected(self, request: DeliveryRequest) -> Mapping[int, Outcome]:
        """Return the outcomes of a message that this session may not have; a mail store is the end of its way."""
        if self._lmtp:
            return {}
        return unprotected_outcomes(self._client.offer, request, self.peer, proven=self._proven)

    def _begin(self, transaction: _OpenTransaction, message: OutgoingMessage, is_stale: IsStale | None) -> None:
        transaction.begun = True
        self._client.begin(message, is_stale)
        self._protocol.flush()

    def _noted(self, is_stale: IsStale | None, transaction: _OpenTransaction, message: OutgoingMessage) -> None:
        # The connection, and with it the transaction, may have ended while the note was being written.
        if self._transaction is transaction:
            self._begin(transaction, message, is_stale)

    def _not_noted(self, failure: Failure, transaction: _OpenTransaction) -> None:
        if self._transaction is transaction:
            self._transaction = None
            transaction.result.callback(self._never_begun(transaction, not_noted(failure)))

    def _finish(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            return
        ended = self._client.ended
        answered = transaction.begun and self._client.answered
        stale = self._used and ended is not None and ended.kind in _ENDED_WHILE_IDLE and not answered
        self._used = True
        if ended is not None:
            self._protocol.abort()
        elif self._quitting:
            self.quit()
        if stale:
            fully_sent = transaction.begun and self._client.fully_sent
            transaction.result.callback(TransactionResult({}, stale=True, fully_sent=fully_sent))
        elif ended is not None and not transaction.begun:
            transaction.result.callback(self._never_begun(transaction, ended))
        else:
            transaction.result.callback(self._completed(transaction, ended=ended is not None))

    def _completed(self, transaction: _OpenTransaction, *, ended: bool) -> TransactionResult:
        client, prepared, replies = self._client, transaction.prepared, self._client.recipient_replies
        outcomes = self._outcomes(prepared, replies)
        beyond = excess(prepared, replies, client.refused, client.accepted) if client.refused else None
        if beyond is not None:
            outcomes = {index: outcome for index, outcome in outcomes.items() if index not in beyond.recipients}
        return TransactionResult(outcomes, fully_sent=ended and client.fully_sent, excess=beyond)

    def _never_begun(self, transaction: _OpenTransaction, failure: SessionFailure) -> TransactionResult:
        """Return the result of a transaction of which no command was sent, because of this failure."""
        prepared = transaction.prepared
        return TransactionResult(self._outcomes(prepared, [failure] * len(prepared.indexes)))

    def _outcomes(self, prepared: PreparedTransaction, replies: Sequence[RecipientReply]) -> dict[int, Outcome]:
        return outcomes(prepared, replies, self.peer, dsn=self._client.offer.dsn, advise=self._advise)

    def _advise(self, reply: Reply) -> str:
        if (advice := without_tls(reply, self.security)) or self._smarthost is None:
            return advice
        return self._smarthost.advice(reply, to_mail=self._client.sender_refused)
