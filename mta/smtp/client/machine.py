"""The client's end of an SMTP session, as bytes in and bytes out: no socket, no clock (RFC 5321, RFC 2920, RFC 3030).

It reports what the server said. It knows nothing of routes, retries or reports.
"""

from collections.abc import Sequence

from mta.smtp.client.dialogue import (
    Awaited,
    ClientEvent,
    Dialogue,
    Exchange,
    FailureKind,
    SessionFailure,
    SessionOver,
    refused,
)
from mta.smtp.client.handshake import Handshake, Offer, Terms
from mta.smtp.client.reply_reader import ReplyReader, UnreadableReply
from mta.smtp.client.transaction import ClientTransaction, OutgoingMessage, RecipientReply
from mta.smtp.errors import LocalProtocolError
from mta.smtp.replies import Reply

# Causes that can break off a reply.
_BROKEN_OFF = frozenset((FailureKind.LOST, FailureKind.TIMEOUT))
# Reading a member off its Enum costs as much as a call in Python 3.11, and each reply's event is compared with these.
_READY, _START_TLS, _DONE, _END = ClientEvent.READY, ClientEvent.START_TLS, ClientEvent.DONE, Awaited.END


class ClientMachine:
    """One session: feed it what the server sends, send what it says, do what its events ask for.

    After any call, what `to_send` gives goes out first. Only misuse raises (LocalProtocolError); a server can do
    nothing but end the session, which `ended` then explains.
    """

    __slots__ = (
        "_bdat",
        "_dialogue",
        "_handshake",
        "_lmtp",
        "_reader",
        "_script",
        "_transaction",
        "ended",
        "reply_count",
    )

    def __init__(self, terms: Terms, *, secured: bool = False, bdat: bool = True) -> None:
        """Begin before the greeting; `secured` means that TLS runs already; `bdat` allows BDAT for SMTP's DATA."""
        self._lmtp = terms.lmtp
        self._bdat = bdat and not terms.lmtp
        self._dialogue = Dialogue()
        self._reader = ReplyReader()
        self._handshake = Handshake(self._dialogue, terms, secured=secured)
        self._script: Exchange | None = self._handshake
        self._transaction: ClientTransaction | None = None
        self.ended: SessionFailure | None = None
        #: How many replies were heard so far.
        self.reply_count = 0

    @property
    def offer(self) -> Offer:
        """What the server offers, as it last said."""
        return self._handshake.offer

    @property
    def starttls_refused(self) -> str:
        """The reply that refused STARTTLS, after which the session went on in clear; "" when there was none."""
        return self._handshake.starttls_refused

    @property
    def awaited(self) -> Awaited | None:
        """What the next reply will answer; None when none is due."""
        return self._dialogue.expected[0] if self._dialogue.expected else None

    @property
    def ready(self) -> bool:
        """Whether `begin` may be called."""
        return self._script is None and self.ended is None

    @property
    def answered(self) -> bool:
        """Whether the server answered anything to the transaction that was begun last."""
        return self._transaction is not None and self._transaction.answered

    @property
    def fully_sent(self) -> bool:
        """Whether the server may have all of the message that was begun last."""
        return self._transaction is not None and self._transaction.fully_sent

    @property
    def sender_refused(self) -> bool:
        """Whether the verdicts of the letter that was begun last are the reply to MAIL."""
        return self._transaction is not None and self._transaction.sender_refused

    @property
    def recipient_replies(self) -> list[RecipientReply]:
        """One for each recipient of the letter that was begun last, once DONE was given."""
        return [] if self._transaction is None else self._transaction.recipient_replies

    @property
    def accepted(self) -> int:
        """How many recipients of the letter that was begun last the server accepted at RCPT."""
        return 0 if self._transaction is None else self._transaction.accepted

    @property
    def refused(self) -> Sequence[int]:
        """Places of the recipients of that letter that the server refused at RCPT."""
        return () if self._transaction is None else self._transaction.refused

    def receive(self, data: bytes) -> ClientEvent | None:
        """Take bytes from the server; return what to do, or None to wait for more. Never raises."""
        if self.ended is not None:
            return None
        event = None
        self._reader.feed(data)
        try:
            while self.ended is None and (reply := self._reader.next()) is not None:
                event = self._take(reply) or event
        except UnreadableReply as error:
            return self._end(SessionFailure(FailureKind.PROTOCOL, "4.5.0", f"protocol error: {error}"), event)
        except SessionOver as over:
            return self._end(over.trouble, event)
        return event

    def to_send(self) -> list[bytes]:
        """Return what to send now, in order, and forget it."""
        pieces, self._dialogue.outgoing = self._dialogue.outgoing, []
        return pieces

    def tls_started(self) -> None:
        """Go on inside TLS, after START_TLS."""
        self._handshake.tls_started()

    def begin(self, letter: OutgoingMessage) -> None:
        """Start a transaction. Raises LocalProtocolError when out of turn or when a command holds a line end."""
        if not self.ready:
            raise LocalProtocolError("no transaction can begin now")
        reset = False
        if self._transaction is None:
            self._reader.be_brief()
        else:
            reset = self._transaction.unclean
        transaction = ClientTransaction(self._dialogue, self.offer, letter, bdat=self._bdat, lmtp=self._lmtp)
        transaction.start(reset=reset)
        self._script = self._transaction = transaction

    def send_body(self, chunk: bytes) -> None:
        """Take the next piece of the body, after SEND_BODY."""
        self._sending().body(chunk)

    def end_body(self) -> ClientEvent | None:
        """Learn that the body is complete; DONE when it was not what the letter announced."""
        try:
            self._sending().end_body()
        except SessionOver as over:
            return self._end(over.trouble, None)
        return None

    def fail(self, trouble: SessionFailure) -> ClientEvent | None:
        """Learn that the session cannot go on; the last event, or None when it had ended before.

        If the server closed or fell silent within a reply, the code of that reply still decides.
        """
        if self.ended is not None:
            return None
        event = None
        if trouble.kind in _BROKEN_OFF and (reply := self._unended()) is not None:
            try:
                event = self._take(reply)
            except SessionOver as over:
                return self._end(over.trouble, None)
        return self._end(trouble, event)

    def _unended(self) -> Reply | None:
        """Return the reply that was broken off, if it decides something: a yes does so only behind the end of data."""
        expected = self._dialogue.expected
        reply = self._reader.unended() if expected else None
        return None if reply is None or (reply.code < 400 and expected[0] is not _END) else reply

    def quit(self) -> None:
        """Say QUIT; whatever the server answers to it is of no interest."""
        if not self.ready:
            raise LocalProtocolError("QUIT would cut something short")
        self._dialogue.outgoing.append(b"QUIT\r\n")
        self.ended = SessionFailure(FailureKind.LOCAL, "4.4.2", "connection closed by this relay")

    def _take(self, reply: Reply) -> ClientEvent | None:
        self.reply_count += 1
        if reply.code == 421:
            raise refused(FailureKind.CLOSING, reply, "4.3.2")
        if self._script is None or not self._dialogue.expected:
            raise SessionOver(
                SessionFailure(FailureKind.PROTOCOL, "4.5.0", f"protocol error: unexpected reply {reply}")
            )
        expected = self._dialogue.expected
        event = self._script.answer(expected.popleft(), reply)
        # A foreign line before the reply to the end of data must not have the message sent again. No other reply is
        # due then, so the line cannot hide one.
        self._reader.skip_foreign = bool(expected) and expected[0] is _END
        # What came in clear along with the reply to STARTTLS would pass for TLS (RFC 3207 section 6).
        if event is _START_TLS and not self._reader.empty:
            text = "protocol error: plain text after the reply to STARTTLS"
            raise SessionOver(SessionFailure(FailureKind.PROTOCOL, "4.5.0", text))
        if event is _DONE or event is _READY:
            self._script = None
        return event

    def _end(self, trouble: SessionFailure, before: ClientEvent | None) -> ClientEvent:
        """End the session; a transaction that was just done stays done."""
        event = _DONE if before is _DONE else ClientEvent.CLOSED
        if self._script is not None:
            event, trouble = self._script.cut(trouble)
            self._script = None
        self.ended = trouble
        self._dialogue.expected.clear()
        return event

    def _sending(self) -> ClientTransaction:
        if self._script is None or self._script is not self._transaction:
            raise LocalProtocolError("no body is due")
        return self._transaction
