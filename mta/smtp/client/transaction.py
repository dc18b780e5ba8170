"""One mail transaction of the client: MAIL, RCPT, DATA or BDAT (RFC 5321 section 3.3, RFC 2920, RFC 3030).

In LMTP each accepted recipient gets a reply of its own after the body, in order (RFC 2033 section 4.2).
"""

from collections import deque
from collections.abc import Callable, Sequence

from mta.fast_value import fast_value
from mta.smtp.client.dialogue import (
    Awaited,
    ClientEvent,
    Dialogue,
    FailureKind,
    SessionFailure,
    SessionOver,
    protocol_error,
)
from mta.smtp.client.handshake import Offer
from mta.smtp.framing import DotStuffer
from mta.smtp.replies import Reply

#: The result of a recipient: the server's reply, or the failure because of which there is none.
RecipientReply = Reply | SessionFailure

# Reading a member off its Enum costs as much as a call in Python 3.11, and each reply is compared with several.
_RSET, _MAIL, _RCPT, _DATA, _END = Awaited.RSET, Awaited.MAIL, Awaited.RCPT, Awaited.DATA, Awaited.END
_SEND_BODY, _DONE = ClientEvent.SEND_BODY, ClientEvent.DONE
_MAY_BE_TAKEN = "the message may have been taken"


@fast_value(frozen=True, slots=True)
class OutgoingMessage:
    """A message to send: MAIL and RCPT commands without line ends, the size in octets, and perhaps the body.

    Each line of the body ends in CRLF, and the body has no other CR or LF. The server's machine ensures that when a
    message is received, and mta.message.body when it is read from the disk.
    """

    mail: str
    recipients: Sequence[str]
    size: int
    #: The whole body, or None if it is sent in pieces after SEND_BODY.
    body: bytes | None = None


class _RecipientReplies:
    """The replies to the recipients, and the place of the next recipient that gets a reply to RCPT."""

    __slots__ = ("_first_open", "accepted", "next", "refused", "replies")

    def __init__(self, count: int) -> None:
        self.replies: list[RecipientReply | None] = [None] * count
        self.next = 0
        self.accepted = 0
        #: Places of the recipients whose RCPT was refused.
        self.refused: list[int] = []
        # All recipients before this place have a reply. For a thousand recipients it saves half a million comparisons.
        self._first_open = 0

    def add(self, reply: Reply) -> None:
        """Add the reply to the next RCPT. After a refused MAIL it changes nothing."""
        if self.replies[self.next] is None:
            if reply.positive:
                self.accepted += 1
            else:
                self.replies[self.next] = reply
                self.refused.append(self.next)
        self.next += 1

    def add_final(self, reply: Reply) -> None:
        """Give the next recipient without a reply this one, which came after the body."""
        place = self.replies.index(None, self._first_open)
        self.replies[place] = reply
        self._first_open = place + 1

    def fill(self, result: RecipientReply) -> None:
        """Give all recipients without a reply this result."""
        self.replies = [result if reply is None else reply for reply in self.replies]

    @property
    def complete(self) -> bool:
        """Whether each RCPT has its reply."""
        return self.next == len(self.replies)


class ClientTransaction:
    """The exchange of one transaction. `recipient_replies` is complete after DONE."""

    def __init__(
        self,
        dialogue: Dialogue,
        offer: Offer,
        message: OutgoingMessage,
        *,
        bdat: bool,
        lmtp: bool = False,
        hold: Callable[[], bool] | None = None,
    ) -> None:
        self._dialogue = dialogue
        self._message = message
        self._pipelining = offer.pipelining
        self._bdat = bdat and offer.chunking
        self._lmtp = lmtp
        self._hold = hold
        self._unsent: deque[tuple[Awaited, str]] = deque()
        self._replies = _RecipientReplies(len(message.recipients))
        self._stuffer: DotStuffer | None = None
        self._sent = 0
        self._ended = False
        #: Whether the server sent any reply to this transaction.
        self.answered = False
        #: Whether MAIL was refused, so that its reply is the result of all recipients.
        self.sender_refused = False
        #: Whether the server may still keep a part of the transaction, so that RSET must precede the next one (RFC 3030
        #: section 2).
        self.reset_needed = False

    @property
    def recipient_replies(self) -> list[RecipientReply]:
        """The result of each recipient, in order, after DONE."""
        return [reply for reply in self._replies.replies if reply is not None]

    @property
    def accepted(self) -> int:
        """The number of RCPT commands with a positive reply."""
        return self._replies.accepted

    @property
    def refused(self) -> Sequence[int]:
        """The places in the message of the recipients whose RCPT command was refused."""
        return self._replies.refused

    @property
    def fully_sent(self) -> bool:
        """Whether the server may have the whole message. By BDAT that is so once the last octet is sent."""
        return self._ended or (self._bdat and self._sent == self._message.size)

    def start(self, *, reset: bool) -> None:
        """Send the first command. With PIPELINING send all commands, and with BDAT also a body in memory."""
        message, dialogue = self._message, self._dialogue
        awaited = [_MAIL, *[_RCPT] * len(message.recipients)]
        commands = [message.mail, *message.recipients]
        if reset:
            awaited.insert(0, _RSET)
            commands.insert(0, "RSET")
        if not self._pipelining:
            self._unsent.extend(zip(awaited, commands, strict=True))
            dialogue.send(*self._unsent.popleft())
            return
        if not self._bdat:
            awaited.append(_DATA)
            commands.append("DATA")
        elif message.body is not None:
            awaited.append(_END)
            commands.append(f"BDAT {message.size} LAST")
        dialogue.send_all(awaited, commands)
        if self._bdat and message.body is not None:
            dialogue.outgoing.append(message.body)
            self._ended = True

    def handle_reply(self, awaited: Awaited, reply: Reply) -> ClientEvent | None:
        """Handle a reply. Raises SessionOver."""
        if awaited is _RSET:
            self._reset(reply)
            return None
        self.answered = True
        if reply.code // 100 == 3 and awaited is not _DATA:
            raise protocol_error(awaited, reply)
        if awaited is _RCPT:
            return self._recipient(reply)
        if awaited is _MAIL:
            return self._sender(reply)
        if awaited is _DATA:
            return self._data(reply)
        return self._final(reply)

    def fail(self, failure: SessionFailure) -> tuple[ClientEvent, SessionFailure]:
        """Give the failure to all recipients without a reply; they may have the mail if all of it was sent."""
        if self.fully_sent:
            if failure.kind is FailureKind.LOST:
                failure = SessionFailure(
                    FailureKind.LOST, "4.4.2", f"connection lost after end of data; {_MAY_BE_TAKEN}"
                )
            elif failure.kind is not FailureKind.CLOSING:
                # A reply that cannot be read may have been positive; 421 is negative.
                failure = SessionFailure(failure.kind, failure.status, f"{failure.text}; {_MAY_BE_TAKEN}")
        self._replies.fill(failure)
        return _DONE, failure

    def body(self, chunk: bytes) -> None:
        """Send the next piece of the body after SEND_BODY, unless the body becomes larger than announced."""
        self._sent += len(chunk)
        if self._sent > self._message.size:
            # The server would read octets that BDAT did not announce as commands.
            return
        self._dialogue.outgoing.append(chunk if self._stuffer is None else self._stuffer.stuff(chunk))

    def end_body(self) -> None:
        """Send the end of the body. Raises SessionOver if its size is not the one announced."""
        if self._sent != self._message.size:
            raise SessionOver(
                SessionFailure(
                    FailureKind.LOCAL, "4.3.0", f"the body has {self._sent} octets instead of {self._message.size}"
                )
            )
        if self._stuffer is not None:
            self._dialogue.outgoing.append(self._stuffer.end())
        self._ended = True

    def _reset(self, reply: Reply) -> None:
        if reply.code // 100 != 2:
            raise SessionOver(SessionFailure(FailureKind.CLOSING, "4.3.2", str(reply)))
        self._send_next()

    def _send_next(self) -> None:
        if self._unsent:
            self._dialogue.send(*self._unsent.popleft())

    def _sender(self, reply: Reply) -> ClientEvent | None:
        if reply.positive:
            self._send_next()
            return None
        self._replies.fill(reply)
        self.sender_refused = True
        return None if self._pipelining else _DONE

    def _recipient(self, reply: Reply) -> ClientEvent | None:
        self._replies.add(reply)
        if not self._replies.complete:
            self._send_next()
            return None
        return None if self._dialogue.expected else self._recipients_done()

    def _recipients_done(self) -> ClientEvent | None:
        """Go on to the body, which was not sent with the recipients."""
        if not self._replies.accepted:
            self.reset_needed = True
            return _DONE
        if not self._bdat:
            self._dialogue.send(_DATA, "DATA")
            return None
        self._dialogue.send(_END, f"BDAT {self._message.size} LAST")
        return self._send_body()

    def _data(self, reply: Reply) -> ClientEvent | None:
        if reply.code == 354:
            self._stuffer = DotStuffer()
            if self._lmtp:
                return self._data_by_lmtp(reply)
            self._dialogue.expected.append(_END)
            if self._replies.accepted:
                return self._send_body()
            # RFC 2920 section 3.1: all recipients were refused, but the server waits for a message.
            self._dialogue.outgoing.append(b".\r\n")
            self._ended = True
            return None
        if reply.positive:
            raise protocol_error(_DATA, reply)
        self._replies.fill(reply)
        self.reset_needed = True
        return _DONE

    def _data_by_lmtp(self, reply: Reply) -> ClientEvent | None:
        if not self._replies.accepted:
            # RFC 2033 section 4.2 requires 503 here. Without accepted recipients the end of data would get no reply.
            raise protocol_error(_DATA, reply)
        self._dialogue.expected.extend([_END] * self._replies.accepted)
        return self._send_body()

    def _send_body(self) -> ClientEvent | None:
        if self._message.body is None or (self._hold is not None and self._hold()):
            return _SEND_BODY
        self.body(self._message.body)
        self.end_body()
        return None

    def _final(self, reply: Reply) -> ClientEvent | None:
        self.reset_needed = not reply.positive
        # The server did not wait for the end of the body. A refusal counts, but the session must be closed, because the
        # server still expects the rest of the body.
        if not self.fully_sent and reply.positive:
            raise protocol_error(_END, reply)
        if self._lmtp:
            self._replies.add_final(reply)
        else:
            self._replies.fill(reply)
        if not self.fully_sent:
            raise SessionOver(SessionFailure(FailureKind.CLOSING, "4.3.0", f"{reply} before the end of data"))
        return None if self._dialogue.expected else _DONE
