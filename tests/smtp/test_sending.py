"""Each message is sent with one end of data, at its end, with any content and in any pieces."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import mail
from mta.delivery.remote.commands import ONE_WRITE_BYTES, prepare_transaction
from mta.delivery.remote.interface import DeliveryRequest
from mta.dkim.signer import prefixed
from mta.message.body import CHUNK_BYTES, Body, DamagedError, FileBody, MemoryBody, stored
from mta.message.outcome import TryLater
from mta.queue.interface import Pending, QueueId
from mta.smtp.client.dialogue import ClientEvent, FailureKind, SessionFailure
from mta.smtp.client.handshake import Terms
from mta.smtp.client.machine import ClientMachine
from mta.smtp.client.transaction import OutgoingMessage
from mta.smtp.replies import Reply
from tests.fakes.strict_receiver import Receiver
from tests.strategies import bodies, splits, wild_bytes

MAIL, ONE, TWO = "MAIL FROM:<a@a.test>", "RCPT TO:<1@b.test>", "RCPT TO:<2@b.test>"
#: By name: what the server offers, and whether it is a mail store.
WAYS: dict[str, tuple[tuple[bytes, ...], bool]] = {
    "DATA, command by command": ((), False),
    "DATA": ((b"PIPELINING",), False),
    "BDAT": ((b"PIPELINING", b"CHUNKING"), False),
    "BDAT, command by command": ((b"CHUNKING",), False),
    "LMTP": ((b"PIPELINING", b"CHUNKING"), True),
    "LMTP, command by command": ((), True),
}
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
#: Bodies of whole lines, and the same with a last line that does not end, or is very long.
texts = st.builds(
    bytes.__add__, bodies, st.sampled_from([b"", b"", b".", b"..", b"end", b".\r\n", b"x" * 2000 + b"\r\n.", b"\r\n"])
)

Pieces = Callable[[bytes], list[bytes]]


class Session:
    """A client and a strict receiver, wired back to back; the receiver's octets come in one by one."""

    def __init__(self, extensions: tuple[bytes, ...], lmtp: bool) -> None:
        self.client = ClientMachine(Terms("me.test", lmtp=lmtp))
        self.receiver = Receiver(lmtp, extensions)
        self.sent = b""
        assert self.pump() is ClientEvent.READY

    def pump(self) -> ClientEvent | None:
        """Let each hear the other until nobody has anything to say; return the last event."""
        event = None
        said = b""
        while True:
            for octet in self.receiver.hear(said):
                event = self.client.receive(bytes([octet])) or event
            said = b"".join(self.client.to_send())
            self.sent += said
            if not said:
                return event

    def give(self, pieces: list[bytes]) -> ClientEvent | None:
        """Give the body to the client as SEND_BODY asks for it."""
        for piece in pieces:
            self.client.send_body(piece)
            if (event := self.pump()) is not None:
                return event
        return self.client.end_body() or self.pump()

    def verdicts(self) -> list[int | FailureKind]:
        return [each.code if isinstance(each, Reply) else each.kind for each in self.client.recipient_replies]


def ended(text: bytes, session: Session) -> bytes:
    """Return what a body must arrive as: by DATA its last line has an end."""
    by_chunk = any(command.startswith(b"BDAT") for command in session.receiver.commands)
    return text if by_chunk or not text or text.endswith(b"\r\n") else text + b"\r\n"


@each_way
@given(data=st.data(), text=texts, following=texts)
@settings(max_examples=60, deadline=None)
def test_every_body_arrives_as_it_was_stored_with_one_end_of_data(way, data, text, following):
    session = Session(*way)
    for body in (text, following):
        in_pieces = bool(body) and data.draw(st.booleans())
        session.client.begin(OutgoingMessage(MAIL, (ONE, TWO), len(body), None if in_pieces else body))
        event = session.pump()
        if in_pieces:
            assert event is ClientEvent.SEND_BODY
            event = session.give(data.draw(splits(body)))
        assert event is ClientEvent.DONE
        assert session.verdicts() == [250, 250]
    assert session.receiver.messages == [ended(text, session), ended(following, session)]
    assert session.receiver.faults == []
    commands = [command.split(b" ")[0] for command in session.receiver.commands[1:]]
    assert commands == [b"MAIL", b"RCPT", b"RCPT", commands[3]] * 2


@each_way
@given(data=st.data(), text=bodies.filter(bool), more=wild_bytes.filter(bool))
@settings(max_examples=40, deadline=None)
def test_octets_beyond_the_announced_size_never_become_commands(way, data, text, more):
    session = Session(*way)
    session.client.begin(OutgoingMessage(MAIL, (ONE,), len(text)))
    assert session.pump() is ClientEvent.SEND_BODY
    assert session.give([*data.draw(splits(text)), more]) is ClientEvent.DONE
    # By BDAT the message was complete if a piece ended with it.
    assert session.receiver.messages == ([text] if session.verdicts() == [250] else [])
    assert session.verdicts() in ([250], [FailureKind.LOCAL])
    assert session.receiver.faults == []
    assert len(session.receiver.commands) == 4


def request(body: Body) -> DeliveryRequest:
    envelope = mail.envelope("1@b.test")
    return DeliveryRequest(QueueId("x"), envelope, body, (Pending(0, envelope.recipients[0]),))


def outcome(way: tuple[tuple[bytes, ...], bool], body: Body) -> tuple[Session, bool]:
    """Send a body that the queue gave; return whether it went out."""
    session = Session(*way)
    written = prepare_transaction(session.client.offer, request(body), "mx.test")
    if written.message is None:
        assert isinstance(written.outcomes[0], TryLater)
        assert written.outcomes[0].status == "4.3.0"
        return session, False
    session.client.begin(written.message)
    event = session.pump()
    if event is ClientEvent.SEND_BODY:
        try:
            event = session.give(list(body.chunks()))
        except DamagedError as error:
            event = session.client.fail(SessionFailure(FailureKind.LOCAL, "4.3.0", str(error)))
    assert event is ClientEvent.DONE
    return session, session.verdicts() == [250]


@each_way
@given(body=wild_bytes, prefix=st.sampled_from([b"", b"DKIM-Signature: v=1;\r\n"]))
@settings(max_examples=100, deadline=None)
def test_a_stored_body_that_is_no_text_never_goes_out(way, body, prefix):
    session, delivered = outcome(way, prefixed(prefix, stored(MemoryBody(body))))
    clean = not any(octet in line for line in body.split(b"\r\n") for octet in (b"\r", b"\n", b"\0"))
    assert delivered == clean
    assert session.receiver.messages == ([ended(prefix + body, session)] if clean else [])
    assert session.receiver.faults == []


#: What stands where two pieces of a large file meet, and whether it may go out.
SEAMS = [
    (b"\r\n", True),
    (b"\r\n.\r\n", True),
    (b"\r\n..\r\n", True),
    (b"\r\n.\r\nMAIL FROM:<x@evil.test>\r\n", True),
    (b"\n", False),
    (b"\n.\n", False),
    (b"\r\n.\n", False),
    (b"\r", False),
    (b"\r.\r", False),
    (b"\r\r\n.\r\n", False),
    (b"\r\n\0.\r\n", False),
]


@pytest.mark.parametrize("way", [WAYS["DATA"], WAYS["BDAT"]], ids=["DATA", "BDAT"])
@pytest.mark.parametrize(("seam", "clean"), SEAMS)
def test_a_stored_file_is_looked_at_across_its_pieces(way, seam, clean, tmp_path: Path):
    for shift in range(len(seam) + 1):
        body = b"x" * (CHUNK_BYTES - shift) + seam + b"y" * (ONE_WRITE_BYTES - CHUNK_BYTES) + b"\r\n"
        (tmp_path / "body").write_bytes(body)
        file = stored(FileBody(tmp_path / "body", len(body)))
        if clean:
            assert b"".join(file.chunks()) == body
        else:
            with pytest.raises(DamagedError):
                list(file.chunks())
    session, delivered = outcome(way, file)
    assert delivered == clean
    assert session.receiver.messages == ([body] if clean else [])


@pytest.mark.parametrize("change", [b"", b"NOOP\r\n"], ids=["shorter", "longer"])
def test_a_file_of_another_size_than_the_queue_knows_is_not_read(change, tmp_path: Path):
    (tmp_path / "body").write_bytes(b"12345678\r\n" + change)
    with pytest.raises(DamagedError, match=f"has {10 + len(change)} octets instead of 12"):
        list(FileBody(tmp_path / "body", 12).chunks())


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"a\nb\r\n", "bare LF"), (b"a\rb\r\n", "bare CR"), (b"a\0b\r\n", "NUL"), (b"a\r", "bare CR")],
)
def test_reading_a_damaged_body_raises_the_error_each_time(content, found, tmp_path: Path):
    (tmp_path / "body").write_bytes(content)
    for body in map(stored, (MemoryBody(content), FileBody(tmp_path / "body", len(content)))):
        assert body.size == len(content)
        for _ in range(2):
            with pytest.raises(DamagedError) as caught:
                list(body.chunks())
            assert str(caught.value).startswith(f"the stored message holds {found}: the queue was damaged")


def test_a_body_that_is_text_is_as_it_was() -> None:
    body = MemoryBody(b"a\r\n")
    assert stored(body) is body
