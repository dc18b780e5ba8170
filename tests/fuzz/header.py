"""Messages: their header blocks, DKIM's forms of them, whom they are from, and the reports about them."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import strategies as st

from mta.dkim.author import author_domain
from mta.dkim.canonical import body_hash
from mta.dkim.keys import SigningKey
from mta.dkim.signature import Canon, body_digest, read_header, unsigned_fields
from mta.message import headers
from mta.message.dsn import OriginalMessage, ReportedRecipient, ReportIdentity, make_report
from mta.message.envelope import Envelope, Notify, Origin, Recipient
from mta.message.outcome import Failed, TryLater
from mta.smtp.address import Address, parse_domain
from mta.smtp.framing import bare
from tests.fuzz.target import Growth, Tape, Target, each_octet, pieces, sentences

_KEY = SigningKey("sel", Ed25519PrivateKey.from_private_bytes(bytes(32)))
_CANONS = (Canon(), Canon("simple", "simple"), Canon("relaxed", "simple"), Canon("simple", "relaxed"))
_TOKEN = "token-Zq9x"
_SENDER, _BOB = Address("alice", "a.test"), Recipient(Address("bob", "b.test"))
_STAMP = ReportIdentity("mx.test", "0000000000000", _TOKEN, 1795352322.5)
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
_NAMES = ("Received", "From", "Subject", "Message-ID")
# RFC 3464 section 2: every field that a report may have.
_REPORT_FIELDS = frozenset(
    b"Original-Envelope-Id Reporting-MTA Arrival-Date X-Smtprelay-Queue-Id Original-Recipient Final-Recipient Action"
    b" Status Remote-MTA Diagnostic-Code Last-Attempt-Date Will-Retry-Until".split()
)


@dataclass(frozen=True, slots=True)
class Mail:
    """A message as it came in, the cuts of its octets, and a remote's reply to it."""

    data: bytes
    way: int = 0
    canon: Canon = _CANONS[0]
    said: str = "550 no"


@dataclass(frozen=True, slots=True)
class _Cut:
    """A body that is given out in such pieces."""

    parts: Sequence[bytes]

    @property
    def size(self) -> int:
        return sum(map(len, self.parts))

    def chunks(self) -> Iterator[bytes]:
        yield from self.parts


def check(mail: Mail) -> None:
    """Find the header, look at it in each way there is, sign the message and report about it."""
    end = _check_end(mail)
    block = mail.data[:end]
    _check_block(block)
    if bare(mail.data) is None:
        _check_hashes(mail)
        _check_signing(mail, end)
        _check_report(mail)


def _check_end(mail: Mail) -> int:
    """Find the end of the block in pieces, and hold it against a search line by line."""
    end = headers.header_end(mail.data, ended=True)
    assert end == _end_by_lines(mail.data)
    for cut in (pieces(mail.data, mail.way), each_octet(mail.data)):
        data, seen = bytearray(), 0
        for piece in cut:
            data += piece
            if (found := headers.header_end(data, seen)) is not None:
                assert found == end
                break
            seen = len(data)
    return end


def _end_by_lines(data: bytes) -> int:
    end = 0
    for line in data.split(b"\n"):
        if not (_FIELD.match(line) or (end and line[:1] in {b" ", b"\t"})):
            break
        end += len(line) + 1
    return min(end, len(data))


def _check_block(block: bytes) -> None:
    scan = headers.scan(block)
    assert scan.hops == len(re.findall(rb"(?im)^received[ \t]*:", block))
    stripped = headers.strip(block, scan)
    again = headers.scan(stripped)
    assert not again.unwanted
    assert headers.strip(stripped, again) == stripped
    assert (again.hops, again.has_date, again.has_from) == (scan.hops, scan.has_date, scan.has_from)
    assert headers.header_end(stripped, ended=True) == len(stripped)
    for name in _NAMES:
        assert len(headers.values(block, name)) == len(re.findall(rb"(?im)^%b[ \t]*:" % name.encode(), block))
    domain = author_domain(block)
    assert domain is None or parse_domain(domain) == domain


def _check_hashes(mail: Mail) -> None:
    for form in ("simple", "relaxed"):
        whole = hashlib.sha256(_canonical(mail.data, relaxed=form == "relaxed")).digest()
        for cut in (pieces(mail.data, mail.way), each_octet(mail.data)):
            hashing = body_hash(form)
            for piece in cut:
                hashing.update(piece)
            assert hashing.digest() == whole, form


def _canonical(body: bytes, *, relaxed: bool) -> bytes:
    """Return the canonical body of RFC 6376 sections 3.4.3 and 3.4.4, as they are written."""
    lines = (body if body.endswith(b"\r\n") or not body else body + b"\r\n").split(b"\r\n")[:-1]
    if relaxed:
        lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines) or (b"" if relaxed else b"\r\n")


def _check_signing(mail: Mail, end: int) -> None:
    body = _Cut(pieces(mail.data, mail.way))
    header = read_header(body)
    assert header is not None
    assert header.block == mail.data[:end]
    assert header.size in {end, end + 2}
    digest = body_digest(body, header, mail.canon.body)
    assert digest == body_digest(_Cut((mail.data,)), header, mail.canon.body)
    for unsigned in unsigned_fields(header, digest, "a.test", [_KEY], mail.canon):
        field = unsigned.sign()
        assert bare(field) is None
        assert headers.header_end(field + b"\r\n") == len(field)
        first, *more = field.split(b"\r\n")[:-1]
        assert all(line.startswith((b" ", b"\t")) and len(line) <= 998 for line in more)
        assert first.startswith(b"DKIM-Signature: v=1;")


def _check_report(mail: Mail) -> None:
    original = OriginalMessage("0000000000001", _envelope(mail), _Cut((mail.data,)), 1795352000.0)
    for event, outcome in (
        (Notify.FAILURE, Failed(mail.said, f"{mail.said[:40]}[192.0.2.1]:25", "5.1.1")),
        (Notify.DELAY, TryLater(mail.said, "", mail.said[:20])),
    ):
        made = make_report(
            event, original, [ReportedRecipient(_BOB, outcome), ReportedRecipient(_BOB, outcome)], _STAMP, 1795400000.0
        )
        if made is not None:
            _check_written(*made)


def _envelope(mail: Mail) -> Envelope:
    return Envelope(_SENDER, (_BOB,), Origin("192.0.2.9", mail.said, "ESMTP"), envid=mail.said[:90])


def _check_written(envelope: Envelope, message: bytes) -> None:
    assert envelope.sender is None
    assert bare(message) is None
    assert message.endswith(b"\r\n")
    # A line of a message that is returned whole may have one octet more than the limit, because it was not cut.
    assert all(len(line) <= 1000 for line in message.split(b"\r\n"))
    parts = message.split(f"\r\n--=_{_TOKEN}".encode())
    assert len(parts) == 5
    _, words, status, _, end = parts
    assert end == b"--\r\n"
    assert b"\r\n\r\n" in words
    for line in status.partition(b"\r\n\r\n")[2].split(b"\r\n"):
        assert not line or line.startswith(b" ") or line.partition(b":")[0] in _REPORT_FIELDS, line


# The two ways to an input


def read(tape: Tape) -> Mail:
    """Read a message: two octets of choices, a remote's reply up to a NUL, then the message."""
    canon, way = tape.choose(_CANONS), tape.number()
    first, nul, rest = tape.rest().partition(b"\0")
    if not nul:
        first, rest = b"550 no", first
    return Mail(rest, way, canon, first.decode("utf-8", "replace"))


_VOCABULARY = (
    *(
        b"From: a@b.test\r\n",
        b"From: ",
        b'"a, b" <a@b.test>',
        b"Subject: x\r\n",
        b"Received: from a\r\n",
        b"Received : x\r\n",
    ),
    *(
        b"Date: now\r\n",
        b"Message-ID: <a@b>\r\n",
        b"Return-Path: <>\r\n",
        b"Envelope-To: a\r\n\tb\r\n",
        b"delivery-date:\r\n",
    ),
    *(
        b"Auto-Submitted: no; x\r\n",
        b"Precedence: bulk\r\n",
        b"List-Id: x\r\n",
        b"To: b\r\n",
        b"DKIM-Signature: v=1\r\n",
        b"x:\r\n",
    ),
    *(
        b"\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b"  \t ",
        b" folded\r\n",
        b"\tfolded\r\n",
        b":",
        b"a",
        b"body line\r\n",
        b".\r\n",
    ),
    *(b"(", b")", b"\\", b'"', b"<", b">", b",", b";", b"@", b"\xc3\xbc", b"\xff", b"x" * 60, b"y" * 990, b"--=_x\r\n"),
    *(b"\r", b"\n", b"Message-ID: <a\r\n b>\r\n", b"Subject:\r\n \r\n", b"=?utf-8?q?a?=", b"From: \xe2\x80\xae\r\n"),
)
_CLEAN = tuple(word for word in _VOCABULARY if bare(word) is None)
mails = st.builds(
    Mail,
    sentences(_VOCABULARY) | sentences(_CLEAN),
    st.integers(0, 255),
    st.sampled_from(_CANONS),
    st.just("550 5.1.1 no")
    | st.text(max_size=60)
    | st.sampled_from(("x" * 9000, "a\r\nSubject: b", "\u202e" * 400, "ü " * 600)),
)


def _clean(name: str, make: Callable[[int], bytes]) -> Growth[Mail]:
    return Growth(name, lambda size: Mail(make(size)), 1 << 15, work=_alone)


def _alone(mail: Mail) -> None:
    block = mail.data[: headers.header_end(mail.data, ended=True)]
    headers.strip(block, headers.scan(block))
    author_domain(block)
    body = _Cut((mail.data,))
    header = read_header(body)
    assert header is not None
    unsigned_fields(header, body_digest(body, header, mail.canon.body), "a.test", [_KEY], mail.canon)
    _check_report(mail)


def _by_octets(mail: Mail) -> None:
    data, seen = bytearray(), 0
    for piece in each_octet(mail.data):
        data += piece
        headers.header_end(data, seen)
        seen = len(data)


def _octets(name: str, make: Callable[[int], bytes]) -> Growth[Mail]:
    return Growth(f"{name}, by octets", lambda size: Mail(make(size)), 1 << 15, work=_by_octets)


GROWTH = (
    _clean("fields", lambda n: b"a: b\r\n" * (n // 6)),
    _clean("folds", lambda n: b"Subject: a\r\n" + b" b\r\n" * (n // 4)),
    _clean("folds of blanks", lambda n: b"From:" + b" \r\n" * (n // 3)),
    _clean("a field of blanks", lambda n: b"Subject:" + b" " * n + b"x\r\n"),
    _clean("blanks and tabs", lambda n: b"Subject: a" + b" \t" * (n // 2) + b"x\r\n"),
    _clean("a name without an end", lambda n: b"a" * n),
    _clean("blanks before a colon", lambda n: b"From" + b" " * n + b"\r\n"),
    _clean("an author of brackets", lambda n: b"From: " + b"<" * n + b"\r\n"),
    _clean("an author of quotes", lambda n: b"From: " + b'"\\' * (n // 2) + b"\r\n"),
    _clean("authors", lambda n: b"From: " + b"a@b.test, " * (n // 10) + b"\r\n"),
    _clean("an author abroad", lambda n: b"From: a@" + "ü".encode() * (min(n, 8000) // 2) + b"\r\n"),
    _clean("empty lines", lambda n: b"a: b\r\n\r\n" + b"\r\n" * (n // 2)),
    _clean("a body of blanks", lambda n: b"a: b\r\n\r\n" + b" " * n + b"x\r\n"),
    _clean("lines of blanks", lambda n: b"a: b\r\n\r\n" + b" \r\n" * (n // 3)),
    _clean("hops", lambda n: b"Received: x\r\n" * (n // 13)),
    _clean("leftovers", lambda n: b"Return-Path: <>\r\n" * (n // 17)),
    _octets("fields", lambda n: b"a: b\r\n" * (n // 6)),
    _octets("folds", lambda n: b"Subject: a\r\n" + b" b\r\n" * (n // 4)),
    _octets("one line", lambda n: b"Subject: " + b"x" * n),
    _octets("a name without an end", lambda n: b"a" * n),
    _octets("line ends", lambda n: b"a: b\r\n" + b" \n" * (n // 2)),
)
_WORDS = (*(word for word in _VOCABULARY if len(word) < 40), b"\0")
TARGET = Target("header", check, read, mails, _WORDS, GROWTH)
