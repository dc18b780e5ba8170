"""The server's machine: any octets in any pieces, answered by a driver in any way."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from mta.smtp.framing import bare
from mta.smtp.limits import STRICT, Leniency, SmtpLimits
from mta.smtp.replies import MAX_REPLY_LINE, Reply, reply
from mta.smtp.server.auth import MAX_RESPONSE, NO_LOGINS, LoginTerms
from mta.smtp.server.events import (
    NEED_DATA,
    WAITING,
    AuthBegin,
    AuthResponse,
    BodyEnd,
    BodyPart,
    BodyRefused,
    Closed,
    CommandRefused,
    DataBegin,
    Event,
    Hello,
    MailFrom,
    RcptTo,
    Reset,
    StartTls,
)
from mta.smtp.server.machine import ServerMachine
from tests.fuzz.login_model import RESPONSE_TOO_LONG, LoginModel
from tests.fuzz.target import Growth, Tape, Target, each_octet, is_line, pieces, sentences

_SMALL = SmtpLimits(command_line=128, text_line=40, message_size=200, recipients=3, errors=4, bad_recipients=2)
_LIMITS = (
    SmtpLimits(),
    replace(_SMALL, idle_commands=6),
    replace(_SMALL, text_line=0, errors=1000, idle_commands=1000),
    replace(_SMALL, errors=1000, recipients=1000, bad_recipients=1000),
)
_LENIENT = Leniency("relay.test", names=True, line_feeds=True)
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_YES, _LATER, _NO, _GO, _YES_SLOWLY, _NO_SLOWLY = range(6)
_CODES = {_YES: 250, _LATER: 451, _NO: 550, _GO: 421, _YES_SLOWLY: 250, _NO_SLOWLY: 550}
_ASKING = (Hello, MailFrom, RcptTo, DataBegin, BodyEnd, StartTls, AuthBegin, AuthResponse)
# The answers to a login: it succeeds, fails in several ways, or goes on with a challenge.
_LOGIN_CODES = {_YES: 235, _LATER: 454, _NO: 535, _GO: 421, _YES_SLOWLY: 334, _NO_SLOWLY: 334}
_BOTH = ("PLAIN", "LOGIN")
_LOGINS = (
    NO_LOGINS,
    LoginTerms(in_tls=_BOTH, leniency=_LENIENT),
    LoginTerms(in_clear=_BOTH, in_tls=_BOTH, required=True),
    LoginTerms(in_clear=("PLAIN",), in_tls=_BOTH, leniency=_LENIENT),
)
# Ends of a session that depend on when the octets came, which is their purpose.
_BY_TIMING = {
    "input behind DATA",
    "input behind STARTTLS",
    "input before the greeting",
    "input before the TLS handshake",
}


@dataclass(frozen=True, slots=True)
class Visit:
    """A client's octets, and the driver's answers: each question gets the next of `answers`, in turn."""

    sent: tuple[bytes, ...]
    limits: SmtpLimits = _LIMITS[0]
    answers: tuple[int, ...] = (_YES,)
    starttls: bool = False
    #: Whether TLS begins after STARTTLS was answered.
    handshake: bool = True
    lost: bool = False
    leniency: Leniency = STRICT
    logins: LoginTerms = NO_LOGINS
    #: Whether the connection begins with TLS.
    tls: bool = False

    def answer(self, number: int, *, login: bool = False) -> tuple[Reply, bool]:
        """Return the answer to a question, counted from 0, and whether it comes late. The greeting is positive."""
        kind = self.answers[number % len(self.answers)] if number else _YES
        late = kind in {_YES_SLOWLY, _NO_SLOWLY}
        code = (_LOGIN_CODES if login else _CODES)[kind]
        if code == 334:
            return reply(code, "", "Y2hhbGxlbmdl"), late
        return reply(code, f"{code // 100}.0.0", f"answer {number}"), late


@dataclass(slots=True)
class _Seen:
    events: list[Event] = field(default_factory=list)
    said: list[bytes] = field(default_factory=list)

    replies: list[bytes] = field(default_factory=list)

    def say(self, said: bytes) -> None:
        """Take the output of one write, and split it into replies: a line with a blank after its code ends one."""
        self.said.append(said)
        begun = b""
        for line in said.splitlines(keepends=True):
            begun += line
            if line[3:4] != b"-":
                self.replies.append(begun)
                begun = b""
        assert begun == b"", "a reply does not end"


class _Driver:
    """Drives one machine by its contract, and asserts its invariants after each piece."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        #: Told after each piece: the piece, how many replies there were so far, and whether the session is over.
        self.after: Callable[[bytes, int, bool], None] | None = None
        self._asked = 0
        self._late: tuple[Event | None, Reply] | None = None
        self._login = LoginModel(required=visit.logins.required)
        self._shaking = False
        self.machine = ServerMachine(
            visit.limits,
            "mx.test",
            starttls=visit.starttls,
            leniency=visit.leniency,
            logins=visit.logins,
            tls=visit.tls,
        )
        self.seen = _Seen()

    def run(self, sent: Sequence[bytes]) -> _Seen:
        self._answer()
        self._work()
        for piece in sent:
            self._receive(piece)
        while self._late is not None:
            self._receive(b"")
        if self._visit.lost:
            self.machine.lost()
            self._work()
        return self.seen

    def _receive(self, piece: bytes) -> None:
        if piece or not self._shaking:
            self.machine.receive(piece)
        if self._late is not None:
            late, self._late = self._late, None
            self.machine.answer(late[1])
            self._login.answered(*late)
        self._work()
        if self.after is not None:
            self.after(piece, len(self.seen.replies), self.machine.closing)

    def _work(self) -> None:
        while (event := self.machine.next_event()) is not NEED_DATA and event is not WAITING:
            assert not isinstance(event, type(NEED_DATA))
            self.seen.events.append(event)
            self._login.check(event)
            if isinstance(event, _ASKING):
                self._answer(event)
        if event is NEED_DATA:
            assert self.machine.buffered <= (
                MAX_RESPONSE if self._login.challenged else self._visit.limits.command_line
            )
        if said := self.machine.to_send():
            self.seen.say(said)
        if self._shaking and self._visit.handshake and not self.machine.closing:
            self._shaking = False
            self.machine.tls_started()
            self._login.tls_started()

    def _answer(self, event: Event | None = None) -> None:
        answer, late = self._visit.answer(self._asked, login=isinstance(event, AuthBegin | AuthResponse))
        self._asked += 1
        if late:
            self._late = (event, answer)
            self._shaking = False
        else:
            self.machine.answer(answer)
            self._login.answered(event, answer)
            self._shaking = isinstance(event, StartTls) and answer.positive and not self.machine.closing


class _Count:
    """Counts, octet by octet, the replies that a client may expect: one for each command, one for each message."""

    _END = b"\r\n.\r\n"
    _BDAT = re.compile(rb"BDAT\t* [ \t]*([0-9]{1,19})(?:[ \t]+LAST)?[ \t]*", re.IGNORECASE)

    def __init__(self, seen: _Seen, line_end: bytes) -> None:
        self._seen = seen
        self._line_end = line_end
        self._replies = 1
        self._line = b""
        self._body: bytes | None = None
        self._left = 0
        self._challenged = False
        # Replies that wait until blank lines are known to be no signature of the PROXY protocol, and the last octets.
        self._owed = 0
        self._recent = b""

    def octet(self, octet: bytes, replies: int, closing: bool) -> None:
        """Take an octet and how many replies there were after it."""
        heard, self._replies = replies - self._replies, replies
        if closing:
            assert heard <= 1 + self._owed, "more than one reply at the end"
            return
        self._owed += self._due(octet) - heard
        self._recent = (self._recent + octet)[-len(_SIGNATURE) :]
        waits = any(_SIGNATURE.startswith(self._recent[-size:]) for size in range(2, len(_SIGNATURE) + 1))
        assert self._owed == 0 or (self._owed > 0 and waits), "a reply too many or too few"
        events = self._seen.events
        self._challenged = self._seen.replies[-1].startswith(b"334")
        if heard and events and events[-1] == DataBegin(chunking=False) and self._seen.said[-1].startswith(b"2"):
            self._body = b"\r\n"

    def _due(self, octet: bytes) -> int:
        if self._body is not None:
            self._body = self._body[-4:] + octet
            if self._body != self._END:
                return 0
            self._body = None
            return 1
        if self._left:
            self._left -= 1
            return not self._left
        self._line += octet
        if not self._line.endswith(self._line_end):
            return 0
        line, self._line = self._line[:-1].removesuffix(b"\r"), b""
        chunk = None if self._challenged else self._BDAT.fullmatch(line)
        self._left = int(chunk[1]) if chunk else 0
        return not self._left


def check(visit: Visit) -> None:
    """Run a visit as it is cut and octet by octet, and hold the two against each other."""
    cut = _Driver(visit).run(visit.sent)
    driver = _Driver(visit)
    if visit.handshake and not {_YES_SLOWLY, _NO_SLOWLY} & set(visit.answers):
        driver.after = _Count(driver.seen, b"\n" if visit.leniency.line_feeds else b"\r\n").octet
    apart = driver.run(each_octet(b"".join(visit.sent)))
    for seen in (cut, apart):
        _check_replies(seen, visit)
        _check_events(seen.events, visit.limits, sum(map(len, visit.sent)))
    _compare(cut, apart)


def _check_replies(seen: _Seen, visit: Visit) -> None:
    replies = seen.replies
    for one in replies:
        lines = one.split(b"\r\n")
        assert lines.pop() == b""
        assert {line[:3] for line in lines} == {one[:3]}
        assert all(len(line) + 2 <= MAX_REPLY_LINE and bare(line) is None for line in lines)
    numbers = [int(found) for one in replies for found in re.findall(rb"answer ([0-9]+)\r", one)]
    assert numbers == sorted(set(numbers)), "replies out of order"


# The allowed orders of events. A chunk may be refused without an event, and then no body comes.
_ORDER = re.compile(r"(?:H|S|T|AB*|M[RT]*|R|D(?:P|D)*(?:E|X|T|(?=[HSAMRC])|$))*C?")
_LETTERS = {
    Hello: "H",
    StartTls: "S",
    AuthBegin: "A",
    AuthResponse: "B",
    Reset: "T",
    MailFrom: "M",
    RcptTo: "R",
    DataBegin: "D",
    BodyPart: "P",
    BodyEnd: "E",
    BodyRefused: "X",
    # May come anywhere.
    CommandRefused: "",
    Closed: "C",
}


def _check_events(events: list[Event], limits: SmtpLimits, octets: int) -> None:
    order = "".join(_LETTERS[type(event)] for event in events)
    assert _ORDER.fullmatch(order), order
    body = b""
    for event in events:
        if isinstance(event, DataBegin):
            body = b""
        elif isinstance(event, BodyPart):
            # None is cut inside a CRLF, so each is judged by itself.
            assert bare(event.data) is None
            body += event.data
        elif isinstance(event, BodyEnd):
            _check_body(body, limits)
        elif isinstance(event, AuthBegin):
            assert event.mechanism in _BOTH
            assert repr(event) == f"AuthBegin(mechanism={event.mechanism!r})"
        elif isinstance(event, AuthResponse):
            assert repr(event) == "AuthResponse()"
        elif isinstance(event, CommandRefused):
            assert is_line(event.command)
            assert event.command == "AUTH" or not event.command.upper().startswith("AUTH")
            assert len(event.command) <= 300
            assert not event.reply.positive
            assert event.reply.status != RESPONSE_TOO_LONG or octets > MAX_RESPONSE


def _check_body(body: bytes, limits: SmtpLimits) -> None:
    assert bare(body) is None
    assert not body or body.endswith(b"\r\n")
    assert len(body) <= limits.message_size
    assert not limits.text_line or all(len(line) <= limits.text_line for line in body.split(b"\r\n"))


def _compare(one: _Seen, other: _Seen) -> None:
    """Compare two runs of the same octets. Ends that depend on timing are left out."""
    short, long = sorted((_told(one), _told(other)), key=lambda told: not told[2])
    events, replies, timed = short
    if timed and long[2]:
        size = min(len(events), len(long[0]))
        assert events[:size] == long[0][:size]
        return
    if timed:
        assert long[0][: len(events)] == events
        assert long[1][: len(replies)] == replies
        return
    assert long[:2] == short[:2]


def _told(seen: _Seen) -> tuple[list[Event], list[bytes], bool]:
    """Return events as a split cannot change them, bodies joined or forgotten; replies; and whether timing ended it."""
    result: list[Event] = []
    for event in seen.events:
        if isinstance(event, BodyRefused | Closed) and result and isinstance(result[-1], BodyPart):
            result.pop()
        if isinstance(event, BodyPart) and result and isinstance(result[-1], BodyPart):
            result[-1] = BodyPart(result[-1].data + event.data)
        else:
            result.append(event)
    if result and isinstance(result[-1], BodyPart):
        # It may be refused when it ends, and how much of it is passed on before depends on the pieces.
        result.pop()
    last = result[-1] if result else None
    if isinstance(last, Closed) and last.reason in _BY_TIMING:
        return result[:-1], seen.replies[: -1 if last.reply else None], True
    return result, seen.replies, False


# The two ways to an input

_ANSWERS = (
    (_YES,),
    (_YES, _YES_SLOWLY),
    (_YES, _YES, _YES, _NO),
    (_YES, _YES, _NO, _LATER, _YES_SLOWLY, _NO_SLOWLY),
    (_YES, _YES, _YES, _YES, _YES, _GO),
    (_NO, _YES, _YES),
    (_YES, _YES, _YES, _YES, _LATER),
)


def read(tape: Tape) -> Visit:
    """Read a visit: five octets of choices, then the octets to send."""
    limits, answers, flags, way = (
        tape.choose(_LIMITS),
        tape.choose(_ANSWERS),
        tape.number(),
        tape.number(),
    )
    begin = b"EHLO c.test\r\n" if flags & 8 else b""
    return Visit(
        pieces(begin + tape.rest(), way),
        limits,
        answers,
        bool(flags & 1),
        not flags & 2,
        bool(flags & 4),
        _LENIENT if flags & 16 else STRICT,
        _LOGINS[flags // 32 % 4],
        flags >= 128,
    )


_ENVELOPE = b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\n"
_VOCABULARY = (
    # Twice, because with it more inputs are understood.
    *(b"EHLO c.test\r\n", b"EHLO c.test\r\n" + _ENVELOPE, _ENVELOPE, _ENVELOPE, b"RCPT TO:<c@x.test>\r\n"),
    *(_ENVELOPE + b"DATA\r\n", _ENVELOPE + b"DATA\r\na\r\n.\r\n", b"DATA\r\n", b".\r\n", b"\r\n.\r\n", b"..\r\n"),
    *(
        b"BDAT 0\r\n",
        b"BDAT 0 LAST\r\n",
        b"BDAT 3\r\na\r\n",
        b"BDAT 3 LAST\r\na\r\n",
        b"BDAT 2\r\na\r",
        b"BDAT 1\r\n\n",
    ),
    *(b"BDAT 60\r\n" + b"y" * 60, b"BDAT 250 LAST\r\n" + b"z\r\n" * 83 + b"z", b"BDAT 9999999999999999999\r\n"),
    *(b"MAIL FROM:<>\r\n", b"MAIL FROM:<a@x.test> SIZE=999 BODY=8BITMIME SMTPUTF8\r\n", b"RCPT TO:\r\n", b"HELO c\r\n"),
    *(b"RSET\r\n", b"NOOP x\r\n", b"QUIT\r\n", b"STARTTLS\r\n", b"VRFY a\r\n", b"HELP\r\n", b"TURN\r\n", b"DATA x\r\n"),
    *(
        b"GET / HTTP/1.1\r\n",
        b"x" * 60,
        b"text\r\n",
        b"\r\n",
        b"\xc3\xbc\r\n",
        b"\r",
        b"\n",
        b"\0",
        b"\r\r\n",
        b"\n.\n",
    ),
    *(
        b"MAIL FROM:<a>\nRCPT TO:<root@my_host.>\nDATA\n",
        b"EHLO a, (b)\n",
        b"EHLO\r\n",
        b"a\n\n.\r\n",
        b"\r\n\r\n\0\r\nQUIT\n",
    ),
    *(b"MAIL FROM:Name < a@x.test > (c)\r\n", b"PROXY TCP4 a b\r\n", b"BDAT 4 LAST\na\nb\n"),
)
_AUTH = b"AUTH PLAIN AGEAYg==\r\n"
_LOGIN_WORDS = (
    *(b"EHLO c.test\r\n", b"EHLO c.test\r\n" + _AUTH, b"EHLO c.test\r\nAUTH LOGIN\r\n", _AUTH, b"AUTH LOGIN\r\n"),
    *(b"YQ==\r\n", b"YQ==\r\n", b"\r\n", b"*\r\n", b"=\r\n", b"A" * 200 + b"\r\n", b"y" * 200, b"!\r\n", b"\xff\r\n"),
    *(b"AUTH PLAIN =\r\n", b"AUTH PLAIN A\r\n", b"AUTH\r\n", b"auth plain\r\n", b"AUTH X\r\n", b"STARTTLS\r\n"),
    *(_ENVELOPE, _ENVELOPE + b"DATA\r\na\r\n.\r\n", b"NOOP\r\n", b"RSET\r\n", b"QUIT\r\n", b"BDAT 3\r\n", b"\n", b"\0"),
)
#: Visits that are mostly good manners.
visits = st.builds(
    Visit,
    st.builds(pieces, sentences(_VOCABULARY) | sentences(_LOGIN_WORDS), st.integers(0, 255)),
    st.sampled_from(_LIMITS),
    st.just((_YES,)) | st.binary(min_size=1, max_size=8).map(lambda drawn: tuple(number % 6 for number in drawn)),
    st.booleans(),
    st.integers(0, 7).map(bool),
    st.booleans(),
    st.sampled_from((STRICT, _LENIENT)),
    st.sampled_from(_LOGINS),
    st.booleans(),
)

_WORDS = (
    *(b"EHLO c\r\n", b"HELO c\r\n", b"MAIL FROM:<a@b.c>\r\n", b"RCPT TO:<a@b.c>\r\n", b"DATA\r\n", b"\r\n.\r\n"),
    *(b"BDAT 3\r\n", b"BDAT 0 LAST\r\n", b"BDAT 5 LAST\r\n", b"RSET\r\n", b"NOOP\r\n", b"QUIT\r\n", b"STARTTLS\r\n"),
    *(b"AUTH PLAIN ", b"AUTH LOGIN\r\n", b"YQ==\r\n", b"*\r\n", b"=\r\n", b"AGEAYg=="),
    *(b"VRFY x\r\n", b"HELP\r\n", b"AUTH PLAIN\r\n", b"EXPN\r\n", b"ETRN\r\n", b"TURN\r\n", b"GET / HTTP/1.1\r\n"),
    *(
        b" SIZE=1",
        b" BODY=8BITMIME",
        b" SMTPUTF8",
        b" REQUIRETLS",
        b" RET=HDRS",
        b" ENVID=a",
        b" AUTH=<>",
        b" NOTIFY=NEVER",
    ),
    *(b" ORCPT=rfc822;a", b"\r\n", b"\r", b"\n", b"\0", b"\n.\n", b"\r\n..", b"\xc3\xbc"),
)
_HELLO = b"EHLO c\r\n"
_TO_DATA = b"MAIL FROM:<a@b.c>\r\nRCPT TO:<a@b.c>\r\nDATA\r\n"
_WIDE = replace(SmtpLimits(), recipients=1 << 30, errors=1 << 30, bad_recipients=1 << 30, idle_commands=1 << 30)
_NO_LINES = replace(_WIDE, text_line=0, message_size=1 << 30)


def _alone(visit: Visit) -> object:
    return _Driver(visit).run(visit.sent)


def _shape(name: str, make: Callable[[int], Visit]) -> Growth[Visit]:
    return Growth(name, make, work=_alone)


def _login(text: bytes, *, way: int = 0) -> Visit:
    """A login whose challenges never end."""
    begin = _HELLO + b"AUTH PLAIN\r\n"
    return Visit((begin, *pieces(text, way)), _WIDE, answers=(_YES_SLOWLY,), logins=_LOGINS[2])


def _refused_logins(count: int) -> Visit:
    answers = (_YES, _YES, *[_NO] * count)
    return Visit((_HELLO + b"AUTH PLAIN AGEAYg==\r\n" * count,), _WIDE, answers, logins=_LOGINS[2])


def _body(text: bytes, *, limits: SmtpLimits = _NO_LINES, way: int = 0) -> Visit:
    return Visit((_HELLO + _TO_DATA, *pieces(text + b"\r\n.\r\n", way)), limits)


GROWTH = (
    _shape("a command line without an end, whole", lambda n: Visit((_HELLO, b"x" * n), _WIDE)),
    _shape("a command line without an end, by octets", lambda n: Visit((_HELLO, *each_octet(b"x" * n)), _WIDE)),
    _shape("empty commands in one piece", lambda n: Visit((_HELLO, b"\r\n" * (n // 2)), _WIDE)),
    _shape("commands by octets", lambda n: Visit(each_octet(_HELLO + b"NOOP\r\n" * (n // 6)), _WIDE)),
    _shape("refused logins", lambda n: _refused_logins(n // 21)),
    _shape("responses", lambda n: _login(b"YQ==\r\n" * (n // 6))),
    _shape("responses by octets", lambda n: _login(b"YQ==\r\n" * (n // 6), way=1)),
    _shape("a response without an end, by octets", lambda n: _login(b"x" * n, way=1)),
    _shape("a long response", lambda n: _login(b"A" * n + b"\r\n")),
    _shape("recipients", lambda n: Visit((_HELLO, _TO_DATA[:19] + b"RCPT TO:<a@b.c>\r\n" * (n // 17)), _WIDE)),
    _shape("a body of dots", lambda n: _body(b".\r\n"[:1] * n)),
    _shape("a body of lines with dots", lambda n: _body(b"..\r\n" * (n // 4))),
    _shape("a body of one line, by octets", lambda n: _body(b"x" * n, way=1)),
    _shape("a body of dot lines, by octets", lambda n: _body(b"..\r\n" * (n // 4), way=1)),
    _shape("a body of empty lines, by octets", lambda n: _body(b"\r\n" * (n // 2), way=1, limits=_WIDE)),
    _shape("a line too long, by octets", lambda n: _body(b"x" * n, way=1, limits=_WIDE)),
    _shape("chunks of one octet", lambda n: Visit((_HELLO + _TO_DATA[:-6] + b"BDAT 1\r\nx" * (n // 9),), _NO_LINES)),
    _shape("chunks that nobody asked for", lambda n: Visit((_HELLO + b"BDAT 1\r\nx" * (n // 9),), _WIDE)),
    _shape(
        "messages in one piece", lambda n: Visit((_HELLO + (_TO_DATA[:-6] + b"BDAT 0 LAST\r\n") * (n // 47),), _WIDE)
    ),
)
TARGET = Target("server", check, read, visits, _WORDS, GROWTH)
