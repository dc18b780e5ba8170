"""The users' file: any text, its users and their senders."""

import re
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from mta.smtp.address import Address, parse_address, parse_domain
from mta.smtp.sasl.scram import ScramSecret, format_secret
from mta.users.secrets import PlainSecret, password_octets, stored_octets, verify
from mta.users.users_file import (
    MAX_LINE,
    BadLine,
    SenderList,
    User,
    UserLineError,
    describe_bad_lines,
    read_users,
    split_line,
    user_lines,
)
from tests.fuzz.target import Growth, Tape, Target, is_line, sentences

#: A part of every secret that is drawn, and of no other word of a line.
_CANARY = "c4n4ry"
_STRANGER = Address("nobody", "stranger.invalid")
_LONGEST_REASON = 300
# The bad lines that are listed.
_MOST_BAD = 1000


def check(octets: bytes) -> None:
    """Read octets as a users' file."""
    text = octets.decode("utf-8", "surrogateescape")
    lines = dict(user_lines(text))
    users, bad = read_users(text)
    assert len(users) + len(bad) == len(lines) or len(bad) == _MOST_BAD, "a line is neither a user nor a bad line"
    assert len({user.name for user in users}) == len(users)
    _check_bad(bad, set(lines))
    for line in lines.values():
        _check_parts(line)
    for user in users:
        _check_user(user)


def _check_bad(bad: tuple[BadLine, ...], numbers: set[int]) -> None:
    told = [line.number for line in bad]
    assert told == sorted(set(told))
    assert numbers.issuperset(told)
    for reason in (*(line.reason for line in bad), *describe_bad_lines(bad)):
        assert is_line(reason)
        assert len(reason) <= _LONGEST_REASON
        assert _CANARY not in reason


def _check_parts(line: str) -> None:
    try:
        parts = split_line(line)
    except UserLineError:
        return
    assert str(parts) == line
    assert _CANARY not in repr(parts)


def _check_user(user: User) -> None:
    """Write a user's line, read it, and find the same user."""
    assert _CANARY not in repr(user.secret), "a secret is shown"
    assert is_line(user.name)
    assert not re.search(r"[:|\s]|^#", user.name)
    written = _written(user)
    assert len(written) > MAX_LINE or read_users(written) == ((user,), ())
    if isinstance(user.secret, PlainSecret):
        _check_plain(user.secret)
    if user.senders is not None:
        _check_senders(user.senders)


def _written(user: User) -> str:
    stored = stored_octets(user.secret).decode("utf-8", "surrogateescape")
    if isinstance(user.secret, ScramSecret):
        stored = format_secret(user.secret)
    elif isinstance(user.secret, PlainSecret):
        stored = f"{{PLAIN}}{stored}"
    separator = "|" if ":" in stored else ":"
    return f"{user.name}{separator}{stored}" + ("" if user.senders is None else f" {user.senders}")


def _check_plain(secret: PlainSecret) -> None:
    possible = password_octets(secret.password) is not None
    assert verify(secret, secret.password) == possible
    assert not verify(secret, secret.password[:-1])
    assert not verify(secret, f"{secret.password}x")


def _check_senders(senders: SenderList) -> None:
    """Demand that a list allows each of its words, and no address besides."""
    words = str(senders).split()
    assert words
    for word in words:
        address = Address("anyone", parse_domain(word[1:])) if word.startswith("@") else parse_address(word)
        assert senders.allows(address)
    assert senders.allows(_STRANGER) == bool({f"@{_STRANGER.domain}", str(_STRANGER)} & set(words))


# The two ways to an input


def read(tape: Tape) -> bytes:
    """Read a file: all octets there are."""
    return tape.rest()


_DIGITS = b"c4n4ry" + b"." * 47
_BCRYPT = b"$2y$05$" + _DIGITS
_SHA512 = b"$6$c4n4ry$" + b"/" * 86
_SHA256 = b"$5$rounds=5000$c4n4ry$" + b"c4n4ry" + b"/" * 37
_YESCRYPT = b"$y$j9T$c4n4ry$" + b"c4n4ry" + b"." * 37
_ARGON2 = b"$argon2id$v=19$m=64,t=1,p=1$c4n4rysalt00$c4n4rydigest0000"
_SCRAM = b"{SCRAM-SHA-256}4096,c4n4ry00," + b"A" * 43 + b"=," + b"B" * 43 + b"="
_SECRETS = (
    *(_BCRYPT, _SHA512, _SHA256, _YESCRYPT, _ARGON2, _SCRAM, b"$7$CU..../....c4n4ry$" + b"c4n4ry" + b"." * 37),
    *(b"{PLAIN}c4n4ry", b"{plain}c4n4ry:x", b"{CRYPT}" + _BCRYPT, b"{BLF-CRYPT}" + _BCRYPT, b"{ARGON2ID}" + _ARGON2),
    *(b"{SHA512-CRYPT}" + _SHA512, b"{SHA512-CRYPT}" + _BCRYPT, b"{SSHA}c4n4ry", b"{PLAIN}", b"$apr1$c4n4ry$x", b"{"),
    *(b"c4n4ry", b"$1$c4n4ry$x", b"$2y$31$" + _DIGITS, b"$6$rounds=999999999$c4n4ry$" + b"/" * 86, b"$c4n4ry"),
    *(b"$argon2id$v=19$m=4194304,t=99,p=1$c4n4rysalt00$c4n4rydigest0000", b"{SCRAM-SHA-256}1,c4n4ry,x,y", b"$y$zzzz$"),
)
_NAMES = (
    *(b"app", b"bob", b"c@x.test", b"d", b"e.f", b"g-h", b"app", b"#i", b"j"),
    *(b"a" * 256, b"\xc3\xbc", b"\xe2\x80\xae", b"\xff", b"a b", b"", b"@x.test", b"{"),
)
_SENDERS = (
    b"a@x.test",
    b"@x.test",
    b"*@y.test",
    b"*",
    b"@",
    b"a@",
    b'"q"@x.test',
    b"c@[192.0.2.1]",
    b"\xc3\xbc@x.test",
)
_MARKS = (*[b":"] * 8, *[b"|"] * 4, b"", b"::", b":|", b" : ")
_ENDS = (b"\n", b"\n", b"\r\n", b"\n\n", b"\r", b"", b"\x0b", b"\xe2\x80\xa8", b"\n\xef\xbb\xbf", b"\n#")
_BETWEEN = (b" ", b" ", b",", b", ", b"\t", b"\xc2\xa0", b":1000::/home/x ", b"::::userdb_quota=1G ", b"|", b"\0")


def _lines(*choices: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Draw a line with one word of each choice."""
    drawn = st.binary(min_size=len(choices), max_size=len(choices))
    return drawn.map(lambda numbers: b"".join(words[n % len(words)] for words, n in zip(choices, numbers, strict=True)))


_LINES = _lines(_NAMES, _MARKS, _SECRETS, _BETWEEN, _SENDERS, _BETWEEN, _SENDERS, _ENDS)
_SHORT = _lines(_NAMES, _MARKS, _SECRETS, _ENDS)
_VOCABULARY = (
    *_SECRETS,
    *_SENDERS,
    *_MARKS,
    *_ENDS,
    *_BETWEEN,
    b"app:",
    b"# x",
    b"=",
    b"$",
    b"}",
    b"4096,",
    b"rounds=1",
)
files = st.lists(_LINES | _SHORT, max_size=6).map(b"".join) | sentences(_VOCABULARY, 12)


def _shape(name: str, make: Callable[[int], bytes]) -> Growth[bytes]:
    return Growth(name, make, 1 << 15)


def _users(count: int, secret: bytes, rest: bytes = b"") -> bytes:
    return b"".join(b"u%d:%b%b\n" % (number, secret, rest) for number in range(count))


GROWTH = (
    _shape("users", lambda n: _users(n // 64, _BCRYPT)),
    _shape("users with SCRAM secrets", lambda n: _users(n // 128, _SCRAM)),
    _shape("users with senders", lambda n: _users(n // 128, b"{PLAIN}x", b" a@x.test @y.test")),
    _shape("one user again and again", lambda n: b"app:{PLAIN}x\n" * (n // 13)),
    _shape("bad lines", lambda n: b"x\n" * (n // 2)),
    _shape("comments", lambda n: b"#\n" * (n // 2)),
    _shape("blank lines", lambda n: b" \n" * (n // 2)),
    _shape("one long line", lambda n: b"app:{PLAIN}" + b"x" * n),
    _shape("a long name", lambda n: b"a" * n + b":{PLAIN}x"),
    _shape("blanks", lambda n: b"app:{PLAIN}x" + b" " * n + b"y"),
    _shape("colons", lambda n: b"app" + b":" * n),
    _shape("bars", lambda n: b"|" * n),
    _shape("words as long as a line", lambda n: (b"app:{PLAIN}x " + b"a@x.test," * 800 + b"\n") * (n // 7300)),
    _shape("secrets of dollars", lambda n: (b"app:" + b"$" * 4000 + b"\n") * (n // 4005)),
    _shape("secrets of brackets", lambda n: (b"app:" + b"{" * 4000 + b"\n") * (n // 4005)),
    _shape("fields", lambda n: (b"app:{PLAIN}x" + b":" * 4000 + b" *\n") * (n // 4015)),
)
TARGET = Target("users", check, read, files, _VOCABULARY, GROWTH)
