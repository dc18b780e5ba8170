"""The client's machine: misuse, QUIT, and replies that are cut off."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.smtp.client.dialogue import ClientEvent, FailureKind, SessionFailure
from mta.smtp.client.handshake import Terms
from mta.smtp.client.machine import ClientMachine
from mta.smtp.client.transaction import OutgoingMessage, RecipientReply
from mta.smtp.errors import LocalProtocolError
from mta.smtp.framing import DotReader
from mta.smtp.replies import Reply
from tests.drivers.client_machine import (
    CHUNKING,
    LETTER,
    LMTP,
    LOGIN,
    MAIL,
    ONE,
    PIPELINE,
    PLAIN_SERVER,
    TERMS,
    begun,
    play,
)
from tests.strategies import bodies, splits

LOST = SessionFailure(FailureKind.LOST, "4.4.2", "connection lost before the reply to MAIL")


@pytest.mark.parametrize("bad", ["MAIL FROM:<a\r\nRSET>", "MAIL FROM:<a\n>", "MAIL FROM:<a\r>"])
def test_a_command_with_a_line_end_is_a_local_error(bad: str) -> None:
    for server in (PLAIN_SERVER, CHUNKING):
        client = ClientMachine(TERMS)
        play(client, server)
        with pytest.raises(LocalProtocolError):
            client.begin(OutgoingMessage(bad, (ONE,), 2, b"\r\n"))
        assert client.to_send() == []


def test_calls_out_of_turn_are_local_errors() -> None:
    client = ClientMachine(TERMS)
    with pytest.raises(LocalProtocolError):
        client.begin(LETTER)
    play(client, PIPELINE)
    client.begin(LETTER)
    with pytest.raises(LocalProtocolError):
        client.begin(LETTER)
    with pytest.raises(LocalProtocolError):
        client.quit()


def test_quit_is_sent_between_transactions() -> None:
    client = ClientMachine(TERMS)
    play(client, PLAIN_SERVER)
    client.quit()
    assert client.to_send() == [b"QUIT\r\n"]
    assert not client.ready
    assert client.receive(b"221 bye\r\n") is None


TIMEOUT = SessionFailure(FailureKind.TIMEOUT, "4.4.2", "no reply to end of data within 600 s")


@pytest.mark.parametrize("trouble", [LOST, TIMEOUT])
@pytest.mark.parametrize("end", [b"250 taken", b"250 taken\r", b"250", b"550-no\r\n550 really"])
def test_a_reply_without_a_line_end_counts_at_the_end_of_the_connection(trouble: SessionFailure, end: bytes) -> None:
    client = ClientMachine(TERMS, bdat=False)
    play(client, PLAIN_SERVER)
    client.begin(LETTER)
    for answer in [b"250 ok\r\n"] * (1 + len(LETTER.recipients)) + [b"354 go\r\n"]:
        client.receive(answer)
    assert client.receive(end) is None
    assert client.fail(trouble) is ClientEvent.DONE
    assert {verdict.code for verdict in client.recipient_replies if isinstance(verdict, Reply)} == {int(end[:3])}
    assert len(client.recipient_replies) == len(LETTER.recipients)
    assert client.ended is trouble


@pytest.mark.parametrize(
    "end", [b"", b"2", b"25", b"250-", b"250-taken", b"250-taken\r\n", b"2500 taken", b"ok", b"\r"]
)
def test_an_incomplete_reply_does_not_count(end: bytes) -> None:
    client = ClientMachine(TERMS, bdat=False)
    play(client, PLAIN_SERVER)
    client.begin(LETTER)
    for answer in [b"250 ok\r\n"] * (1 + len(LETTER.recipients)) + [b"354 go\r\n"]:
        client.receive(answer)
    client.receive(end)
    assert client.fail(LOST) is ClientEvent.DONE
    assert all(
        isinstance(verdict, SessionFailure) and verdict.kind is FailureKind.LOST for verdict in client.recipient_replies
    )


@pytest.mark.parametrize(
    ("server", "said", "bdat"),
    [
        (PLAIN_SERVER, b"250 ok\r\n250 ok\r\n250 ok\r\n354 go", False),
        (CHUNKING.replace("S: 250-PIPELINING\n", ""), b"250 ok\r\n250 ok\r\n250 ok", True),
    ],
    ids=["DATA", "BDAT"],
)
def test_a_yes_without_a_line_end_before_the_body_begins_no_body(server: str, said: bytes, *, bdat: bool) -> None:
    client = begun(server, bdat=bdat)
    client.receive(said)
    assert client.fail(LOST) is ClientEvent.DONE
    assert client.recipient_replies == [LOST] * len(LETTER.recipients)


def test_a_refusal_without_a_line_end_is_the_verdict() -> None:
    client = begun(PLAIN_SERVER)
    client.receive(b"550 no")
    client.fail(LOST)
    assert [verdict.code for verdict in client.recipient_replies if isinstance(verdict, Reply)] == [550, 550]


# Properties

HELLOS = [b"220 hi", b"250-b.test\r\n250-PIPELINING\r\n250 CHUNKING", b"250-b\r\n250 STARTTLS", b"250-"]
ANSWERS = [
    b"250 ok",
    b"354 go",
    b"334 VXNlcm5hbWU6",
    b"235 in",
    b"450 4.2.0 later",
    b"550 5.1.1 no",
    b"421 bye",
    b"junk",
]
REPLIES = st.sampled_from(HELLOS + ANSWERS)
TALK = st.lists(REPLIES, max_size=14).map(lambda replies: b"".join(reply + b"\r\n" for reply in replies))


def converse(pieces: list[bytes], terms: Terms, *, bdat: bool) -> tuple[bytes, list[ClientEvent], list[RecipientReply]]:
    """Run a session against a server that says this, whatever it is asked; return all that came of it."""
    client, said, events = ClientMachine(terms, bdat=bdat), b"", []
    for piece in pieces:
        event = client.receive(piece)
        said += b"".join(client.to_send())
        if event is not None:
            events.append(event)
        if event is ClientEvent.START_TLS:
            break
        if event is ClientEvent.READY:
            client.begin(LETTER)
            said += b"".join(client.to_send())
    if client.ended is None and (event := client.fail(LOST)) is not None:
        events.append(event)
    return said, events, client.recipient_replies


@given(st.data(), st.booleans())
@settings(max_examples=150)
def test_any_split_of_the_transaction_gives_the_same_commands_and_verdicts(data: st.DataObject, bdat: bool) -> None:
    hello = [b"220 hi\r\n", b"250-b.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n"]
    talk = data.draw(TALK)
    split = data.draw(splits(talk))
    said, _, verdicts = converse([*hello, talk], TERMS, bdat=bdat)
    said_again, _, verdicts_again = converse([*hello, *split], TERMS, bdat=bdat)
    assert (said_again, verdicts_again) == (said, verdicts)


@given(talk=st.one_of(TALK, st.binary(max_size=200)), data=st.data())
@settings(max_examples=200)
def test_no_server_makes_the_machine_raise_or_lose_a_recipient(talk: bytes, data: st.DataObject) -> None:
    terms = data.draw(st.sampled_from([LOGIN, LMTP]))
    _, events, verdicts = converse(data.draw(splits(talk)), terms, bdat=True)
    assert events.count(ClientEvent.DONE) <= 1
    if ClientEvent.DONE in events:
        assert len(verdicts) == len(LETTER.recipients)
    if ClientEvent.CLOSED in events:
        assert events[-1] is ClientEvent.CLOSED


@given(body=bodies, data=st.data())
@settings(max_examples=100)
def test_octets_sent_after_data_are_read_as_the_body(body: bytes, data: st.DataObject) -> None:
    client = begun(PIPELINE, OutgoingMessage(MAIL, (ONE,), len(body)))
    client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    client.to_send()
    for piece in data.draw(splits(body)):
        client.send_body(piece)
    client.end_body()
    text, rest = DotReader().feed(b"".join(client.to_send()))
    assert (text, rest) == (body, b"")
