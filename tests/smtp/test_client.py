import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.smtp.client import Client
from mta.smtp.dialogue import Cause, Event, Trouble
from mta.smtp.errors import LocalProtocolError
from mta.smtp.framing import DotReader
from mta.smtp.handshake import Login, Terms
from mta.smtp.replies import Reply
from mta.smtp.transaction import Letter, Verdict
from tests.strategies import bodies, splits

Pieces = Callable[[bytes], list[bytes]]
TERMS = Terms("me.test")
LOGIN = Terms("me.test", login=Login("user", "pass:word"))
MAIL, ONE, TWO, THREE = "MAIL FROM:<a@a.test>", "RCPT TO:<1@b.test>", "RCPT TO:<2@b.test>", "RCPT TO:<3@b.test>"
BODY = b"Subject: x\r\n\r\n.dot\r\n"
LETTER = Letter(MAIL, (ONE, TWO), len(BODY), BODY)
BDAT = f"C: BDAT {len(BODY)} LAST\nC: Subject: x\nC:\nC: .dot"
PLAIN_SERVER = "S: 220 hi\nC: EHLO me.test\nS: 250 b.test\n! READY\n"
PIPELINE = "S: 220 hi\nC: EHLO me.test\nS: 250-b.test\nS: 250 PIPELINING\n! READY\n"
CHUNKING = "S: 220 hi\nC: EHLO me.test\nS: 250-b.test\nS: 250-PIPELINING\nS: 250 CHUNKING\n! READY\n"


def whole(data: bytes) -> list[bytes]:
    return [data]


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@pytest.fixture(params=[whole, byte_by_byte])
def pieces(request: pytest.FixtureRequest) -> Pieces:
    return request.param  # type: ignore[no-any-return]


def play(client: Client, script: str, pieces: Pieces = whole) -> None:
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


def hear(client: Client, *replies: str, pieces: Pieces = whole) -> bytes:
    """Let the server say this; return what the client then says."""
    client.to_send()
    for piece in pieces("".join(f"{reply}\r\n" for reply in replies).encode()):
        client.receive(piece)
    return b"".join(client.to_send())


def begun(script: str, letter: Letter = LETTER, *, bdat: bool = True) -> Client:
    client = Client(TERMS, bdat=bdat)
    play(client, script)
    client.begin(letter)
    return client


def codes(client: Client) -> list[int | Cause]:
    return [verdict.code if isinstance(verdict, Reply) else verdict.cause for verdict in client.verdicts]


def ended(client: Client) -> Trouble:
    assert client.ended is not None
    return client.ended


# The handshake


def test_a_server_without_extensions_is_ready_after_ehlo(pieces: Pieces) -> None:
    client = Client(TERMS)
    play(client, PLAIN_SERVER, pieces)
    assert client.ready
    assert client.offer == type(client.offer)()


def test_the_offer_is_read_whatever_its_case_and_unknown_words_are_ignored() -> None:
    client = Client(TERMS)
    play(
        client,
        """
        S: 220 hi
        C: EHLO me.test
        S: 250-b.test PIPELINING
        S: 250-size 1000
        S: 250-8bitmime
        S: 250-SmtpUtf8
        S: 250-DSN
        S: 250-X-THING a b
        S: 250-AUTH=PLAIN
        S: 250 AUTH LOGIN CRAM-MD5
        ! READY
        """,
    )
    offer = client.offer
    assert (offer.size, offer.eight_bit, offer.smtputf8, offer.dsn) == (1000, True, True, True)
    assert not offer.pipelining
    assert offer.mechanisms == {"PLAIN", "LOGIN", "CRAM-MD5"}


@pytest.mark.parametrize(
    ("word", "size"), [("SIZE", 0), ("SIZE 0", 0), ("SIZE x", 0), ("SIZE " + "9" * 21, 0), ("X", None)]
)
def test_a_size_that_names_no_limit_is_none(word: str, size: int | None) -> None:
    client = Client(TERMS)
    play(client, f"S: 220 hi\nC: EHLO me.test\nS: 250-b.test\nS: 250 {word}\n! READY")
    assert client.offer.size == size


def test_helo_follows_a_refused_ehlo(pieces: Pieces) -> None:
    client = Client(TERMS)
    play(client, "S: 220 hi\nC: EHLO me.test\nS: 502 what\nC: HELO me.test\nS: 250 b.test\n! READY", pieces)


@pytest.mark.parametrize(
    ("script", "cause", "status", "words"),
    [
        ("S: 554 5.7.1 go away\n! CLOSED", Cause.REFUSED, "4.7.1", "554 5.7.1 go away"),
        ("S: 450 busy\n! CLOSED", Cause.REFUSED, "4.3.2", "450 busy"),
        ("S: 421 4.7.0 busy\n! CLOSED", Cause.CLOSING, "4.7.0", "421 4.7.0 busy"),
        ("S: hello\n! CLOSED", Cause.PROTOCOL, "4.5.0", "protocol error: not a reply: 'hello'"),
        ("S: 220 hi\nC: EHLO me.test\nS: 450 no\n! CLOSED", Cause.REFUSED, "4.3.2", "450 no"),
        (
            "S: 220 hi\nC: EHLO me.test\nS: 500 no\nC: HELO me.test\nS: 550 no\n! CLOSED",
            Cause.REFUSED,
            "4.3.2",
            "550 no",
        ),
        (PLAIN_SERVER + "S: 421 idle\n! CLOSED", Cause.CLOSING, "4.3.2", "421 idle"),
        (PLAIN_SERVER + "S: 250 ok\n! CLOSED", Cause.PROTOCOL, "4.5.0", "protocol error: unexpected reply 250 ok"),
    ],
)
def test_what_ends_a_session_is_told(script: str, cause: Cause, status: str, words: str, pieces: Pieces) -> None:
    client = Client(TERMS)
    play(client, script, pieces)
    assert ended(client) == Trouble(cause, status, words)
    assert not client.ready


# STARTTLS

TLS_SERVER = "S: 220 hi\nC: EHLO me.test\nS: 250-b.test\nS: 250-SIZE 5\nS: 250 STARTTLS\nC: STARTTLS\n"


def test_what_was_learned_in_clear_is_forgotten_inside_tls(pieces: Pieces) -> None:
    client = Client(TERMS)
    play(client, TLS_SERVER + "S: 220 go\n! START_TLS", pieces)
    client.tls_started()
    assert client.offer.size is None
    play(client, "C: EHLO me.test\nS: 250 b.test\n! READY", pieces)
    assert client.offer.size is None


@pytest.mark.parametrize("extra", [b"250-b.test\r\n250 AUTH PLAIN\r\n", b"2", b"250-x\r\n"])
def test_plain_text_after_the_reply_to_starttls_ends_the_session(extra: bytes) -> None:
    client = Client(TERMS)
    play(client, TLS_SERVER)
    assert client.receive(b"220 go\r\n" + extra) is Event.CLOSED
    assert ended(client).cause is Cause.PROTOCOL


@pytest.mark.parametrize("refusal", ["454 4.7.0 not now", "502 no"])
def test_a_refused_starttls_goes_on_in_clear_unless_tls_is_required(refusal: str, pieces: Pieces) -> None:
    client = Client(TERMS)
    play(client, f"{TLS_SERVER}S: {refusal}\n! READY", pieces)
    strict = Client(Terms("me.test", tls_required=True))
    play(strict, f"{TLS_SERVER}S: {refusal}\n! CLOSED", pieces)
    assert ended(strict).cause is Cause.NO_TLS


def test_a_missing_starttls_ends_the_session_when_tls_is_required() -> None:
    client = Client(Terms("me.test", tls_required=True, login=Login("u", "p")))
    play(client, "S: 220 hi\nC: EHLO me.test\nS: 250-b.test\nS: 250 AUTH PLAIN CRAM-MD5\n! CLOSED")
    assert ended(client) == Trouble(Cause.NO_TLS, "4.7.4", "STARTTLS is not offered")


def test_starttls_is_not_used_where_it_is_not_wanted_or_tls_runs_already() -> None:
    for client in (Client(Terms("me.test", starttls=False)), Client(TERMS, secured=True)):
        play(client, "S: 220 hi\nC: EHLO me.test\nS: 250-b.test\nS: 250 STARTTLS\n! READY")


# AUTH


def secured(terms: Terms, offered: str) -> Client:
    client = Client(terms, secured=True)
    hear(client, "220 hi")
    client.receive(f"250-b.test\r\n250 AUTH {offered}\r\n".encode())
    return client


def test_plain_logs_in_with_one_command(pieces: Pieces) -> None:
    play(secured(LOGIN, "LOGIN PLAIN"), "C: AUTH PLAIN AHVzZXIAcGFzczp3b3Jk\nS: 235 ok\n! READY", pieces)


def test_login_answers_two_questions(pieces: Pieces) -> None:
    script = "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: dXNlcg==\nS: 334 \nC: cGFzczp3b3Jk\nS: 235 ok\n! READY"
    play(secured(LOGIN, "LOGIN"), script, pieces)


def test_cram_md5_comes_first_and_uses_the_whole_password() -> None:
    client = Client(Terms("me.test", login=Login("tim", "tanstaaftanstaaf")))
    play(
        client,
        """
        S: 220 hi
        C: EHLO me.test
        S: 250-b.test
        S: 250 AUTH PLAIN CRAM-MD5
        C: AUTH CRAM-MD5
        S: 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+
        C: dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw
        S: 235 ok
        ! READY
        """,
    )


def test_a_refused_mechanism_is_followed_by_the_next_and_the_last_refusal_ends_the_session(pieces: Pieces) -> None:
    client = secured(LOGIN, "PLAIN LOGIN")
    script = "C: AUTH PLAIN AHVzZXIAcGFzczp3b3Jk\nS: 535 5.7.8 no\nC: AUTH LOGIN\nS: 535 5.7.8 never\n! CLOSED"
    play(client, script, pieces)
    assert ended(client) == Trouble(Cause.LOGIN_REFUSED, "4.7.8", "535 5.7.8 never")


def test_a_temporary_refusal_of_the_login_ends_the_session_at_once() -> None:
    client = secured(LOGIN, "PLAIN LOGIN")
    play(client, "C: AUTH PLAIN AHVzZXIAcGFzczp3b3Jk\nS: 454 4.7.0 later\n! CLOSED")
    assert ended(client).cause is Cause.LOGIN_REFUSED


def test_a_refused_login_stays_the_reason_when_the_server_then_hangs_up() -> None:
    client = secured(LOGIN, "PLAIN LOGIN")
    play(client, "C: AUTH PLAIN AHVzZXIAcGFzczp3b3Jk\nS: 535 5.7.8 no\nC: AUTH LOGIN")
    assert client.lose(Trouble(Cause.LOST, "4.4.2", "lost")) is Event.CLOSED
    assert ended(client).cause is Cause.LOGIN_REFUSED


@pytest.mark.parametrize("challenge", ["334 ", "334 !!!", "354 go on"])
def test_a_challenge_that_makes_no_sense_ends_the_session_without_an_answer(challenge: str) -> None:
    client = secured(LOGIN, "PLAIN")
    play(client, f"C: AUTH PLAIN AHVzZXIAcGFzczp3b3Jk\nS: {challenge}\n! CLOSED")
    assert ended(client).cause is Cause.PROTOCOL
    assert "pass" not in ended(client).text


def test_passwords_stay_out_of_clear_connections_unless_told_otherwise() -> None:
    hello = "S: 220 hi\nC: EHLO me.test\nS: 250-b.test\nS: 250 AUTH PLAIN LOGIN\n"
    careful = Client(LOGIN)
    play(careful, hello + "! CLOSED")
    assert ended(careful).cause is Cause.NO_MECHANISM
    assert "offered LOGIN PLAIN; usable CRAM-MD5 only" in ended(careful).text
    told = Client(Terms("me.test", login=LOGIN.login, login_in_clear=True))
    play(told, hello + "C: AUTH PLAIN AHVzZXIAcGFzczp3b3Jk\nS: 235 ok\n! READY")


def test_secrets_do_not_show_in_values() -> None:
    assert "pass" not in repr(LOGIN)
    assert "user" not in repr(LOGIN)


# Transactions


def test_commands_go_one_by_one_to_a_server_without_pipelining(pieces: Pieces) -> None:
    client = begun(PLAIN_SERVER)
    play(
        client,
        f"""
        C: {MAIL}
        S: 250 ok
        C: {ONE}
        S: 250 ok
        C: {TWO}
        S: 251 forwarded
        C: DATA
        S: 354 go
        C: Subject: x
        C:
        C: ..dot
        C: .
        S: 250 2.0.0 taken
        ! DONE
        """,
        pieces,
    )
    assert codes(client) == [250, 250]
    assert str(client.verdicts[0]) == "250 2.0.0 taken"
    assert client.ready


def test_commands_go_in_one_write_to_a_server_with_pipelining(pieces: Pieces) -> None:
    client = begun(PIPELINE)
    replies = "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\n"
    body = "C: Subject: x\nC:\nC: ..dot\nC: .\nS: 250 taken\n! DONE"
    play(client, f"C: {MAIL}\nC: {ONE}\nC: {TWO}\nC: DATA\n{replies}{body}", pieces)
    assert codes(client) == [250, 250]


def test_the_whole_message_goes_in_one_write_to_a_server_with_chunking(pieces: Pieces) -> None:
    client = begun(CHUNKING)
    commands = f"C: {MAIL}\nC: {ONE}\nC: {TWO}\nC: BDAT {len(BODY)} LAST\nC: Subject: x\nC:\nC: .dot\n"
    play(client, commands + "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 taken\n! DONE", pieces)
    assert codes(client) == [250, 250]


def test_chunking_without_pipelining_saves_the_wait_for_354() -> None:
    client = begun(CHUNKING.replace("S: 250-PIPELINING\n", ""))
    play(client, f"C: {MAIL}\nS: 250 ok\nC: {ONE}\nS: 250 ok\nC: {TWO}\nS: 550 no\n{BDAT}")


def test_bdat_is_not_used_when_switched_off() -> None:
    play(begun(CHUNKING, bdat=False), f"C: {MAIL}\nC: {ONE}\nC: {TWO}\nC: DATA")


def test_a_body_given_in_pieces_waits_for_the_recipients(pieces: Pieces) -> None:
    client = begun(CHUNKING, Letter(MAIL, (ONE,), 8))
    play(client, f"C: {MAIL}\nC: {ONE}\nS: 250 ok\nS: 250 ok\n! SEND_BODY\nC: BDAT 8 LAST", pieces)
    client.send_body(b".a\r\n")
    client.send_body(b".b\r\n")
    assert client.end_body() is None
    play(client, "C: .a\nC: .b\nS: 250 taken\n! DONE", pieces)


def test_dots_are_stuffed_across_pieces() -> None:
    client = begun(PIPELINE, Letter(MAIL, (ONE,), 6))
    play(client, f"C: {MAIL}\nC: {ONE}\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n! SEND_BODY")
    for piece in (b"a", b"\r", b"\n", b".", b"\r\n"):
        client.send_body(piece)
    client.end_body()
    play(client, "C: a\nC: ..\nC: .\nS: 250 taken\n! DONE")


def test_a_body_of_another_size_than_announced_is_never_ended() -> None:
    client = begun(CHUNKING, Letter(MAIL, (ONE,), 8))
    play(client, f"C: {MAIL}\nC: {ONE}\nS: 250 ok\nS: 250 ok\n! SEND_BODY\nC: BDAT 8 LAST")
    client.send_body(b"short\r\n")
    assert client.end_body() is Event.DONE
    assert codes(client) == [Cause.OURS]
    assert not client.ready


@pytest.mark.parametrize("server", [PLAIN_SERVER, PIPELINE, CHUNKING])
@pytest.mark.parametrize("refusal", [450, 552])
def test_a_refused_sender_is_the_verdict_for_all(server: str, refusal: int) -> None:
    client = begun(server)
    client.to_send()
    if server is PLAIN_SERVER:
        play(client, f"S: {refusal} no\n! DONE")
    else:
        play(client, f"S: {refusal} no\nS: 503 MAIL first\nS: 250 strange\nS: 503 RCPT first\n! DONE")
    assert codes(client) == [refusal, refusal]


def test_refused_recipients_do_not_harm_the_others(pieces: Pieces) -> None:
    client = begun(PIPELINE, Letter(MAIL, (ONE, TWO, THREE), len(BODY), BODY))
    assert hear(client, "250 ok", "550 no", "250 ok", "451 later", "354 go", pieces=pieces).endswith(b"\r\n.\r\n")
    play(client, "S: 250 taken\n! DONE", pieces)
    assert codes(client) == [550, 250, 451]


def test_when_all_recipients_are_refused_an_invited_body_is_a_lone_dot(pieces: Pieces) -> None:
    client = begun(PIPELINE)
    client.to_send()
    play(client, "S: 250 ok\nS: 550 no\nS: 450 no\nS: 354 go\nC: .\nS: 250 strange\n! DONE", pieces)
    assert codes(client) == [550, 450]


@pytest.mark.parametrize("refusal", ["554 no valid recipients", "503 bad sequence"])
def test_when_all_recipients_are_refused_so_is_data(refusal: str) -> None:
    client = begun(PIPELINE)
    client.to_send()
    play(client, f"S: 250 ok\nS: 550 no\nS: 450 no\nS: {refusal}\n! DONE")
    assert codes(client) == [550, 450]


def test_no_body_is_sent_when_all_recipients_are_refused_one_by_one() -> None:
    client = begun(PLAIN_SERVER)
    play(client, f"C: {MAIL}\nS: 250 ok\nC: {ONE}\nS: 550 a\nC: {TWO}\nS: 550 b\n! DONE")
    assert [str(verdict) for verdict in client.verdicts] == ["550 a", "550 b"]


@pytest.mark.parametrize("server", [PIPELINE, CHUNKING])
def test_the_last_reply_counts_for_all_accepted_recipients(server: str) -> None:
    client = begun(server)
    hear(client, "250 ok", "550 no", "250 ok", *([] if server is CHUNKING else ["354 go"]))
    play(client, "S: 452 full\n! DONE")
    assert codes(client) == [550, 452]
    assert client.ready


def test_a_refused_data_counts_for_the_accepted_recipients() -> None:
    client = begun(PIPELINE)
    client.to_send()
    play(client, "S: 250 ok\nS: 550 no\nS: 250 ok\nS: 451 not now\n! DONE")
    assert codes(client) == [550, 451]


def test_a_transaction_that_was_left_open_is_reset_before_the_next(pieces: Pieces) -> None:
    client = begun(CHUNKING)
    client.to_send()
    play(client, "S: 250 ok\nS: 550 no\nS: 550 no\nS: 554 none\n! DONE", pieces)
    client.begin(Letter(MAIL, (ONE,), 2, b"\r\n"))
    play(client, f"C: RSET\nC: {MAIL}\nC: {ONE}\nC: BDAT 2 LAST\nC:", pieces)
    play(client, "S: 250 reset\nS: 250 ok\nS: 250 ok\nS: 250 taken\n! DONE", pieces)
    assert codes(client) == [250]
    client.begin(Letter(MAIL, (ONE,), 2, b"\r\n"))
    play(client, f"C: {MAIL}\nC: {ONE}\nC: BDAT 2 LAST\nC:", pieces)


def test_reset_goes_alone_to_a_server_without_pipelining() -> None:
    client = begun(PLAIN_SERVER, Letter(MAIL, (ONE,), 2, b"\r\n"))
    play(client, f"C: {MAIL}\nS: 250 ok\nC: {ONE}\nS: 550 a\n! DONE")
    client.begin(LETTER)
    play(client, f"C: RSET\nS: 250 ok\nC: {MAIL}")


# The end of a session within a transaction


def test_421_is_the_verdict_for_what_is_unanswered(pieces: Pieces) -> None:
    client = begun(PIPELINE)
    client.to_send()
    play(client, "S: 250 ok\nS: 550 no\nS: 421 4.3.2 going down\n! DONE", pieces)
    assert codes(client) == [550, Cause.CLOSING]
    assert client.verdicts[1] == Trouble(Cause.CLOSING, "4.3.2", "421 4.3.2 going down")
    assert ended(client).cause is Cause.CLOSING


def test_a_verdict_stands_when_421_follows_it() -> None:
    client = begun(CHUNKING)
    client.to_send()
    play(client, "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 taken\nS: 421 enough\n! DONE")
    assert codes(client) == [250, 250]
    assert ended(client).cause is Cause.CLOSING


LOST = Trouble(Cause.LOST, "4.4.2", "connection lost before the reply to MAIL")


def test_a_connection_lost_before_the_end_of_data_is_a_plain_loss() -> None:
    client = begun(PIPELINE)
    assert not client.answered
    assert client.lose(LOST) is Event.DONE
    assert client.verdicts == [LOST, LOST]
    assert not client.answered
    assert client.lose(LOST) is None


def test_a_connection_lost_after_the_end_of_data_may_have_brought_the_message() -> None:
    client = begun(CHUNKING)
    client.to_send()
    play(client, "S: 250 ok\nS: 550 no\nS: 250 ok")
    client.lose(LOST)
    assert codes(client) == [550, Cause.LOST]
    assert client.verdicts[1] == Trouble(
        Cause.LOST, "4.4.2", "connection lost after end of data; the message may have been taken"
    )


def test_a_timeout_after_the_end_of_data_says_so_too() -> None:
    client = begun(CHUNKING)
    client.lose(Trouble(Cause.TIMEOUT, "4.4.2", "no reply to MAIL within 300 seconds"))
    verdict = client.verdicts[0]
    assert isinstance(verdict, Trouble)
    assert verdict.text == "no reply to MAIL within 300 seconds; the message may have been taken"


def test_a_refusal_in_the_middle_of_the_body_stands_and_ends_the_session() -> None:
    client = begun(PIPELINE, Letter(MAIL, (ONE,), 8))
    client.to_send()
    play(client, "S: 250 ok\nS: 250 ok\nS: 354 go\n! SEND_BODY")
    client.send_body(b"half")
    client.to_send()
    play(client, "S: 552 5.3.4 too big\n! DONE")
    assert codes(client) == [552]
    assert not client.ready


@pytest.mark.parametrize(
    "replies",
    [
        "S: 354 go",
        "S: 250 ok\nS: 354 go",
        "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 go",
        "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 334 go",
        "S: 250 ok\nS: nonsense",
        "S: 250 ok\nS: 250-a\nS: 251 b",
    ],
)
def test_replies_out_of_place_end_the_session_and_nothing_counts_as_delivered(replies: str, pieces: Pieces) -> None:
    client = begun(PIPELINE)
    client.to_send()
    play(client, replies + "\n! DONE", pieces)
    assert codes(client) == [Cause.PROTOCOL, Cause.PROTOCOL]
    assert client.verdicts[0].status == "4.5.0"


def test_an_acceptance_before_the_body_is_complete_is_not_believed() -> None:
    client = begun(PIPELINE, Letter(MAIL, (ONE,), 8))
    client.to_send()
    play(client, "S: 250 ok\nS: 250 ok\nS: 354 go\n! SEND_BODY")
    play(client, "S: 250 taken\n! DONE")
    assert codes(client) == [Cause.PROTOCOL]


# Our own mistakes


@pytest.mark.parametrize("bad", ["MAIL FROM:<a\r\nRSET>", "MAIL FROM:<a\n>", "MAIL FROM:<a\r>"])
def test_a_command_with_a_line_end_is_our_bug(bad: str) -> None:
    for server in (PLAIN_SERVER, CHUNKING):
        client = Client(TERMS)
        play(client, server)
        with pytest.raises(LocalProtocolError):
            client.begin(Letter(bad, (ONE,), 2, b"\r\n"))
        assert client.to_send() == []


def test_calls_out_of_turn_are_our_bug() -> None:
    client = Client(TERMS)
    with pytest.raises(LocalProtocolError):
        client.begin(LETTER)
    play(client, PIPELINE)
    client.begin(LETTER)
    with pytest.raises(LocalProtocolError):
        client.begin(LETTER)
    with pytest.raises(LocalProtocolError):
        client.quit()


def test_quit_is_said_between_transactions() -> None:
    client = Client(TERMS)
    play(client, PLAIN_SERVER)
    client.quit()
    assert client.to_send() == [b"QUIT\r\n"]
    assert not client.ready
    assert client.receive(b"221 bye\r\n") is None


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


def converse(pieces: list[bytes], terms: Terms, *, bdat: bool) -> tuple[bytes, list[Event], list[Verdict]]:
    """Run a session against a server that says this, whatever it is asked; return all that came of it."""
    client, said, events = Client(terms, bdat=bdat), b"", []
    for piece in pieces:
        event = client.receive(piece)
        said += b"".join(client.to_send())
        if event is not None:
            events.append(event)
        if event is Event.START_TLS:
            break
        if event is Event.READY:
            client.begin(LETTER)
            said += b"".join(client.to_send())
    if client.ended is None and (event := client.lose(LOST)) is not None:
        events.append(event)
    return said, events, client.verdicts


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
    _, events, verdicts = converse(data.draw(splits(talk)), LOGIN, bdat=True)
    assert events.count(Event.DONE) <= 1
    if Event.DONE in events:
        assert len(verdicts) == len(LETTER.recipients)
    if Event.CLOSED in events:
        assert events[-1] is Event.CLOSED


@given(body=bodies, data=st.data())
@settings(max_examples=100)
def test_what_goes_out_after_data_reads_back_as_the_body(body: bytes, data: st.DataObject) -> None:
    client = begun(PIPELINE, Letter(MAIL, (ONE,), len(body)))
    client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    client.to_send()
    for piece in data.draw(splits(body)):
        client.send_body(piece)
    client.end_body()
    text, rest = DotReader().feed(b"".join(client.to_send()))
    assert (text, rest) == (body, b"")
