"""A conversation past its opening: carries one parcel after the other over a link.

Before the last octet of a parcel goes out, a mark that says so is on disk: for a body that goes out in one write before
the transaction begins, for a larger one while its last piece is held back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from mta.delivery.remote.commands import PreparedTransaction, excess, outcomes, prepare_transaction
from mta.delivery.remote.in_flight import InFlightLog
from mta.delivery.remote.interface import DeliveryRequest, TransactionResult
from mta.delivery.remote.protocol import SmtpClientProtocol
from mta.delivery.replies.hints import without_tls
from mta.delivery.replies.smarthost_refusals import OwnSmarthost
from mta.message.outcome import Outcome
from mta.routing.route import Route
from mta.smtp.client.dialogue import ClientEvent, FailureKind, SessionFailure
from mta.smtp.client.transaction import RecipientReply
from mta.smtp.replies import Reply

# What a kept-open connection dies of between two parcels.
_DEAD = frozenset({FailureKind.LOST, FailureKind.TIMEOUT, FailureKind.CLOSING})

# Reading a member off its Enum costs as much as a call in Python 3.11; this one ends each transaction.
_DONE = ClientEvent.DONE


@dataclass(slots=True)
class _Run:
    parcel: DeliveryRequest
    written: PreparedTransaction
    done: "Deferred[TransactionResult]"
    #: Whether anything of it was said.
    begun: bool = False


class SmtpConnection:
    """The Connection of mta.delivery.remote.interface."""

    def __init__(
        self,
        link: SmtpClientProtocol,
        route: Route,
        security: str,
        mark: InFlightLog,
        closed: "Callable[[SmtpConnection], None] | None" = None,
        *,
        tried: frozenset[str] = frozenset(),
    ) -> None:
        """Take over a link that is ready; `closed` is called once, when its connection is down."""
        self.peer = route.label
        self._smarthost = OwnSmarthost(route) if route.smarthost else None
        self.tried = tried or frozenset((self.peer,))
        self.security = security
        self._link = link
        self._client = link.client
        self._mark = mark
        self._closed = closed
        self._run: _Run | None = None
        self._used = False
        self._quitting = False
        link.listener = self

    @property
    def usable(self) -> bool:
        """Whether another parcel may be given to it now."""
        return self._run is None and self._client.ready and not self._quitting

    def carry(self, parcel: DeliveryRequest) -> "Deferred[TransactionResult]":
        """Run one transaction. Never fails for what a remote did; one parcel at a time."""
        if self._run is not None:
            raise RuntimeError("a connection carries one parcel at a time")
        if not self.usable:
            return succeed(TransactionResult({}, stale=True))
        written = prepare_transaction(self._client.offer, parcel, self.peer)
        if written.letter is None:
            return succeed(TransactionResult(written.outcomes))
        run = self._run = _Run(parcel, written, Deferred())
        if written.letter.body is None:
            self._begin(run)
        else:
            self._mark(parcel).addCallbacks(self._marked, self._not_marked, (run,), {}, (run,))
        return run.done

    def quit(self) -> None:
        """Say QUIT and close, after the parcel that is under way."""
        self._quitting = True
        if self._run is None and self._client.ready:
            self._client.quit()
            self._link.close()

    def abort(self) -> None:
        """Close at once; a running `carry` ends with TryLater."""
        self._link.end(SessionFailure(FailureKind.OURS, "4.4.2", "connection closed by us"))

    def heard(self, event: ClientEvent) -> None:
        """Take an event of the session from the link."""
        if event is _DONE:
            self._finish()
        elif event is ClientEvent.SEND_BODY and self._run is not None:
            self._link.stream(self._run.parcel.body, self._last_piece)
        elif event is ClientEvent.CLOSED:
            self._link.close()
            self._finish()

    def gone(self) -> None:
        """Learn from the link that the connection is down."""
        if self._closed is not None:
            closed, self._closed = self._closed, None
            closed(self)

    def _begin(self, run: _Run) -> None:
        assert run.written.letter is not None, "what needs no letter was decided before"
        run.begun = True
        self._client.begin(run.written.letter)
        self._link.flush()

    def _marked(self, _: object, run: _Run) -> None:
        # The connection may have ended, and the parcel with it, while the disk was waited for.
        if self._run is run:
            self._begin(run)

    def _last_piece(self) -> None:
        run = self._run
        assert run is not None, "a body is sent for a parcel"
        self._mark(run.parcel).addCallbacks(self._marked_at_last, self._not_marked, (run,), {}, (run,))

    def _marked_at_last(self, _: object, run: _Run) -> None:
        if self._run is run:
            self._link.end_body()

    def _not_marked(self, failure: Failure, run: _Run) -> None:
        """Send nothing that could not be told from a duplicate after a crash."""
        if self._run is not run:
            return
        trouble = SessionFailure(
            FailureKind.OURS, "4.3.0", f"not sent, for the queue cannot note it: {failure.getErrorMessage()}"
        )
        if run.begun:
            self._link.end(trouble)
        else:
            self._run = None
            run.done.callback(self._undone(run, trouble))

    def _finish(self) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        ended = self._client.ended
        answered = run.begun and self._client.answered
        stale = self._used and ended is not None and ended.cause in _DEAD and not answered
        self._used = True
        if ended is not None:
            self._link.abort()
        elif self._quitting:
            self.quit()
        if stale:
            run.done.callback(TransactionResult({}, stale=True, all_out=run.begun and self._client.all_out))
        elif ended is not None and not run.begun:
            run.done.callback(self._undone(run, ended))
        else:
            run.done.callback(self._carried(run, ended=ended is not None))

    def _carried(self, run: _Run, *, ended: bool) -> TransactionResult:
        client, verdicts = self._client, self._client.verdicts
        outcomes = self._outcomes(run, verdicts)
        beyond = excess(run.written, verdicts, client.refused, client.accepted) if client.refused else None
        if beyond is not None:
            outcomes = {index: outcome for index, outcome in outcomes.items() if index not in beyond.recipients}
        return TransactionResult(outcomes, all_out=ended and client.all_out, excess=beyond)

    def _undone(self, run: _Run, trouble: SessionFailure) -> TransactionResult:
        """Return what came of a parcel of which nothing was sent."""
        return TransactionResult(self._outcomes(run, [trouble] * len(run.written.indexes)))

    def _outcomes(self, run: _Run, verdicts: Sequence[RecipientReply]) -> dict[int, Outcome]:
        return outcomes(run.written, verdicts, self.peer, dsn=self._client.offer.dsn, advise=self._advise)

    def _advise(self, reply: Reply) -> str:
        if (advice := without_tls(reply, self.security)) or self._smarthost is None:
            return advice
        return self._smarthost.advice(reply, to_mail=self._client.sender_refused)
