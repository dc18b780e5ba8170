"""Transactions of the client by DATA, BDAT and LMTP."""

import tracemalloc

import pytest

from mta.smtp.client.dialogue import Awaited, ClientEvent, FailureKind, SessionFailure
from mta.smtp.client.machine import ClientMachine
from mta.smtp.client.transaction import OutgoingMessage
from tests.drivers.client_machine import (
    BDAT,
    BODY,
    CHUNKING,
    LETTER,
    LMTP,
    MAIL,
    ONE,
    PIPELINE,
    PLAIN_SERVER,
    STORE,
    TERMS,
    THREE,
    TWO,
    Pieces,
    begun,
    codes,
    cut,
    ended,
    hear,
    play,
)

LOST = SessionFailure(FailureKind.LOST, "4.4.2", "connection lost before the reply to MAIL")


@cut
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
    assert str(client.recipient_replies[0]) == "250 2.0.0 taken"
    assert client.ready


@cut
def test_commands_go_in_one_write_to_a_server_with_pipelining(pieces: Pieces) -> None:
    client = begun(PIPELINE)
    replies = "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\n"
    body = "C: Subject: x\nC:\nC: ..dot\nC: .\nS: 250 taken\n! DONE"
    play(client, f"C: {MAIL}\nC: {ONE}\nC: {TWO}\nC: DATA\n{replies}{body}", pieces)
    assert codes(client) == [250, 250]


@cut
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


@cut
def test_a_body_given_in_pieces_waits_for_the_recipients(pieces: Pieces) -> None:
    client = begun(CHUNKING, OutgoingMessage(MAIL, (ONE,), 8))
    play(client, f"C: {MAIL}\nC: {ONE}\nS: 250 ok\nS: 250 ok\n! SEND_BODY\nC: BDAT 8 LAST", pieces)
    client.send_body(b".a\r\n")
    client.send_body(b".b\r\n")
    assert client.end_body() is None
    play(client, "C: .a\nC: .b\nS: 250 taken\n! DONE", pieces)


def test_dots_are_stuffed_across_pieces() -> None:
    client = begun(PIPELINE, OutgoingMessage(MAIL, (ONE,), 6))
    play(client, f"C: {MAIL}\nC: {ONE}\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n! SEND_BODY")
    for piece in (b"a", b"\r", b"\n", b".", b"\r\n"):
        client.send_body(piece)
    client.end_body()
    play(client, "C: a\nC: ..\nC: .\nS: 250 taken\n! DONE")


def test_a_body_of_another_size_than_announced_is_never_ended() -> None:
    client = begun(CHUNKING, OutgoingMessage(MAIL, (ONE,), 8))
    play(client, f"C: {MAIL}\nC: {ONE}\nS: 250 ok\nS: 250 ok\n! SEND_BODY\nC: BDAT 8 LAST")
    client.send_body(b"short\r\n")
    assert client.end_body() is ClientEvent.DONE
    assert codes(client) == [FailureKind.LOCAL]
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


@cut
def test_refused_recipients_do_not_harm_the_others(pieces: Pieces) -> None:
    client = begun(PIPELINE, OutgoingMessage(MAIL, (ONE, TWO, THREE), len(BODY), BODY))
    assert hear(client, "250 ok", "550 no", "250 ok", "451 later", "354 go", pieces=pieces).endswith(b"\r\n.\r\n")
    play(client, "S: 250 taken\n! DONE", pieces)
    assert codes(client) == [550, 250, 451]


@cut
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
    assert [str(verdict) for verdict in client.recipient_replies] == ["550 a", "550 b"]


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


@cut
def test_a_transaction_that_was_left_open_is_reset_before_the_next(pieces: Pieces) -> None:
    client = begun(CHUNKING)
    client.to_send()
    play(client, "S: 250 ok\nS: 550 no\nS: 550 no\nS: 554 none\n! DONE", pieces)
    client.begin(OutgoingMessage(MAIL, (ONE,), 2, b"\r\n"))
    play(client, f"C: RSET\nC: {MAIL}\nC: {ONE}\nC: BDAT 2 LAST\nC:", pieces)
    play(client, "S: 250 reset\nS: 250 ok\nS: 250 ok\nS: 250 taken\n! DONE", pieces)
    assert codes(client) == [250]
    client.begin(OutgoingMessage(MAIL, (ONE,), 2, b"\r\n"))
    play(client, f"C: {MAIL}\nC: {ONE}\nC: BDAT 2 LAST\nC:", pieces)


def test_a_body_in_memory_is_asked_for_while_it_is_held() -> None:
    for held in (False, True):
        client = ClientMachine(TERMS)
        play(client, PIPELINE)
        client.begin(OutgoingMessage(MAIL, (ONE,), 5, b".hi\r\n"), lambda held=held: held)
        client.to_send()
        assert client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n") is (ClientEvent.SEND_BODY if held else None)
        if held:
            assert client.to_send() == []
            client.send_body(b".hi\r\n")
            client.end_body()
        assert client.to_send() == [b"..hi\r\n", b".\r\n"]
        assert client.receive(b"250 taken\r\n") is ClientEvent.DONE


def test_reset_goes_alone_to_a_server_without_pipelining() -> None:
    client = begun(PLAIN_SERVER, OutgoingMessage(MAIL, (ONE,), 2, b"\r\n"))
    play(client, f"C: {MAIL}\nS: 250 ok\nC: {ONE}\nS: 550 a\n! DONE")
    client.begin(LETTER)
    play(client, f"C: RSET\nS: 250 ok\nC: {MAIL}")


@cut
def test_421_is_the_result_of_all_recipients_without_a_reply(pieces: Pieces) -> None:
    client = begun(PIPELINE)
    client.to_send()
    play(client, "S: 250 ok\nS: 550 no\nS: 421 4.3.2 going down\n! DONE", pieces)
    assert codes(client) == [550, FailureKind.CLOSING]
    assert client.recipient_replies[1] == SessionFailure(FailureKind.CLOSING, "4.3.2", "421 4.3.2 going down")
    assert ended(client).kind is FailureKind.CLOSING


def test_a_verdict_stands_when_421_follows_it() -> None:
    client = begun(CHUNKING)
    client.to_send()
    play(client, "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 taken\nS: 421 enough\n! DONE")
    assert codes(client) == [250, 250]
    assert ended(client).kind is FailureKind.CLOSING


def test_a_connection_lost_before_the_end_of_data_is_a_plain_loss() -> None:
    client = begun(PIPELINE)
    assert not client.answered
    assert client.fail(LOST) is ClientEvent.DONE
    assert client.recipient_replies == [LOST, LOST]
    assert not client.answered
    assert client.fail(LOST) is None


def test_a_connection_lost_after_the_end_of_data_may_have_brought_the_message() -> None:
    client = begun(CHUNKING)
    client.to_send()
    play(client, "S: 250 ok\nS: 550 no\nS: 250 ok")
    client.fail(LOST)
    assert codes(client) == [550, FailureKind.LOST]
    assert client.recipient_replies[1] == SessionFailure(
        FailureKind.LOST, "4.4.2", "connection lost after end of data; the message may have been taken"
    )


def test_a_timeout_after_the_end_of_data_says_so_too() -> None:
    client = begun(CHUNKING)
    client.fail(SessionFailure(FailureKind.TIMEOUT, "4.4.2", "no reply to MAIL within 300 seconds"))
    verdict = client.recipient_replies[0]
    assert isinstance(verdict, SessionFailure)
    assert verdict.text == "no reply to MAIL within 300 seconds; the message may have been taken"


@pytest.mark.parametrize(
    "trouble",
    [
        SessionFailure(FailureKind.PROTOCOL, "4.5.0", "protocol error: not a reply: 'hello'"),
        SessionFailure(FailureKind.LOCAL, "4.4.2", "connection closed by this relay"),
    ],
)
def test_any_other_failure_after_the_end_of_data_says_that_the_mail_may_be_there(trouble: SessionFailure) -> None:
    client = begun(CHUNKING)
    client.fail(trouble)
    assert client.recipient_replies[0] == SessionFailure(
        trouble.kind, trouble.status, f"{trouble.text}; the message may have been taken"
    )


@cut
def test_a_refusal_with_foreign_lines_or_endless_text_is_final(pieces: Pieces) -> None:
    for refusal in ("550-rejected\nS: for policy reasons\nS: 550 bye", f"550 {'x' * 3000}"):
        client = begun(PIPELINE)
        hear(client, "250 ok", "250 ok", "250 ok", "354 go", pieces=pieces)
        play(client, f"S: {refusal}\n! DONE", pieces)
        assert codes(client) == [550, 550]
        assert client.ready


@cut
@pytest.mark.parametrize("server", [PIPELINE, CHUNKING, PLAIN_SERVER])
def test_foreign_lines_before_the_answer_to_a_whole_message_do_not_have_it_sent_again(
    server: str, pieces: Pieces
) -> None:
    client = begun(server, OutgoingMessage(MAIL, (ONE,), len(BODY), BODY))
    hear(client, "250 ok", pieces=pieces)
    hear(client, "250 ok", pieces=pieces)
    if client.awaited is Awaited.DATA:
        hear(client, "354 go", pieces=pieces)
    play(client, "S: Scanning your message\nS: 250 2.0.0 taken\n! DONE", pieces)
    assert codes(client) == [250]
    assert client.ready


def test_a_server_that_closes_before_the_end_of_data_does_not_have_the_message() -> None:
    client = begun(CHUNKING)
    client.to_send()
    play(client, "S: 421 4.3.2 going\n! DONE")
    assert "may have been taken" not in ended(client).text


def test_a_refusal_in_the_middle_of_the_body_stands_and_ends_the_session() -> None:
    client = begun(PIPELINE, OutgoingMessage(MAIL, (ONE,), 8))
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
        "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: nonsense",
    ],
)
@cut
def test_replies_out_of_place_end_the_session_and_no_recipient_counts_as_delivered(
    replies: str, pieces: Pieces
) -> None:
    client = begun(PIPELINE)
    client.to_send()
    play(client, replies + "\n! DONE", pieces)
    assert codes(client) == [FailureKind.PROTOCOL, FailureKind.PROTOCOL]
    assert client.recipient_replies[0].status == "4.5.0"


def test_an_acceptance_before_the_body_is_complete_is_not_believed() -> None:
    client = begun(PIPELINE, OutgoingMessage(MAIL, (ONE,), 8))
    client.to_send()
    play(client, "S: 250 ok\nS: 250 ok\nS: 354 go\n! SEND_BODY")
    play(client, "S: 250 taken\n! DONE")
    assert codes(client) == [FailureKind.PROTOCOL]


# LMTP: a reply for each recipient after the dot (RFC 2033 section 4.2)


@cut
def test_each_recipient_gets_the_reply_that_a_mail_store_gives_it(pieces: Pieces) -> None:
    client = begun(STORE, OutgoingMessage(MAIL, (ONE, TWO, THREE), len(BODY), BODY), terms=LMTP)
    script = f"C: {MAIL}\nC: {ONE}\nC: {TWO}\nC: {THREE}\nC: DATA\n"
    script += "S: 250 ok\nS: 250 ok\nS: 550 no such user\nS: 250 ok\nS: 354 go\n"
    play(client, script + "C: Subject: x\nC:\nC: ..dot\nC: .\nS: 250 saved\nS: 452 full\n! DONE", pieces)
    assert codes(client) == [250, 550, 452]
    assert client.ready


def test_a_mail_store_is_not_done_before_its_last_reply() -> None:
    client = begun(STORE, terms=LMTP)
    hear(client, "250 ok", "250 ok", "250 ok", "354 go")
    assert client.receive(b"250 saved\r\n") is None
    assert client.receive(b"250 saved\r\n") is ClientEvent.DONE


def test_recipients_without_a_reply_are_tried_again_when_a_mail_store_goes_away() -> None:
    client = begun(STORE, terms=LMTP)
    hear(client, "250 ok", "250 ok", "250 ok", "354 go", "250 saved")
    assert client.fail(LOST) is ClientEvent.DONE
    assert codes(client) == [250, FailureKind.LOST]
    assert "may have been taken" in ended(client).text


@cut
def test_a_mail_store_with_no_recipient_refuses_data(pieces: Pieces) -> None:
    client = begun(STORE, terms=LMTP)
    client.to_send()
    play(client, "S: 250 ok\nS: 550 no\nS: 550 no\nS: 503 no recipients\n! DONE", pieces)
    assert codes(client) == [550, 550]
    assert client.ready


def test_a_mail_store_that_asks_for_a_body_without_recipients_ends_the_session() -> None:
    client = begun(STORE, terms=LMTP)
    client.to_send()
    play(client, "S: 250 ok\nS: 550 no\nS: 550 no\nS: 354 go\n! DONE")
    assert codes(client) == [550, 550]
    assert ended(client).kind is FailureKind.PROTOCOL


def test_a_refusal_before_the_end_of_the_body_is_the_first_recipients_only() -> None:
    client = begun(STORE, OutgoingMessage(MAIL, (ONE, TWO), 8), terms=LMTP)
    client.to_send()
    play(client, "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\n! SEND_BODY")
    play(client, "S: 552 5.2.2 mailbox full\n! DONE")
    assert codes(client) == [552, FailureKind.CLOSING]


def test_a_hundred_long_replies_are_not_kept_whole() -> None:
    client = begun(PIPELINE, OutgoingMessage("MAIL FROM:<>", ["RCPT TO:<a@b.test>"] * 100, 3, b"x\r\n"))
    hear(client, "250 ok")
    line = "\U0001f600" + "a" * 2030
    refusal = f"450-{line}\r\n" * 100 + f"450 {line}"
    tracemalloc.start()
    try:
        for _ in range(100):
            hear(client, refusal)
        held, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert client.awaited is Awaited.DATA
    # Four octets a character, for one of them takes as many.
    assert held < 100 * 20_000
