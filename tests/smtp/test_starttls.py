"""Input in clear does not count inside TLS, on either end (RFC 3207 sections 4.2 and 6)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.smtp.client.dialogue import ClientEvent, FailureKind
from mta.smtp.client.handshake import Offer, Terms
from mta.smtp.client.machine import ClientMachine
from mta.smtp.replies import reply
from mta.smtp.sasl.logins import PasswordLogin
from mta.smtp.server.events import Closed, Hello, StartTls
from tests.drivers.server_machine import Serving, cuts
from tests.strategies import splits, wild_bytes

# The server: a client, or somebody between us, slips in commands in clear.

INJECTED = [
    b"EHLO evil.test\r\n",
    b"EHLO evil.test\r\nMAIL FROM:<x@evil.test>\r\nRCPT TO:<y@evil.test>\r\nDATA\r\n",
    b"NOOP\r\n",
    b"QUIT\r\n",
    b"\r\n",
    b"x",
    b"\0",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"BDAT 4 LAST\r\nevil",
    b"STARTTLS\r\n",
]


def offering(**options):
    serving = Serving(starttls=True, **options)
    serving.hear(b"EHLO client.test\r\n")
    return serving


@pytest.mark.parametrize("injected", INJECTED)
def test_input_behind_starttls_ends_the_session_unread_in_any_segments(injected):
    command = b"STARTTLS\r\n"
    for pieces in cuts(command + injected):
        serving = offering()
        before = len(serving.events)
        said = serving.hear(*pieces)
        assert [type(event) for event in serving.events[before:]] == [StartTls, Closed]
        assert serving.machine.closing
        # In a piece of its own it comes when the go-ahead is out, and then nothing can be said in clear any more.
        assert [line[:3] for line in said] in (["554"], ["220"])
        assert serving.machine.buffered == 0


@given(injected=wild_bytes.filter(bool), data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_octet_in_clear_behind_starttls_is_there_inside_tls(injected, data):
    serving = offering()
    before = len(serving.events)
    serving.hear(*data.draw(splits(b"STARTTLS\r\n" + injected)))
    assert [type(event) for event in serving.events[before:]] == [StartTls, Closed]


def test_name_sender_and_offer_are_forgotten_inside_tls():
    serving = offering()
    assert serving.hear(b"STARTTLS\r\n") == ["220 2.0.0 ready to start TLS"]
    serving.machine.tls_started()
    said = serving.hear(b"MAIL FROM:<a@client.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\nSTARTTLS\r\n")
    assert [line[:3] for line in said] == ["503", "503", "554"]
    serving = offering()
    serving.hear(b"STARTTLS\r\n")
    serving.machine.tls_started()
    assert serving.hear(b"EHLO client.test\r\n")[-1] == "250 HELP"
    assert not any("STARTTLS" in line for line in serving.hear(b"EHLO client.test\r\n"))
    assert [line[:3] for line in serving.hear(b"STARTTLS\r\n")] == ["503"]


def test_a_transaction_cannot_be_carried_into_tls():
    serving = offering()
    said = serving.hear(b"MAIL FROM:<a@client.test>\r\nRCPT TO:<b@example.test>\r\nSTARTTLS\r\n")
    assert [line[:3] for line in said] == ["250", "250", "503"]
    assert not any(isinstance(event, StartTls) for event in serving.events)


@pytest.mark.parametrize("behind", [b"EHLO evil.test\r\n", b"MAIL FROM:<a@client.test>\r\n"])
def test_after_a_refused_starttls_pipelined_commands_are_in_clear(behind):
    serving = offering(answers={StartTls: reply(454, "4.7.0", "no certificate")})
    assert [line[:3] for line in serving.hear(b"STARTTLS\r\nNOOP\r\n")] == ["454", "250"]
    assert [type(event) for event in serving.events].count(Hello) == 1
    assert not serving.machine.closing
    assert serving.hear(behind)[-1].startswith("250")


# The client: a server, or somebody before it, slips in replies in clear.

SECRET = "hunter2"
TERMS = Terms("me.test", tls_required=True, login=PasswordLogin("the-user", SECRET))
CLEAR = b"220 hi\r\n", b"250-b.test\r\n250-STARTTLS\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 AUTH PLAIN LOGIN\r\n"
REPLIES = [
    b"250 b.test\r\n",
    b"250-b.test\r\n250 AUTH PLAIN\r\n",
    b"235 2.7.0 logged in\r\n",
    b"334 \r\n",
    b"220 go\r\n",
    b"2",
    b"\r\n",
    b"250-b.test\r\n",
    b"421 bye\r\n",
    b"\x16\x03\x03\x00\x7a",
]


def in_clear():
    """Return a client that has said STARTTLS."""
    client = ClientMachine(TERMS)
    for each in CLEAR:
        assert client.receive(each) is None
    assert b"".join(client.to_send()).endswith(b"STARTTLS\r\n")
    return client


@pytest.mark.parametrize("injected", REPLIES)
@pytest.mark.parametrize("go", [b"220 go\r\n", b"220-ready\r\n220 go\r\n"])
def test_input_behind_the_servers_go_ahead_ends_the_session_in_any_segments(go, injected):
    for at in range(len(go)):
        client = in_clear()
        events = [event for piece in (go[:at], go[at:] + injected) if (event := client.receive(piece))]
        assert events == [ClientEvent.CLOSED]
        assert client.ended.kind is FailureKind.PROTOCOL if injected != b"421 bye\r\n" else client.ended is not None
        assert client.to_send() == []


def test_replies_that_come_before_their_commands_do_not_outlive_the_handshake():
    client = ClientMachine(TERMS)
    assert client.receive(b"".join(CLEAR) + b"220 go\r\n") is ClientEvent.START_TLS
    client.to_send()
    client.tls_started()
    assert client.offer == Offer()
    assert client.to_send() == [b"EHLO me.test\r\n"]
    # Inside TLS everything is asked anew: nothing that was said before is an answer.
    assert client.receive(b"250 b.test\r\n") is ClientEvent.CLOSED
    assert client.ended.kind is FailureKind.NO_MECHANISM


@pytest.mark.parametrize("extra", [b"235 logged in\r\n", b"250 ok\r\n", b"220 go\r\n"])
def test_replies_without_a_command_end_the_session_in_clear(extra):
    client = ClientMachine(TERMS)
    assert client.receive(b"".join(CLEAR) + b"220 go\r\n" + extra) is ClientEvent.CLOSED
    assert client.ended.kind is FailureKind.PROTOCOL


def test_a_capability_list_in_clear_does_not_count_inside_tls():
    client = in_clear()
    assert client.offer.pipelining
    assert client.offer.mechanisms == {"PLAIN", "LOGIN"}
    assert client.receive(b"220 go\r\n") is ClientEvent.START_TLS
    client.tls_started()
    assert client.receive(b"250 b.test\r\n") is ClientEvent.CLOSED
    assert "offered none" in client.ended.text
    assert SECRET.encode() not in b"".join(client.to_send())


@given(st.lists(st.sampled_from([*CLEAR, *REPLIES, b"454 no\r\n", b"500 what\r\n", b"250 b.test\r\n"]), max_size=8))
@settings(max_examples=300, deadline=None)
def test_no_talk_in_clear_makes_the_client_log_in_or_send_mail(talk):
    client = ClientMachine(TERMS)
    for piece in talk:
        event = client.receive(piece)
        said = b"".join(client.to_send())
        assert b"AUTH" not in said
        assert b"MAIL" not in said
        assert event is not ClientEvent.READY
        if event is not None:
            break


@pytest.mark.parametrize("refusal", [b"454 no\r\n", b"334 \r\n", b"500 what\r\n", b"354 go\r\n"])
def test_a_refused_starttls_shows_no_password_even_where_clear_text_would_do(refusal):
    client = ClientMachine(Terms("me.test", login=PasswordLogin("the-user", SECRET)))
    for each in (*CLEAR, refusal):
        event = client.receive(each)
    assert event is ClientEvent.CLOSED
    assert client.ended.kind is FailureKind.NO_MECHANISM
    assert b"AUTH" not in b"".join(client.to_send())
