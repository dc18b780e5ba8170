"""The client's end of an SMTP session, without I/O: bytes in, bytes out (RFC 5321, RFC 2920, RFC 3030).

The machine reports the server's replies. Routes, retries and delivery reports are no part of it.
"""

from collections.abc import Callable, Sequence

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

# Failures that can cut off a reply.
_CUT_OFF = frozenset((FailureKind.LOST, FailureKind.TIMEOUT))
# Reading a member off its Enum costs as much as a call in Python 3.11, and each reply's event is compared with these.
_READY, _START_TLS, _DONE, _END = ClientEvent.READY, ClientEvent.START_TLS, ClientEvent.DONE, Awaited.END


class ClientMachine:
    """One session. The driver passes input to `receive`, sends the octets of `to_send`, and acts on the events.

    After each call, the driver first sends `to_send`. Only misuse raises an exception (LocalProtocolError). The server
    can only end the session; `ended` then has the reason.
    """

    __slots__ = (
        "_bdat",
        "_dialogue",
        "_exchange",
        "_handshake",
        "_lmtp",
        "_reader",
        "_transaction",
        "ended",
        "reply_count",
    )

    def __init__(self, terms: Terms, *, secured: bool = False, bdat: bool = True) -> None:
        """Begin before the greeting. `secured` means that TLS is already on; `bdat` allows BDAT in SMTP."""
        self._lmtp = terms.lmtp
        self._bdat = bdat and not terms.lmtp
        self._dialogue = Dialogue()
        self._reader = ReplyReader()
        self._handshake = Handshake(self._dialogue, terms, secured=secured)
        self._exchange: Exchange | None = self._handshake
        self._transaction: ClientTransaction | None = None
        self.ended: SessionFailure | None = None
        #: The number of replies so far.
        self.reply_count = 0

    @property
    def offer(self) -> Offer:
        """The extensions in the last reply to EHLO."""
        return self._handshake.offer

    @property
    def starttls_refused(self) -> str:
        """The reply that refused STARTTLS, so that the session went on in clear; "" if there was none."""
        return self._handshake.starttls_refused

    @property
    def awaited(self) -> Awaited | None:
        """The command to which the next reply belongs; None if no reply is due."""
        return self._dialogue.expected[0] if self._dialogue.expected else None

    @property
    def ready(self) -> bool:
        """Whether `begin` may be called."""
        return self._exchange is None and self.ended is None

    @property
    def answered(self) -> bool:
        """Whether the server sent any reply to the last transaction."""
        return self._transaction is not None and self._transaction.answered

    @property
    def fully_sent(self) -> bool:
        """Whether the server may have the whole message of the last transaction."""
        return self._transaction is not None and self._transaction.fully_sent

    @property
    def sender_refused(self) -> bool:
        """Whether the server refused MAIL of the last transaction."""
        return self._transaction is not None and self._transaction.sender_refused

    @property
    def recipient_replies(self) -> list[RecipientReply]:
        """The result of each recipient of the last transaction, after DONE."""
        return [] if self._transaction is None else self._transaction.recipient_replies

    @property
    def accepted(self) -> int:
        """The number of recipients of the last transaction that the server accepted at RCPT."""
        return 0 if self._transaction is None else self._transaction.accepted

    @property
    def refused(self) -> Sequence[int]:
        """The places of the recipients of the last transaction that the server refused at RCPT."""
        return () if self._transaction is None else self._transaction.refused

    def receive(self, data: bytes) -> ClientEvent | None:
        """Read input of the server; return the event to act on, or None to wait for more. Does not raise."""
        if self.ended is not None:
            return None
        event = None
        self._reader.feed(data)
        try:
            while (reply := self._reader.next()) is not None:
                event = self._handle_reply(reply) or event
        except UnreadableReply as error:
            return self._end(SessionFailure(FailureKind.PROTOCOL, "4.5.0", f"protocol error: {error}"), event)
        except SessionOver as over:
            return self._end(over.failure, event)
        return event

    def to_send(self) -> list[bytes]:
        """Return the octets to send now, in order, each once."""
        pieces, self._dialogue.outgoing = self._dialogue.outgoing, []
        return pieces

    def tls_started(self) -> None:
        """Go on inside TLS, after START_TLS."""
        self._handshake.tls_started()

    def begin(self, message: OutgoingMessage, hold: Callable[[], bool] | None = None) -> None:
        """Start a transaction. Raises LocalProtocolError if none can begin now or if a command contains a line end.

        If `hold` is true when a body in memory is due after a reply, SEND_BODY asks for the body as if it were not.
        """
        if not self.ready:
            raise LocalProtocolError("no transaction can begin now")
        reset = False
        if self._transaction is None:
            self._reader.shorten_texts()
        else:
            reset = self._transaction.reset_needed
        transaction = ClientTransaction(
            self._dialogue, self.offer, message, bdat=self._bdat, lmtp=self._lmtp, hold=hold
        )
        transaction.start(reset=reset)
        self._exchange = self._transaction = transaction

    def send_body(self, chunk: bytes) -> None:
        """Send the next piece of the body, after SEND_BODY."""
        self._sending().body(chunk)

    def end_body(self) -> ClientEvent | None:
        """End the body. Return DONE if its size is not the one that the message announced."""
        try:
            self._sending().end_body()
        except SessionOver as over:
            return self._end(over.failure, None)
        return None

    def fail(self, failure: SessionFailure) -> ClientEvent | None:
        """End the session by a failure; return the last event, or None if the session had ended before.

        If the server closed or fell silent within a reply, the code of that reply still counts.
        """
        if self.ended is not None:
            return None
        event = None
        if failure.kind in _CUT_OFF and (reply := self._cut_off_reply()) is not None:
            try:
                event = self._handle_reply(reply)
            except SessionOver as over:
                return self._end(over.failure, None)
        return self._end(failure, event)

    def _cut_off_reply(self) -> Reply | None:
        """Return the reply that was cut off, if it counts: a positive one does so only after the end of data."""
        expected = self._dialogue.expected
        reply = self._reader.cut_off_reply() if expected else None
        return None if reply is None or (reply.code < 400 and expected[0] is not _END) else reply

    def quit(self) -> None:
        """Send QUIT. The reply to it is ignored."""
        if not self.ready:
            raise LocalProtocolError("QUIT is not allowed during an exchange")
        self._dialogue.outgoing.append(b"QUIT\r\n")
        self.ended = SessionFailure(FailureKind.LOCAL, "4.4.2", "connection closed by this relay")

    def _handle_reply(self, reply: Reply) -> ClientEvent | None:
        self.reply_count += 1
        if reply.code == 421:
            raise refused(FailureKind.CLOSING, reply, "4.3.2")
        if self._exchange is None or not self._dialogue.expected:
            raise SessionOver(
                SessionFailure(FailureKind.PROTOCOL, "4.5.0", f"protocol error: unexpected reply {reply}")
            )
        expected = self._dialogue.expected
        event = self._exchange.handle_reply(expected.popleft(), reply)
        # A foreign line before the reply to the end of data must not cause the message to be sent again. No other reply
        # is due then, so the line cannot hide one.
        self._reader.skip_foreign_lines = bool(expected) and expected[0] is _END
        # Input in clear behind the reply to STARTTLS would be read as if it had come by TLS (RFC 3207 section 6).
        if event is _START_TLS and not self._reader.empty:
            text = "protocol error: plain text after the reply to STARTTLS"
            raise SessionOver(SessionFailure(FailureKind.PROTOCOL, "4.5.0", text))
        if event is _DONE or event is _READY:
            self._exchange = None
        return event

    def _end(self, failure: SessionFailure, before: ClientEvent | None) -> ClientEvent:
        """End the session. A transaction that has just ended stays done."""
        event = _DONE if before is _DONE else ClientEvent.CLOSED
        if self._exchange is not None:
            event, failure = self._exchange.fail(failure)
            self._exchange = None
        self.ended = failure
        self._dialogue.expected.clear()
        return event

    def _sending(self) -> ClientTransaction:
        if self._exchange is None or self._exchange is not self._transaction:
            raise LocalProtocolError("no body is due")
        return self._transaction
