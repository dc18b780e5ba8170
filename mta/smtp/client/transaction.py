"""One mail transaction as the client sees it: MAIL, RCPT, DATA or BDAT (RFC 5321 section 3.3, RFC 2920, RFC 3030).

In LMTP each recipient that was accepted gets a reply of its own after the body, in order (RFC 2033 section 4.2).
"""

from collections import deque
from collections.abc import Sequence

from mta.fast_value import fast_value
from mta.smtp.client.dialogue import (
    Awaited,
    ClientEvent,
    Dialogue,
    FailureKind,
    SessionFailure,
    SessionOver,
    out_of_protocol,
)
from mta.smtp.client.handshake import Offer
from mta.smtp.framing import DotStuffer
from mta.smtp.replies import Reply

#: What became of a recipient: the remote's answer, or why there is none.
RecipientReply = Reply | SessionFailure

# Reading a member off its Enum costs as much as a call in Python 3.11, and each reply is compared with several.
_RSET, _MAIL, _RCPT, _DATA, _END = Awaited.RSET, Awaited.MAIL, Awaited.RCPT, Awaited.DATA, Awaited.END
_SEND_BODY, _DONE = ClientEvent.SEND_BODY, ClientEvent.DONE
_MAY_BE_TAKEN = "the message may have been taken"


@fast_value(frozen=True, slots=True)
class OutgoingMessage:
    """What to send: MAIL and RCPT commands without line ends, and the body or at least its size in octets.

    The body's lines end in CRLF, the last one too, and hold no other CR or LF: whoever took it in saw to that, and
    what comes back from a disk is looked at there (mta.message.body).
    """

    mail: str
    recipients: Sequence[str]
    size: int
    #: The whole body, or None when it will be given in pieces after SEND_BODY.
    body: bytes | None = None


class _RecipientReplies:
    """Which recipient is asked next, and what became of each."""

    __slots__ = ("_final", "accepted", "answers", "asked", "refused")

    def __init__(self, count: int) -> None:
        self.answers: list[RecipientReply | None] = [None] * count
        self.asked = 0
        self.accepted = 0
        #: Places of the recipients whose RCPT was refused.
        self.refused: list[int] = []
        # Before it all have their verdicts, so that a thousand replies do not make half a million comparisons.
        self._final = 0

    def take(self, reply: Reply) -> None:
        """Take the reply to the next RCPT. After a refused MAIL it changes nothing, whatever it says."""
        if self.answers[self.asked] is None:
            if reply.positive:
                self.accepted += 1
            else:
                self.answers[self.asked] = reply
                self.refused.append(self.asked)
        self.asked += 1

    def take_final(self, reply: Reply) -> None:
        """Give the next that has no verdict yet this one."""
        next_one = self.answers.index(None, self._final)
        self.answers[next_one] = reply
        self._final = next_one + 1

    def settle(self, verdict: RecipientReply) -> None:
        """Give all that have no verdict yet this one."""
        self.answers = [verdict if answer is None else answer for answer in self.answers]

    @property
    def all_asked(self) -> bool:
        return self.asked == len(self.answers)


class ClientTransaction:
    """The script of one transaction. `recipient_replies` is complete once DONE was given."""

    def __init__(
        self, dialogue: Dialogue, offer: Offer, letter: OutgoingMessage, *, bdat: bool, lmtp: bool = False
    ) -> None:
        self._dialogue = dialogue
        self._letter = letter
        self._pipelining = offer.pipelining
        self._bdat = bdat and offer.chunking
        self._lmtp = lmtp
        self._later: deque[tuple[Awaited, str]] = deque()
        self._tally = _RecipientReplies(len(letter.recipients))
        self._stuffer: DotStuffer | None = None
        self._sent = 0
        self._ended = False
        #: Whether the remote answered anything to this transaction.
        self.answered = False
        #: Whether the verdict of all recipients is the reply to MAIL.
        self.sender_refused = False
        #: Whether the remote may still hold a part of it, so that RSET must come before the next (RFC 3030 section 2).
        self.unclean = False

    @property
    def recipient_replies(self) -> list[RecipientReply]:
        """One for each recipient, in order, once DONE was given."""
        return [answer for answer in self._tally.answers if answer is not None]

    @property
    def accepted(self) -> int:
        """How many RCPT commands got a positive reply."""
        return self._tally.accepted

    @property
    def refused(self) -> Sequence[int]:
        """Places, in the letter, of the recipients whose RCPT command was refused."""
        return self._tally.refused

    @property
    def fully_sent(self) -> bool:
        """Whether the remote may have the whole message: by BDAT once its last octet went out, told or not."""
        return self._ended or (self._bdat and self._sent == self._letter.size)

    def start(self, *, reset: bool) -> None:
        """Say the first commands: all of them, and a body in memory by BDAT, when the remote takes pipelines."""
        letter, dialogue = self._letter, self._dialogue
        steps = [_MAIL, *[_RCPT] * len(letter.recipients)]
        commands = [letter.mail, *letter.recipients]
        if reset:
            steps.insert(0, _RSET)
            commands.insert(0, "RSET")
        if not self._pipelining:
            self._later.extend(zip(steps, commands, strict=True))
            dialogue.say(*self._later.popleft())
            return
        if not self._bdat:
            steps.append(_DATA)
            commands.append("DATA")
        elif letter.body is not None:
            steps.append(_END)
            commands.append(f"BDAT {letter.size} LAST")
        dialogue.say_all(steps, commands)
        if self._bdat and letter.body is not None:
            dialogue.outgoing.append(letter.body)
            self._ended = True

    def answer(self, step: Awaited, reply: Reply) -> ClientEvent | None:
        """Take a reply. Raises SessionOver."""
        if step is _RSET:
            self._reset(reply)
            return None
        self.answered = True
        if reply.code // 100 == 3 and step is not _DATA:
            raise out_of_protocol(step, reply)
        if step is _RCPT:
            return self._recipient(reply)
        if step is _MAIL:
            return self._sender(reply)
        if step is _DATA:
            return self._data(reply)
        return self._final(reply)

    def cut(self, trouble: SessionFailure) -> tuple[ClientEvent, SessionFailure]:
        """Give the unanswered recipients the reason why; after the end of data they may have the message."""
        if self.fully_sent:
            if trouble.kind is FailureKind.LOST:
                trouble = SessionFailure(
                    FailureKind.LOST, "4.4.2", f"connection lost after end of data; {_MAY_BE_TAKEN}"
                )
            elif trouble.kind is not FailureKind.CLOSING:
                # A reply that nobody understands may have been a yes; 421 is a no.
                trouble = SessionFailure(trouble.kind, trouble.status, f"{trouble.text}; {_MAY_BE_TAKEN}")
        self._tally.settle(trouble)
        return _DONE, trouble

    def body(self, chunk: bytes) -> None:
        """Send the next piece of the body after SEND_BODY; one that goes beyond what was announced is held back."""
        self._sent += len(chunk)
        if self._sent > self._letter.size:
            # The octets that BDAT did not announce would be taken for commands.
            return
        self._dialogue.outgoing.append(chunk if self._stuffer is None else self._stuffer.stuff(chunk))

    def end_body(self) -> None:
        """Send what ends the body. Raises SessionOver when its size is not what was announced."""
        if self._sent != self._letter.size:
            raise SessionOver(
                SessionFailure(
                    FailureKind.LOCAL, "4.3.0", f"the body has {self._sent} octets instead of {self._letter.size}"
                )
            )
        if self._stuffer is not None:
            self._dialogue.outgoing.append(self._stuffer.end())
        self._ended = True

    def _reset(self, reply: Reply) -> None:
        if reply.code // 100 != 2:
            raise SessionOver(SessionFailure(FailureKind.CLOSING, "4.3.2", str(reply)))
        self._say_next()

    def _say_next(self) -> None:
        if self._later:
            self._dialogue.say(*self._later.popleft())

    def _sender(self, reply: Reply) -> ClientEvent | None:
        if reply.positive:
            self._say_next()
            return None
        self._tally.settle(reply)
        self.sender_refused = True
        return None if self._pipelining else _DONE

    def _recipient(self, reply: Reply) -> ClientEvent | None:
        self._tally.take(reply)
        if not self._tally.all_asked:
            self._say_next()
            return None
        return None if self._dialogue.expected else self._recipients_done()

    def _recipients_done(self) -> ClientEvent | None:
        """Go on to the body, which did not go out with the recipients."""
        if not self._tally.accepted:
            self.unclean = True
            return _DONE
        if not self._bdat:
            self._dialogue.say(_DATA, "DATA")
            return None
        self._dialogue.say(_END, f"BDAT {self._letter.size} LAST")
        return self._send_body()

    def _data(self, reply: Reply) -> ClientEvent | None:
        if reply.code == 354:
            self._stuffer = DotStuffer()
            if self._lmtp:
                return self._data_by_lmtp(reply)
            self._dialogue.expected.append(_END)
            if self._tally.accepted:
                return self._send_body()
            # RFC 2920 section 3.1: every recipient was refused, yet the remote waits for a message.
            self._dialogue.outgoing.append(b".\r\n")
            self._ended = True
            return None
        if reply.positive:
            raise out_of_protocol(_DATA, reply)
        self._tally.settle(reply)
        self.unclean = True
        return _DONE

    def _data_by_lmtp(self, reply: Reply) -> ClientEvent | None:
        if not self._tally.accepted:
            # RFC 2033 section 4.2 wants a 503. No reply would follow the dot, so nobody could tell when it is over.
            raise out_of_protocol(_DATA, reply)
        self._dialogue.expected.extend([_END] * self._tally.accepted)
        return self._send_body()

    def _send_body(self) -> ClientEvent | None:
        if self._letter.body is None:
            return _SEND_BODY
        self.body(self._letter.body)
        self.end_body()
        return None

    def _final(self, reply: Reply) -> ClientEvent | None:
        self.unclean = not reply.positive
        # The remote did not wait for the end of the body. A refusal stands, but only closing stops what it expects.
        if not self.fully_sent and reply.positive:
            raise out_of_protocol(_END, reply)
        if self._lmtp:
            self._tally.take_final(reply)
        else:
            self._tally.settle(reply)
        if not self.fully_sent:
            raise SessionOver(SessionFailure(FailureKind.CLOSING, "4.3.0", f"{reply} before the end of data"))
        return None if self._dialogue.expected else _DONE
