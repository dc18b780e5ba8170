"""Dialogues with the SMTP client's machine, as text."""

import itertools
from collections.abc import Callable

import pytest

from mta.smtp.client.dialogue import FailureKind, SessionFailure
from mta.smtp.client.handshake import Terms
from mta.smtp.client.machine import ClientMachine
from mta.smtp.client.transaction import OutgoingMessage
from mta.smtp.replies import Reply
from mta.smtp.sasl.logins import PasswordLogin

Pieces = Callable[[bytes], list[bytes]]
TERMS = Terms("me.test")
LOGIN = Terms("me.test", login=PasswordLogin("user", "pass:word"))
LMTP = Terms("me.test", lmtp=True)
MAIL, ONE, TWO, THREE = "MAIL FROM:<a@a.test>", "RCPT TO:<1@b.test>", "RCPT TO:<2@b.test>", "RCPT TO:<3@b.test>"
BODY = b"Subject: x\r\n\r\n.dot\r\n"
LETTER = OutgoingMessage(MAIL, (ONE, TWO), len(BODY), BODY)
BDAT = f"C: BDAT {len(BODY)} LAST\nC: Subject: x\nC:\nC: .dot"
PLAIN_SERVER = "S: 220 hi\nC: EHLO me.test\nS: 250 b.test\n! READY\n"
PIPELINE = "S: 220 hi\nC: EHLO me.test\nS: 250-b.test\nS: 250 PIPELINING\n! READY\n"
STORE = "S: 220 hi\nC: LHLO me.test\nS: 250-b.test\nS: 250-PIPELINING\nS: 250 CHUNKING\n! READY\n"
CHUNKING = "S: 220 hi\nC: EHLO me.test\nS: 250-b.test\nS: 250-PIPELINING\nS: 250 CHUNKING\n! READY\n"


def whole(data: bytes) -> list[bytes]:
    return [data]


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


#: For a test to be run with the server's bytes whole and one by one.
cut = pytest.mark.parametrize("pieces", [whole, byte_by_byte])


def play(client: ClientMachine, script: str, pieces: Pieces = whole) -> None:
    """Run a dialogue: `S:` the server says, `C:` the client must have said, `!` the event that must have come.

    Consecutive lines of the server come in one go.
    """
    said, event = b"", None
    lines = [line.strip().partition(" ") for line in script.strip().splitlines()]
    for mark, group in itertools.groupby(lines, key=lambda line: line[0]):
        texts = [text for _, _, text in group]
        if mark == "S:":
            assert said == b"", said
            for piece in pieces("".join(f"{text}\r\n" for text in texts).encode()):
                event = client.receive(piece) or event
        elif mark == "!":
            assert [event.name if event else None] == texts
            event = None
        else:
            said = said or b"".join(client.to_send())
            expected = "".join(f"{text}\r\n" for text in texts).encode()
            assert said[: len(expected)] == expected
            said = said[len(expected) :]
    assert said + b"".join(client.to_send()) == b""
    assert event is None


def hear(client: ClientMachine, *replies: str, pieces: Pieces = whole) -> bytes:
    """Feed the server's replies to the client and return the octets that the client then sends."""
    client.to_send()
    for piece in pieces("".join(f"{reply}\r\n" for reply in replies).encode()):
        client.receive(piece)
    return b"".join(client.to_send())


def begun(script: str, letter: OutgoingMessage = LETTER, *, bdat: bool = True, terms: Terms = TERMS) -> ClientMachine:
    client = ClientMachine(terms, bdat=bdat)
    play(client, script)
    client.begin(letter)
    return client


def codes(client: ClientMachine) -> list[int | FailureKind]:
    return [verdict.code if isinstance(verdict, Reply) else verdict.kind for verdict in client.recipient_replies]


def ended(client: ClientMachine) -> SessionFailure:
    assert client.ended is not None
    return client.ended
