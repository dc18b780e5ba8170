r"""Whole conversations as text, and how to run one.

A script is read line by line:

    # a comment, or an empty line
    ! client 203.0.113.9        something that happens; the driver defines its meaning
    C: EHLO client.test         the client sends this line and CRLF; consecutive C: lines go out in one segment
    C| text\n                   the client sends exactly this: \r \n \t \0 \\ \xHH, and \*900 repeats the text before it
    S: 250                      the next reply line begins with this
    S*: PIPELINING              a line of the reply of which the last S: line was the first contains this

Before it sends again, and at the end, the client has read all replies: an unexpected reply fails the script.

Events before the greeting come first: `! client ADDRESS`, `! limits name=number ...`, `! starttls` (it is
offered), `! lenient` (the client is trusted; an address without a domain gets `relay.test`), `! whole` (the
script is about segments, so it cannot be cut otherwise), `! greeting pending`, `! logins WORD ...` (alice logs in with
the password `wonder`, inside TLS; `in_clear`: without it too; `required`: before she sends).
Then: `! verdict pending` (answers of the policy and of the queue wait from here on), `! verdict given` (the one that
waits is given, and later ones no longer wait; the greeting too), `! tls` (the handshake is done), `! connection lost`
(the client is gone), `! connection half_closed` (the client sends no more, but reads), `! connection closed` (the
server has hung up), `! messages N` (so many were queued), `! body TEXT` (the last one ends so, written as after C|),
`! envelope SENDER RECIPIENT ...` (the last one's).

Policy: as sender and recipient `refused.test` gets 550 5.7.1; as recipient `later.test` gets 451 4.3.0.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mta.smtp.limits import Leniency

SCRIPTS = sorted(Path(__file__).parent.glob("*.txt"))
LENIENCY = Leniency("relay.test", names=True, haste=True, line_feeds=True)
OPENING = ("client", "limits", "starttls", "whole", "greeting", "lenient", "logins")
#: The user of `! logins`.
USER, PASSWORD = "alice", "wonder"


@dataclass(frozen=True, slots=True)
class Send:
    """The client sends these bytes in one segment."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Expect:
    """The server's next reply begins with `first` and has lines that contain each of `others`."""

    first: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Happen:
    """Something happens: `limits` with `errors=3`, say."""

    name: str
    argument: str = ""


Step = Send | Expect | Happen


@dataclass(frozen=True, slots=True)
class Script:
    """A conversation: the conditions from the start (by name), and the steps with their line numbers."""

    name: str
    opening: dict[str, str]
    steps: tuple[tuple[int, Step], ...]


class Driver(Protocol):
    """One end of the conversation: the driver in which the server runs."""

    def open(self, opening: dict[str, str]) -> None:
        """Connect a client."""

    def send(self, data: bytes) -> None:
        """Bring a segment to the server."""

    def reply(self) -> list[str]:
        """Wait for the next reply and return its lines; an empty list if it is certain that no reply comes."""

    def unread(self) -> str:
        """Return the unread octets so far, without waiting for more."""

    def happen(self, event: Happen) -> None:
        """Let it happen. Raises AssertionError if it has not, when it is for the server to do."""


def read_script(path: Path) -> Script:
    """Read a script. Raises ValueError naming the line."""
    numbered = list(_steps(path))
    opening = {step.name: step.argument for _, step in numbered if isinstance(step, Happen) and step.name in OPENING}
    steps = [(number, step) for number, step in numbered if not (isinstance(step, Happen) and step.name in OPENING)]
    return Script(path.stem, opening, tuple(_joined(steps)))


def run(script: Script, driver: Driver, cut: Callable[[bytes], list[bytes]]) -> None:
    """Run a script, each segment cut to pieces by `cut`. Raises AssertionError naming the line."""
    driver.open(script.opening)
    for number, step in script.steps:
        where = f"{script.name}.txt:{number}"
        match step:
            case Send(data):
                _silence(driver, where)
                for piece in cut(data):
                    driver.send(piece)
            case Expect():
                _compare(driver.reply(), step, where)
            case Happen():
                driver.happen(step)
    _silence(driver, f"{script.name}.txt: at the end")


def whole(data: bytes) -> list[bytes]:
    """Leave a segment as it is."""
    return [data]


def octets(data: bytes) -> list[bytes]:
    """Cut a segment into single octets."""
    return [data[i : i + 1] for i in range(len(data))]


def _silence(driver: Driver, where: str) -> None:
    assert not (heard := driver.unread()), f"{where}: nobody expected {heard!r}"


def _compare(lines: list[str], expected: Expect, where: str) -> None:
    assert lines, f"{where}: expected {expected.first!r}, heard nothing"
    assert lines[0].startswith(expected.first), f"{where}: expected {expected.first!r}, heard {lines}"
    for other in expected.others:
        assert any(other in line for line in lines), f"{where}: expected {other!r} in {lines}"


def _steps(path: Path) -> Iterator[tuple[int, Step]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        mark, _, rest = line.partition(" ")
        match mark:
            case "" | "#":
                continue
            case "C:":
                yield number, Send(rest.encode() + b"\r\n")
            case "C|":
                yield number, Send(unescape(rest))
            case "S:":
                yield number, Expect(rest)
            case "S*:":
                yield number, Expect("", (rest,))
            case "!":
                name, _, argument = rest.partition(" ")
                yield number, Happen(name, argument)
            case _:
                raise ValueError(f"{path.name}:{number}: a line begins with C: C| S: S*: ! or #, not {mark!r}")


def _joined(steps: list[tuple[int, Step]]) -> Iterator[tuple[int, Step]]:
    """Join the lines that the client sends in one segment, and the lines about one reply."""
    pending: tuple[int, Step] | None = None
    for number, step in steps:
        match pending, step:
            case (first, Send(before)), Send(data):
                pending = first, Send(before + data)
                continue
            case (first, Expect(begin, others)), Expect("", more):
                pending = first, Expect(begin, others + more)
                continue
        if pending:
            yield pending
        pending = number, step
    if pending:
        yield pending


_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|\*([0-9]+)|(.))")
_PLAIN = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


def unescape(text: str) -> bytes:
    """Return the octets after C|."""
    result, at = b"", 0
    for match in _ESCAPE.finditer(text):
        result += text[at : match.start()].encode()
        at = match.end()
        if match[1]:
            result += bytes([int(match[1], 16)])
        elif match[2]:
            result = result[:-1] + result[-1:] * int(match[2])
        else:
            result += _PLAIN[match[3]].encode()
    return result + text[at:].encode()
