"""Tests how requests become SMTP commands, and replies become outcomes."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness import mail
from mta.delivery.remote.commands import ONE_WRITE_BYTES, outcome, outcomes, prepare_transaction, unprotected_outcomes
from mta.delivery.remote.interface import DeliveryRequest
from mta.message.body import Body, MemoryBody
from mta.message.envelope import BodyType, Envelope, Notify, Recipient, Ret, TlsDemand
from mta.message.outcome import Delivered, ErrorKind, Failed, Outcome, TryLater
from mta.queue.interface import Pending, QueueId
from mta.smtp.address import Address, parse_address
from mta.smtp.client.dialogue import FailureKind, SessionFailure
from mta.smtp.client.handshake import Offer
from mta.smtp.replies import Reply, reply

ALL = Offer(pipelining=True, chunking=True, dsn=True, eight_bit=True, smtputf8=True, size=0)
HOST = "mx.test[192.0.2.1]:25"
GREEK = Recipient(Address("δοκιμή", "b.test"))


def request(envelope: Envelope, body: Body | None = None) -> DeliveryRequest:
    pending = tuple(Pending(index, each) for index, each in enumerate(envelope.recipients))
    return DeliveryRequest(QueueId("x"), envelope, body or MemoryBody(mail.BODY), pending)


def commands(offer: Offer, envelope: Envelope) -> list[str]:
    message = prepare_transaction(offer, request(envelope), HOST).message
    assert message is not None
    return [message.mail, *message.recipients]


FULL = replace(
    mail.envelope(
        Recipient(Address("bob", "b.test"), Notify.SUCCESS | Notify.DELAY, "rfc822;bob+x@b.test"),
        Recipient(Address("a b", "b.test"), Notify.NEVER),
    ),
    body_type=BodyType.EIGHT_BIT,
    ret=Ret.HEADERS,
    envid="a=1",
)


def test_parameters_are_sent_if_offered() -> None:
    assert commands(ALL, FULL) == [
        f"MAIL FROM:<alice@a.test> SIZE={len(mail.BODY)} BODY=8BITMIME RET=HDRS ENVID=a+3D1",
        "RCPT TO:<bob@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob+2Bx@b.test",
        'RCPT TO:<"a b"@b.test> NOTIFY=NEVER',
    ]


def test_requiretls_is_passed_on_if_the_sender_demands_it_and_the_host_offers_it() -> None:
    offering = replace(ALL, requiretls=True)
    demanding = replace(mail.envelope("bob@b.test"), tls_demand=TlsDemand.REQUIRED)
    assert commands(offering, demanding)[0] == f"MAIL FROM:<alice@a.test> SIZE={len(mail.BODY)} REQUIRETLS"
    for demand in (None, TlsDemand.OPTIONAL):
        assert "REQUIRETLS" not in commands(offering, replace(demanding, tls_demand=demand))[0]


def test_a_host_must_prove_its_name_and_offer_requiretls_to_get_a_message_that_demands_it() -> None:
    asked = request(replace(mail.envelope("bob@b.test", "eve@b.test"), tls_demand=TlsDemand.REQUIRED))
    offering = replace(ALL, requiretls=True)
    assert unprotected_outcomes(offering, asked, HOST, proven=True) == {}
    for offer, proven, status in ((ALL, True, "4.7.30"), (offering, False, "4.7.10"), (ALL, False, "4.7.10")):
        told = unprotected_outcomes(offer, asked, HOST, proven=proven)
        assert set(told) == {0, 1}
        assert isinstance(told[0], TryLater)
        assert (told[0].host, told[0].status) == (HOST, status)


def test_parameters_are_not_sent_if_not_offered() -> None:
    assert commands(Offer(), FULL) == [
        "MAIL FROM:<alice@a.test>",
        "RCPT TO:<bob@b.test>",
        'RCPT TO:<"a b"@b.test>',
    ]


def test_the_null_path_is_empty() -> None:
    assert commands(Offer(), mail.envelope("b@b.test", sender=None))[0] == "MAIL FROM:<>"


def test_smtputf8_is_requested_only_if_an_address_or_the_header_needs_it() -> None:
    needs = [
        mail.envelope("b@b.test", GREEK),
        replace(mail.envelope("b@b.test"), sender=GREEK.address),
        replace(mail.envelope("b@b.test"), smtputf8=True),
    ]
    for envelope in needs:
        assert " SMTPUTF8" in commands(ALL, envelope)[0]
    assert " SMTPUTF8" not in commands(ALL, mail.envelope("b@b.test"))[0]


UTF8 = replace(mail.envelope("b@b.test"), smtputf8=True)
NO_UTF8 = replace(ALL, smtputf8=False)


@pytest.mark.parametrize(
    "body",
    [
        mail.BODY,
        b"Subject: x\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n",
        b"Received: from a\r\n\tfor <j\xc3\xb6rg@b.test>; x\r\ndelivered-to: j\xc3\xb6rg@b.test\r\nSubject: x\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: a/b; n=\xc3\xbc\r\n\r\nx\r\n--b--\r\n",
        b"Content-Type: message/global\r\n\r\nSubject: \xc3\xbc\r\n\r\nx\r\n",
        b"\r\n\xc3\xbc\r\n",
    ],
)
def test_an_ascii_header_needs_no_smtputf8_even_if_the_client_declared_it(body: bytes) -> None:
    prepared = prepare_transaction(NO_UTF8, request(UTF8, MemoryBody(body)), HOST)
    assert prepared.message is not None
    assert prepared.message.mail == f"MAIL FROM:<alice@a.test> SIZE={len(body)}"
    assert prepared.outcomes == {}


def test_the_header_of_a_large_message_is_judged_too() -> None:
    for first, needed in ((b"Subject: x", False), (b"Subject: \xc3\xbc", True)):
        body = MemoryBody(first + b"\r\nX: " + b"x" * ONE_WRITE_BYTES + b"\r\n\r\n\xc3\xbc\r\n")
        assert (prepare_transaction(NO_UTF8, request(UTF8, body), HOST).message is None) is needed


def test_a_header_that_cannot_be_read_is_tried_later() -> None:
    class Broken:
        size = 10

        def chunks(self) -> Iterator[bytes]:
            raise OSError(5, "Input/output error")

    (outcome,) = prepare_transaction(NO_UTF8, request(UTF8, Broken()), HOST).outcomes.values()
    assert isinstance(outcome, TryLater)


@pytest.mark.parametrize(
    ("envelope", "body", "words"),
    [
        (replace(mail.envelope("b@b.test"), sender=GREEK.address), mail.BODY, "the sender <δοκιμή@b.test> needs"),
        (UTF8, "Subject: Grüße\r\n\r\nx\r\n".encode(), "letters outside ASCII, needs SMTPUTF8, which is not offered"),
        (UTF8, "From: jörg@b.test\r\n".encode(), "letters outside ASCII"),
    ],
)
def test_a_message_that_needs_smtputf8_fails_where_it_is_not_offered(
    envelope: Envelope, body: bytes, words: str
) -> None:
    prepared = prepare_transaction(NO_UTF8, request(envelope, MemoryBody(body)), HOST)
    assert prepared.message is None
    (failed,) = prepared.outcomes.values()
    assert isinstance(failed, Failed)
    assert (failed.status, failed.host) == ("5.6.7", HOST)
    assert words in failed.text


def test_a_domain_is_sent_as_a_labels() -> None:
    envelope = replace(
        UTF8, sender=parse_address("info@bücher.test"), recipients=(Recipient(parse_address("x@grün.test")),)
    )
    assert commands(NO_UTF8, envelope) == [
        f"MAIL FROM:<info@xn--bcher-kva.test> SIZE={len(mail.BODY)}",
        "RCPT TO:<x@xn--grn-ioa.test>",
    ]


def test_a_recipient_that_needs_smtputf8_fails_alone() -> None:
    offer = replace(ALL, smtputf8=False)
    prepared = prepare_transaction(offer, request(mail.envelope(GREEK, "b@b.test")), HOST)
    assert prepared.message is not None
    assert list(prepared.message.recipients) == ["RCPT TO:<b@b.test>"]
    done = outcomes(prepared, [reply(250, "2.0.0", "ok")], HOST, dsn=False)
    assert {index: type(each) for index, each in done.items()} == {0: Failed, 1: Delivered}
    assert list(prepared.outcomes) == [0]
    assert prepare_transaction(offer, request(mail.envelope(GREEK)), HOST).message is None


@pytest.mark.parametrize(
    ("size", "fits"), [(None, True), (0, True), (len(mail.BODY), True), (len(mail.BODY) - 1, False)]
)
def test_a_message_larger_than_the_offered_size_fails_unsent(size: int | None, fits: bool) -> None:
    prepared = prepare_transaction(replace(ALL, size=size), request(mail.envelope("b@b.test", "c@b.test")), HOST)
    assert (prepared.message is not None) is fits
    assert {each.status for each in prepared.outcomes.values()} == (set() if fits else {"5.3.4"})


def test_only_small_bodies_are_in_the_prepared_message() -> None:
    for size, inside in ((ONE_WRITE_BYTES, True), (ONE_WRITE_BYTES + 1, False)):
        message = prepare_transaction(ALL, request(mail.envelope("b@b.test"), MemoryBody(b"x" * size)), HOST).message
        assert message is not None
        assert (message.body is not None) is inside


def test_a_body_that_cannot_be_read_is_tried_later() -> None:
    class Broken:
        size = 10

        def chunks(self) -> Iterator[bytes]:
            raise OSError(5, "Input/output error")

    prepared = prepare_transaction(ALL, request(mail.envelope("b@b.test"), Broken()), HOST)
    assert prepared.message is None
    assert prepared.outcomes == {0: TryLater("cannot read the message body: Input/output error", status="4.3.0")}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (reply(250, "2.6.0", "queued as 1"), Delivered("250 2.6.0 queued as 1", HOST, "2.6.0")),
        (reply(250, "", "ok"), Delivered("250 ok", HOST, "2.0.0")),
        (reply(450, "4.2.1", "busy", "really"), TryLater("450 4.2.1 busy really", HOST, "4.2.1")),
        (reply(450, "", "busy"), TryLater("450 busy", HOST, "4.0.0")),
        (reply(550, "5.1.1", "no such user"), Failed("550 5.1.1 no such user", HOST, "5.1.1")),
        (reply(550, "", "no"), Failed("550 no", HOST, "5.0.0")),
        (reply(552, "5.5.3", "too many"), TryLater("552 5.5.3 too many", HOST, "4.5.3")),
        (reply(552, "5.2.2", "mailbox full"), Failed("552 5.2.2 mailbox full", HOST, "5.2.2")),
        (
            SessionFailure(FailureKind.LOST, "4.4.2", "connection lost"),
            TryLater("connection lost", HOST, "4.4.2", kind=ErrorKind.CONNECT),
        ),
    ],
)
def test_every_reply_has_one_outcome(reply: Reply | SessionFailure, expected: Outcome) -> None:
    assert outcome(reply, HOST) == expected


def test_a_refusal_with_advice_is_tried_later_and_shows_the_advice() -> None:
    refused = reply(550, "5.7.1", "not owned by user")
    assert outcome(refused, HOST, advise=lambda _: "ask") == TryLater(
        "550 5.7.1 not owned by user; ask", HOST, "4.7.1", "ask"
    )
    assert outcome(reply(530, "", "login"), HOST, advise=lambda _: "ask") == TryLater(
        "530 login; ask", HOST, "4.7.0", "ask"
    )
    for other in (reply(250, "", "ok"), reply(450, "", "busy")):
        assert outcome(other, HOST, advise=lambda _: "ask") == outcome(other, HOST)


def test_success_reports_are_left_to_a_server_that_offers_dsn() -> None:
    delivered = outcome(reply(250, "", "ok"), HOST, dsn=True)
    assert isinstance(delivered, Delivered)
    assert delivered.reports_success


def test_a_value_that_grew_too_long_by_its_encoding_is_left_out() -> None:
    envelope = mail.envelope(Recipient(Address("b", "b.test"), original="utf-8;" + "\u00fc" * 200))
    assert commands(ALL, replace(envelope, envid="+" * 100)) == [
        f"MAIL FROM:<alice@a.test> SIZE={len(mail.BODY)}",
        "RCPT TO:<b@b.test>",
    ]


def test_an_original_recipient_goes_to_a_host_without_smtputf8_in_ascii() -> None:
    originals = {
        "utf-8;info@b\u00fccher.test": "rfc822;info@xn--bcher-kva.test",
        "utf-8;j\u00f6rg@b.test": "utf-8;j\\x{F6}rg@b.test",
    }
    for original, prepared in originals.items():
        envelope = mail.envelope(Recipient(Address("b", "b.test"), original=original))
        assert commands(replace(ALL, smtputf8=False), envelope)[1] == f"RCPT TO:<b@b.test> ORCPT={prepared}"


def test_octets_outside_ascii_in_a_header_are_sent_if_the_client_did_not_declare_smtputf8() -> None:
    body = MemoryBody("Subject: Grüße\r\n\r\nx\r\n".encode())
    assert prepare_transaction(NO_UTF8, request(mail.envelope("b@b.test"), body), HOST).message is not None
