"""The client's machine: any octets from a server, in any pieces, under any terms and with any message."""

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from mta.smtp.client.dialogue import Awaited, ClientEvent, FailureKind, SessionFailure
from mta.smtp.client.handshake import Terms
from mta.smtp.client.machine import ClientMachine
from mta.smtp.client.reply_reader import MAX_LINE
from mta.smtp.client.transaction import OutgoingMessage, RecipientReply
from mta.smtp.framing import DotReader
from mta.smtp.sasl.logins import PasswordLogin
from tests.fuzz.target import Growth, Tape, Target, each_octet, is_line, pieces, sentences

_USER, _PASSWORD = "canary-user", "canary-password"
_LOGIN = PasswordLogin(_USER, _PASSWORD)
#: Secrets as they would travel: PLAIN's message, and LOGIN's second answer.
_SECRETS = tuple(base64.b64encode(text.encode()) for text in (f"\0{_USER}\0{_PASSWORD}", _PASSWORD))
_TERMS = (
    Terms("me.test"),
    Terms("me.test", login=_LOGIN),
    Terms("me.test", lmtp=True),
    Terms("me.test", tls_required=True, login=_LOGIN),
    Terms("me.test", starttls=False, login=_LOGIN, login_in_clear=True),
    Terms("me.test", starttls=False, login=_LOGIN),
)
_BODIES = (b"Subject: x\r\n\r\n.dot\r\n", b".\r\n", b"..\r\n.\r\n\r\n", b"", b"a\r\n" * 40)
_LOST = SessionFailure(FailureKind.LOST, "4.4.2", "connection lost")
_COMMAND = re.compile(
    rb"(?:EHLO|HELO|LHLO) me\.test|STARTTLS|AUTH [A-Z0-9-]+(?: [A-Za-z0-9+/=]*)?|[A-Za-z0-9+/]+={0,2}|RSET|DATA|QUIT"
    rb"|MAIL FROM:<a@a\.test>|RCPT TO:<[0-9]+@b\.test>|BDAT ([0-9]+) LAST"
)
_IN_CLEAR = re.compile(rb"(?:EHLO me\.test|HELO me\.test|STARTTLS|QUIT)\r\n")


@dataclass(frozen=True, slots=True)
class Talk:
    """The octets of a server, line by line or not, and the orders of the client."""

    says: bytes
    way: int = 1
    terms: Terms = _TERMS[0]
    bdat: bool = True
    body: bytes = _BODIES[0]
    #: Whether the body is given in pieces, and of how many octets.
    step: int = 0
    recipients: int = 2

    def letter(self) -> OutgoingMessage:
        """Return the message to send."""
        to = tuple(f"RCPT TO:<{number}@b.test>" for number in range(self.recipients))
        return OutgoingMessage("MAIL FROM:<a@a.test>", to, len(self.body), None if self.step else self.body)


class _Server:
    """Reads the client's octets as strictly as a server may, and knows its own replies alone."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._reader: DotReader | None = None
        self._chunk = 0
        self._text = b""
        self.bodies = 0

    def hear(self, said: bytes, *, go_ahead: bool) -> None:
        """Take octets of the client; with `go_ahead` it had received the 354 before."""
        if go_ahead:
            self._reader, self._text = DotReader(), b""
        while said:
            said = self._hear_body(said) if self._reader or self._chunk else self._hear_command(said)

    def _hear_command(self, said: bytes) -> bytes:
        line, end, rest = said.partition(b"\r\n")
        assert end, "a command without its end"
        match = _COMMAND.fullmatch(line)
        assert match, line
        if match[1] is not None:
            assert int(match[1]) == len(self._talk.body)
            self._chunk, self._text = int(match[1]), b""
            self.bodies += not self._chunk
        return rest

    def _hear_body(self, said: bytes) -> bytes:
        if self._reader is None:
            part, said = said[: self._chunk], said[self._chunk :]
            self._chunk -= len(part)
            self._text += part
            return self._whole(said) if not self._chunk else b""
        text, rest = self._reader.feed(said)
        self._text += text
        if rest is None:
            return b""
        self._reader = None
        # If all recipients were refused and the server insists, a lone dot ends the empty data.
        return self._whole(rest) if self._text or self._talk.body == b"" else rest

    def _whole(self, rest: bytes) -> bytes:
        assert self._text == self._talk.body, "another body than the letter's"
        self.bodies += 1
        return rest


@dataclass(slots=True)
class _Run:
    """One session and its result."""

    talk: Talk
    client: ClientMachine
    said: bytes
    events: list[ClientEvent]
    verdicts: list[list[RecipientReply]]
    letters: int = 0
    secured: bool = False


def check(talk: Talk) -> None:
    """Run a session by lines, by octets and as it is cut; the first two must be the same session."""
    server = _Server(talk)
    by_lines = _run(talk, talk.says.splitlines(keepends=True), server.hear)
    by_octets = _run(talk, each_octet(talk.says))
    assert (by_lines.said, by_lines.events, by_lines.verdicts, by_lines.client.ended) == (
        by_octets.said,
        by_octets.events,
        by_octets.verdicts,
        by_octets.client.ended,
    )
    assert server.bodies <= by_lines.letters
    _run(talk, pieces(talk.says, talk.way))


def _run(talk: Talk, says: Sequence[bytes], hear: Callable[..., None] | None = None) -> _Run:
    client = ClientMachine(talk.terms, bdat=talk.bdat)
    run = _Run(talk, client, b"", [], [])
    for piece in says:
        go_ahead = client.awaited is Awaited.DATA and piece.startswith(b"354")
        ended = client.ended
        said = _said(run, client.receive(piece))
        assert ended is None or said == b"", "something was said after the end"
        if hear is not None:
            hear(said, go_ahead=go_ahead and client.awaited is Awaited.END)
        assert client.ended or len(client._reader._buffer) <= MAX_LINE + len(piece)
    if (event := client.fail(_LOST)) is not None:
        assert _said(run, event) == b""
    _check_end(run)
    return run


def _said(run: _Run, event: ClientEvent | None) -> bytes:
    """Follow an event, and return all octets that the client sent."""
    client = run.client
    said = _take(run)
    while event is not None:
        run.events.append(event)
        follow = None
        if event is ClientEvent.START_TLS:
            assert client._reader.empty, "words in clear would pass for TLS"
            run.secured = True
            client.tls_started()
        elif event is ClientEvent.SEND_BODY:
            follow = _send_body(run)
        elif event is ClientEvent.DONE:
            run.verdicts.append(client.recipient_replies)
        if client.ready and run.letters < 3:
            client.begin(run.talk.letter())
            run.letters += 1
        said += _take(run)
        event = follow
    return said


def _take(run: _Run) -> bytes:
    said = b"".join(run.client.to_send())
    run.said += said
    terms = run.talk.terms
    if not run.secured:
        assert terms.login_in_clear or not any(secret in said for secret in _SECRETS), "the password in clear"
        assert not terms.tls_required or _IN_CLEAR.sub(b"", said) == b"", "more in clear than STARTTLS"
    return said


def _send_body(run: _Run) -> ClientEvent | None:
    client, body, step = run.client, run.talk.body, run.talk.step
    for at in range(0, len(body), step):
        client.send_body(body[at : at + step])
    return client.end_body()


def _check_end(run: _Run) -> None:
    client, talk = run.client, run.talk
    assert client.ended is not None
    assert client.ended.status.startswith("4.")
    words = [client.ended.text]
    assert run.events.count(ClientEvent.CLOSED) <= 1
    assert ClientEvent.CLOSED not in run.events[:-1]
    for verdicts in run.verdicts:
        assert len(verdicts) == talk.recipients
        words += [verdict.text for verdict in verdicts]
    assert len(run.verdicts) == run.letters, "a letter without verdicts"
    for text in words:
        assert is_line(text)
        assert _PASSWORD not in text
    assert client.receive(b"250 ok\r\n") is None
    assert client.to_send() == []


# The two ways to an input


def read(tape: Tape) -> Talk:
    """Read a talk: five octets of choices, then the server's octets."""
    flags = tape.number()
    begin = b"220 hi\r\n250-b\r\n250-PIPELINING\r\n250 CHUNKING\r\n" if flags & 2 else b""
    return Talk(
        terms=tape.choose(_TERMS),
        bdat=bool(flags & 1),
        body=tape.choose(_BODIES),
        step=tape.number() % 8,
        recipients=flags // 4 % 3 + 1,
        way=tape.number(),
        says=begin + tape.rest(),
    )


_HELLOS = (
    *(
        b"250-b.test\r\n" + b"".join(b"250-%b\r\n" % word for word in words.split()) + b"250 HELP\r\n"
        for words in (
            *(b"", b"PIPELINING", b"PIPELINING CHUNKING", b"CHUNKING", b"STARTTLS", b"STARTTLS PIPELINING"),
            *(b"AUTH=PLAIN", b"SIZE", b"XX DSN 8BITMIME SMTPUTF8", b"REQUIRETLS"),
        )
    ),
    b"250-b\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN CRAM-MD5\r\n",
    b"250-b\r\n250-SIZE 1\r\n250 AUTH LOGIN\r\n",
)
_VOCABULARY = (
    *(b"220 hi\r\n", b"220 hi\r\n", *_HELLOS, *(b"220 hi\r\n" + hello for hello in _HELLOS)),
    *(b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n250 ok\r\n250 ok\r\n", b"354 go\r\n", b"354 go\r\n250 2.0.0 taken\r\n"),
    *(
        b"250 ok\r\n" * 3 + b"354 go\r\n",
        b"235 in\r\n",
        b"334 VXNlcm5hbWU6\r\n",
        b"334 \r\n",
        b"334 !\r\n",
        b"503 what\r\n",
    ),
    *(
        b"450 4.2.0 later\r\n",
        b"550 5.1.1 no\r\n",
        b"550-5.1.1 no\r\n550 5.1.1 no\r\n",
        b"421 bye\r\n",
        b"220 2.0.0 go\r\n",
    ),
    *(
        b"junk\r\n",
        b"250-\r\n",
        b"250\r\n",
        b"250\xc3\xbc\r\n",
        b"250 \x1b[0m\xe2\x80\xae\r\n",
        b"250 a\nb\r\n",
        b"\r\n",
        b"\r",
        b"2",
    ),
    *(b"250-a\r\n550 b\r\n", b"535 5.7.8 no\r\n", b"454 4.7.0 no\r\n"),
)
# Texts that are too long are seldom drawn, because they take as long as a hundred other inputs.
_BEGINNINGS = (*[b"220 hi\r\n"] * 48, *[b""] * 14, b"220 " + b"x" * 2100, b"220-y\r\n" * 101)
talks = st.builds(
    Talk,
    says=st.builds(lambda begin, rest: begin + rest, st.sampled_from(_BEGINNINGS), sentences(_VOCABULARY)),
    way=st.integers(0, 255),
    terms=st.sampled_from(_TERMS),
    bdat=st.booleans(),
    body=st.sampled_from(_BODIES),
    step=st.integers(0, 7),
    recipients=st.integers(1, 3),
)
_WORDS = (
    *(
        b"220 hi\r\n",
        b"250 ok\r\n",
        b"354 go\r\n",
        b"334 VXNlcm5hbWU6\r\n",
        b"235 in\r\n",
        b"421 bye\r\n",
        b"550 no\r\n",
    ),
    *(
        b"450 4.2.0 x\r\n",
        b"250-b\r\n",
        b"250-PIPELINING\r\n",
        b"250-CHUNKING\r\n",
        b"250-STARTTLS\r\n",
        b"250-DSN\r\n",
    ),
    *(
        b"250-AUTH PLAIN LOGIN CRAM-MD5\r\n",
        b"250 SIZE 9\r\n",
        b"250-SMTPUTF8\r\n",
        b"503 what\r\n",
        b"\r\n",
        b"\r",
        b"\n",
    ),
    *(b"250 ", b"250-", b"5.1.1 ", b"\xe2\x80\xae", b"\x1b", b"\0"),
)
_READY = b"220 hi\r\n250-b\r\n250-PIPELINING\r\n250 SIZE\r\n"
_CALM = Talk(b"", terms=_TERMS[0])
_STORE = replace(_CALM, terms=_TERMS[2], body=b"a\r\n")


def _alone(talk: Talk) -> object:
    return _run(talk, pieces(talk.says, talk.way) if talk.way else talk.says.splitlines(keepends=True))


def _shape(name: str, make: Callable[[int], Talk], size: int = 1 << 14) -> Growth[Talk]:
    return Growth(name, make, size, work=_alone)


def _crowd(count: int, *, says: bytes) -> Talk:
    return replace(_CALM, says=_READY + b"250 ok\r\n" + says * count, recipients=count, way=0)


GROWTH = (
    _shape("a line without an end, by octets", lambda n: replace(_CALM, says=b"220 " + b"x" * n, way=1)),
    _shape("lines without an end, by octets", lambda n: replace(_CALM, says=b"220-x\r\n" * (n // 7), way=1)),
    _shape(
        "long lines, by octets", lambda n: replace(_CALM, says=(b"220-" + b"x" * 2000 + b"\r\n") * (n // 2006), way=1)
    ),
    _shape("recipients taken", lambda n: _crowd(n, says=b"250 ok\r\n"), 512),
    _shape("recipients refused", lambda n: _crowd(n, says=b"550 no\r\n"), 512),
    _shape(
        "recipients of a mail store",
        lambda n: replace(
            _STORE, says=_READY + b"250 ok\r\n" * (n + 1) + b"354 go\r\n" + b"250 ok\r\n" * n, recipients=n, way=0
        ),
        512,
    ),
    _shape(
        "a body of dots in pieces of one",
        lambda n: replace(_CALM, says=_READY + b"250 ok\r\n" * 3 + b"354 go\r\n", body=b".\r\n" * (n // 3), step=1),
    ),
)
TARGET = Target("client", check, read, talks, _WORDS, GROWTH)
