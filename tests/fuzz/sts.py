"""Records and policies of MTA-STS: held against a second reader, which knows the grammar of RFC 8461 alone."""

import re
from dataclasses import dataclass

from hypothesis import strategies as st

from mta.sts.policy import MAX_AGE, MAX_PATTERNS, MAX_POLICY, PolicyError, StsMode, StsPolicy, read_policy
from mta.sts.record import MAX_RECORD, RecordError, policy_id
from tests.fuzz.target import Growth, Tape, Target, is_line, sentences

_LABEL = rb"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rb"(?:\*\.)?" + _LABEL + rb"(?:\." + _LABEL + rb")*")
# Sections 3.1 and 3.2: fields with a value, and nothing between or behind them but the ends of lines and blanks.
_RECORD = re.compile(r"v=STSv1((?:[ \t]*;[ \t]*[A-Za-z0-9][\w.\-]{0,31}=[!-:<>-~]+)+)(?:[ \t]*;)?[ \t]*", re.ASCII)
_FIELD = rb"[A-Za-z0-9][A-Za-z0-9_.\-]{0,31}:[ \t]*[!-~](?:[ -~]*[!-~])?[ \t]*"
_POLICY = re.compile(_FIELD + rb"(?:\r?\n" + _FIELD + rb")*(?:\r?\n)?")
_MAX_LINES = 1000


@dataclass(frozen=True, slots=True)
class Published:
    """A record, or the file of a policy."""

    octets: bytes
    is_record: bool


def check(published: Published) -> None:
    """Read it: a good one gives the values of the second reader, and another one line."""
    if published.is_record:
        _check_record(published.octets.decode("utf-8", "replace"))
    else:
        _check_policy(published.octets)


def _check_record(text: str) -> None:
    found, said = _record(text)
    assert is_line(said)
    assert found is None or re.fullmatch(r"[A-Za-z0-9]{1,32}", found)
    match = _RECORD.fullmatch(text)
    if match and len(text) <= MAX_RECORD:
        fields = [field.strip(" \t").partition("=") for field in match[1].split(";")[1:]]
        first = next((value for name, _, value in fields if name == "id"), "")
        assert found == (first if re.fullmatch(r"[A-Za-z0-9]{1,32}", first) else None)
    if found is not None:
        assert policy_id(["v=spf1", text, f"v=STSv2; id={found}"]) == found


def _record(text: str) -> tuple[str | None, str]:
    """Return the id of a record, or the words of its refusal."""
    try:
        return policy_id([text]), ""
    except RecordError as error:
        return None, str(error)


def _check_policy(octets: bytes) -> None:
    found = _policy(octets)
    if isinstance(found, str):
        assert is_line(found)
        assert not _is_good(octets)
        return
    assert 0 <= found.max_age <= MAX_AGE
    assert found.mx or found.mode is StsMode.NONE
    assert read_policy("\r\n".join(found.lines).encode()) == found
    for pattern in found.mx:
        assert found.allows(pattern.replace("*", "a", 1).upper() + ".")
        assert not pattern.startswith("*.") or not found.allows(f"a.b{pattern[1:]}") or f"*.b{pattern[1:]}" in found.mx


def _policy(octets: bytes) -> StsPolicy | str:
    try:
        return read_policy(octets)
    except PolicyError as error:
        return str(error)


def _is_good(octets: bytes) -> bool:
    """Whether a file is a policy by the grammar, within the bounds of the relay."""
    lines = octets.split(b"\n")
    if not _POLICY.fullmatch(octets) or len(octets) > MAX_POLICY or len(lines) > _MAX_LINES:
        return False
    fields = [(name, value.strip(b" \t\r")) for name, _, value in (line.partition(b":") for line in lines if line)]
    first = dict(reversed(fields))
    hosts = [value for name, value in fields if name == b"mx"]
    return (
        first.get(b"version") == b"STSv1"
        and first.get(b"mode") in {b"enforce", b"testing", b"none"}
        and re.fullmatch(rb"[0-9]{1,10}", first.get(b"max_age", b"")) is not None
        and all(_HOST.fullmatch(host) and len(host) <= 250 for host in hosts)
        and (first[b"mode"] == b"none" or 0 < len(hosts) <= MAX_PATTERNS)
        and len(hosts) <= MAX_PATTERNS
    )


def read(tape: Tape) -> Published:
    """Read a record or a file, with a good beginning for half of them."""
    is_record, begun = tape.choose((False, True)), tape.choose((b"", b"v=STSv1; ", _POLICY_TEXT, b"version: STSv1\n"))
    return Published(begun + tape.rest(), is_record)


_POLICY_TEXT = b"version: STSv1\r\nmode: enforce\r\nmx: mail.a.test\r\nmx: *.b.test\r\nmax_age: 604800\r\n"
_RECORD_WORDS = (b"v=STSv1", b";", b" ", b"\t", b"id=", b"1a", b"=", b"a.b_c-d=x", b"v=STSv2", b"\xc3\xbc", b"\0")
_POLICY_WORDS = (
    *(
        b"version: STSv1",
        b"mode: ",
        b"enforce",
        b"testing",
        b"none",
        b"mx: ",
        b"*.",
        b"a.test",
        b"max_age: ",
        b"604800",
    ),
    *(b"\r\n", b"\n", b"\n", b"\r", b" ", b"\t", b":", b".", b"-", b"x-y.z_1: b", b"\xc3\xbc", b"\xff", b"99999999999"),
)
_WORDS = (*_RECORD_WORDS, *_POLICY_WORDS)


def _of_record(words: bytes) -> Published:
    return Published(b"v=STSv1;" + words, is_record=True)


def _of_policy(words: bytes) -> Published:
    return Published(_POLICY_TEXT + words, is_record=False)


def _bare(words: bytes) -> Published:
    return Published(words, is_record=False)


inputs = (
    sentences(_RECORD_WORDS).map(_of_record)
    | sentences(_POLICY_WORDS).map(_of_policy)
    | sentences(_POLICY_WORDS, 30).map(_bare)
    | st.binary(max_size=40).map(_bare)
)
GROWTH = (
    Growth("a record of blanks", lambda size: Published(b"v=STSv1" + b" " * size, is_record=True)),
    Growth("a record of separators", lambda size: Published(b"v=STSv1" + b" ;" * (size // 2), is_record=True)),
    Growth("a policy of hosts", lambda size: Published(b"mx: a.test\n" * (size // 11), is_record=False)),
    Growth("a host of labels", lambda size: Published(b"mx: " + b"a." * (size // 2), is_record=False)),
    Growth("an international host", lambda size: Published(b"mx: " + b"\xc3\xbc" * (size // 2), is_record=False)),
    Growth("a line of blanks", lambda size: Published(b"mode:" + b" " * size, is_record=False)),
)
TARGET = Target("sts", check, read, inputs, (*_WORDS, _POLICY_TEXT), GROWTH)
