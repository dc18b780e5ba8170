"""The client before any mail: greeting, EHLO, STARTTLS and AUTH."""

import base64
from dataclasses import replace

import pytest

from mta.smtp.client.dialogue import ClientEvent, FailureKind, SessionFailure
from mta.smtp.client.handshake import Offer, Terms
from mta.smtp.client.machine import ClientMachine
from mta.smtp.sasl import scram
from mta.smtp.sasl.logins import CertificateLogin, ChannelBinding, PasswordLogin, TokenLogin
from tests.drivers.client_machine import LMTP, LOGIN, PLAIN_SERVER, TERMS, Pieces, cut, ended, hear, play


@cut
def test_a_server_without_extensions_is_ready_after_ehlo(pieces: Pieces) -> None:
    client = ClientMachine(TERMS)
    play(client, PLAIN_SERVER, pieces)
    assert client.ready
    assert client.offer == Offer()


def test_the_offer_is_read_in_any_case_and_unknown_words_are_ignored() -> None:
    client = ClientMachine(TERMS)
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
    client = ClientMachine(TERMS)
    play(client, f"S: 220 hi\nC: EHLO me.test\nS: 250-b.test\nS: 250 {word}\n! READY")
    assert client.offer.size == size


@pytest.mark.parametrize(("word", "offered"), [("requiretls", True), ("REQUIRETLS X", True), ("8BITMIME", False)])
def test_the_offer_of_requiretls_is_read(word: str, *, offered: bool) -> None:
    client = ClientMachine(TERMS)
    play(client, f"S: 220 hi\nC: EHLO me.test\nS: 250-b.test\nS: 250 {word}\n! READY")
    assert client.offer.requiretls is offered


@pytest.mark.parametrize(
    ("words", "limits"),
    [
        ("LIMITS RCPTMAX=20 MAILMAX=5", (20, 5)),
        ("limits mailmax=7", (None, 7)),
        ("LIMITS RCPTDOMAINMAX=1 RCPTMAX=0 MAILMAX=05", (None, None)),
        ("LIMITS RCPTMAX=x RCPTMAX=3 MAILMAX=1234567", (3, None)),
        ("LIMITS", (None, None)),
        ("RCPTMAX=20", (None, None)),
    ],
)
def test_announced_limits_are_read_and_malformed_ones_ignored(
    words: str, limits: tuple[int | None, int | None]
) -> None:
    client = ClientMachine(TERMS)
    play(client, f"S: 220 hi\nC: EHLO me.test\nS: 250-b.test\nS: 250 {words}\n! READY")
    assert (client.offer.most_recipients, client.offer.most_messages) == limits


@cut
def test_helo_follows_a_refused_ehlo(pieces: Pieces) -> None:
    client = ClientMachine(TERMS)
    play(client, "S: 220 hi\nC: EHLO me.test\nS: 502 what\nC: HELO me.test\nS: 250 b.test\n! READY", pieces)


@pytest.mark.parametrize(
    ("script", "kind", "status", "words"),
    [
        ("S: 554 5.7.1 go away\n! CLOSED", FailureKind.REFUSED, "4.7.1", "554 5.7.1 go away"),
        ("S: 450 busy\n! CLOSED", FailureKind.REFUSED, "4.3.2", "450 busy"),
        ("S: 421 4.7.0 busy\n! CLOSED", FailureKind.CLOSING, "4.7.0", "421 4.7.0 busy"),
        ("S: hello\n! CLOSED", FailureKind.PROTOCOL, "4.5.0", "protocol error: not a reply: 'hello'"),
        ("S: 220 hi\nC: EHLO me.test\nS: 450 no\n! CLOSED", FailureKind.REFUSED, "4.3.2", "450 no"),
        (
            "S: 220 hi\nC: EHLO me.test\nS: 500 no\nC: HELO me.test\nS: 550 no\n! CLOSED",
            FailureKind.REFUSED,
            "4.3.2",
            "550 no",
        ),
        (PLAIN_SERVER + "S: 421 idle\n! CLOSED", FailureKind.CLOSING, "4.3.2", "421 idle"),
        (
            PLAIN_SERVER + "S: 250 ok\n! CLOSED",
            FailureKind.PROTOCOL,
            "4.5.0",
            "protocol error: unexpected reply 250 ok",
        ),
    ],
)
@cut
def test_the_reason_for_the_end_of_a_session_is_given(
    script: str, kind: FailureKind, status: str, words: str, pieces: Pieces
) -> None:
    client = ClientMachine(TERMS)
    play(client, script, pieces)
    assert ended(client) == SessionFailure(kind, status, words)
    assert not client.ready


# Our own name in its reply (RFC 5321 section 6.3)


@pytest.mark.parametrize("name", ["me.test", "ME.Test at your service", "me.test."])
@pytest.mark.parametrize(
    "script",
    [
        "S: 220 hi\nC: EHLO me.test\nS: 250-{}\nS: 250 SIZE",
        "S: 220 hi\nC: EHLO me.test\nS: 500\nC: HELO me.test\nS: 250 {}",
    ],
)
def test_a_server_with_the_clients_name_gets_no_mail(script: str, name: str) -> None:
    client = ClientMachine(TERMS)
    play(client, script.format(name) + "\n! CLOSED")
    assert (ended(client).kind, ended(client).status) == (FailureKind.LOOPS_BACK, "4.4.6")


@pytest.mark.parametrize("name", ["me.test.example", "not-me.test", "hello me.test", ""])
def test_a_server_with_a_similar_name_gets_mail(name: str) -> None:
    client = ClientMachine(TERMS)
    play(client, f"S: 220 me.test\nC: EHLO me.test\nS: 250 {name}\n! READY")


def test_a_mail_store_on_this_host_may_bear_its_name() -> None:
    play(ClientMachine(LMTP), "S: 220 hi\nC: LHLO me.test\nS: 250 me.test\n! READY")


# STARTTLS


@cut
def test_a_mail_store_is_greeted_with_lhlo_inside_tls_too(pieces: Pieces) -> None:
    client = ClientMachine(LMTP)
    play(
        client,
        "S: 220 hi\nC: LHLO me.test\nS: 250-b.test\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n! START_TLS",
        pieces,
    )
    client.tls_started()
    play(client, "C: LHLO me.test\nS: 250-b.test\nS: 250 8BITMIME\n! READY", pieces)
    assert client.offer.eight_bit


def test_a_server_that_refuses_lhlo_is_not_a_mail_store() -> None:
    client = ClientMachine(LMTP)
    play(client, "S: 220 hi\nC: LHLO me.test\nS: 502 5.5.2 not implemented\n! CLOSED")
    assert ended(client).kind is FailureKind.REFUSED


TLS_SERVER = "S: 220 hi\nC: EHLO me.test\nS: 250-b.test\nS: 250-SIZE 5\nS: 250 STARTTLS\nC: STARTTLS\n"


@cut
def test_the_offer_in_clear_is_dropped_inside_tls(pieces: Pieces) -> None:
    client = ClientMachine(TERMS)
    play(client, TLS_SERVER + "S: 220 go\n! START_TLS", pieces)
    client.tls_started()
    assert client.offer.size is None
    play(client, "C: EHLO me.test\nS: 250 b.test\n! READY", pieces)
    assert client.offer.size is None


@pytest.mark.parametrize("extra", [b"250-b.test\r\n250 AUTH PLAIN\r\n", b"2", b"250-x\r\n"])
def test_plain_text_after_the_reply_to_starttls_ends_the_session(extra: bytes) -> None:
    client = ClientMachine(TERMS)
    play(client, TLS_SERVER)
    assert client.receive(b"220 go\r\n" + extra) is ClientEvent.CLOSED
    assert ended(client).kind is FailureKind.PROTOCOL


@pytest.mark.parametrize("refusal", ["454 4.7.0 not now", "502 no"])
@cut
def test_a_refused_starttls_goes_on_in_clear_unless_tls_is_required(refusal: str, pieces: Pieces) -> None:
    client = ClientMachine(TERMS)
    play(client, f"{TLS_SERVER}S: {refusal}\n! READY", pieces)
    strict = ClientMachine(Terms("me.test", tls_required=True))
    play(strict, f"{TLS_SERVER}S: {refusal}\n! CLOSED", pieces)
    assert ended(strict).kind is FailureKind.NO_TLS


def test_a_missing_starttls_ends_the_session_when_tls_is_required() -> None:
    client = ClientMachine(Terms("me.test", tls_required=True, login=PasswordLogin("u", "p")))
    play(client, "S: 220 hi\nC: EHLO me.test\nS: 250-b.test\nS: 250 AUTH PLAIN CRAM-MD5\n! CLOSED")
    assert ended(client) == SessionFailure(FailureKind.NO_TLS, "4.7.4", "STARTTLS is not offered")


def test_starttls_is_not_used_where_it_is_not_wanted_or_tls_runs_already() -> None:
    for client in (ClientMachine(Terms("me.test", starttls=False)), ClientMachine(TERMS, secured=True)):
        play(client, "S: 220 hi\nC: EHLO me.test\nS: 250-b.test\nS: 250 STARTTLS\n! READY")


# AUTH


def secured(terms: Terms, offered: str) -> ClientMachine:
    client = ClientMachine(terms, secured=True)
    hear(client, "220 hi")
    client.receive(f"250-b.test\r\n250 AUTH {offered}\r\n".encode())
    return client


@cut
def test_plain_logs_in_with_one_command(pieces: Pieces) -> None:
    play(secured(LOGIN, "LOGIN PLAIN"), "C: AUTH PLAIN AHVzZXIAcGFzczp3b3Jk\nS: 235 ok\n! READY", pieces)


@cut
def test_login_answers_two_questions(pieces: Pieces) -> None:
    script = "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: dXNlcg==\nS: 334 \nC: cGFzczp3b3Jk\nS: 235 ok\n! READY"
    play(secured(LOGIN, "LOGIN"), script, pieces)
    # Blanks and words behind the challenge, as some servers write them.
    script = "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6 user?\nC: dXNlcg==\nS: 334  ?\nC: cGFzczp3b3Jk\nS: 235 ok\n! READY"
    play(secured(LOGIN, "LOGIN"), script, pieces)


def test_cram_md5_comes_first_and_uses_the_whole_password() -> None:
    client = ClientMachine(Terms("me.test", login=PasswordLogin("tim", "tanstaaftanstaaf")))
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


@cut
def test_a_refused_mechanism_is_followed_by_the_next_and_the_last_refusal_ends_the_session(pieces: Pieces) -> None:
    client = secured(LOGIN, "PLAIN LOGIN")
    script = "C: AUTH PLAIN AHVzZXIAcGFzczp3b3Jk\nS: 535 5.7.8 no\nC: AUTH LOGIN\nS: 535 5.7.8 never\n! CLOSED"
    play(client, script, pieces)
    assert ended(client) == SessionFailure(FailureKind.LOGIN_REFUSED, "4.7.8", "535 5.7.8 never")


def test_a_temporary_refusal_of_the_login_ends_the_session_at_once() -> None:
    client = secured(LOGIN, "PLAIN LOGIN")
    play(client, "C: AUTH PLAIN AHVzZXIAcGFzczp3b3Jk\nS: 454 4.7.0 later\n! CLOSED")
    assert ended(client).kind is FailureKind.LOGIN_REFUSED


@pytest.mark.parametrize(
    "quoted",
    ["pass:word", "PASS:WORD", "AHVzZXIAcGFzczp3b3Jk", "cGFzczp3b3Jk", "dXNlcg==", "user", "user/pass:word"],
)
def test_a_login_that_a_server_repeats_is_masked(quoted: str) -> None:
    client = secured(LOGIN, "PLAIN")
    play(client, f"C: AUTH PLAIN AHVzZXIAcGFzczp3b3Jk\nS: 535 5.7.8 wrong: {quoted}!\n! CLOSED")
    text = ended(client).text
    assert quoted not in text
    assert text.startswith("535 5.7.8 wrong: ****")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("421 4.7.0 pass:word AHVzZXIAcGFzczp3b3Jk", "421 4.7.0 **** ****"),
        ("pass:word AHVzZXIAcGFzczp3b3Jk", "protocol error: not a reply: '**** ****'"),
    ],
)
def test_a_login_that_a_server_repeats_as_it_closes_is_masked(line: str, shown: str) -> None:
    client = secured(LOGIN, "PLAIN")
    play(client, f"C: AUTH PLAIN AHVzZXIAcGFzczp3b3Jk\nS: {line}\n! CLOSED")
    assert ended(client).text == shown
    assert ended(client).reply is None or "pass:word" not in str(ended(client).reply)


def test_a_challenge_out_of_place_that_repeats_the_password_is_masked() -> None:
    client = secured(LOGIN, "PLAIN")
    play(client, "C: AUTH PLAIN AHVzZXIAcGFzczp3b3Jk\nS: 334 cGFzczp3b3Jk\n! CLOSED")
    assert "cGFzczp3b3Jk" not in ended(client).text


def test_a_refused_login_stays_the_reason_when_the_server_then_hangs_up() -> None:
    client = secured(LOGIN, "PLAIN LOGIN")
    play(client, "C: AUTH PLAIN AHVzZXIAcGFzczp3b3Jk\nS: 535 5.7.8 no\nC: AUTH LOGIN")
    assert client.fail(SessionFailure(FailureKind.LOST, "4.4.2", "lost")) is ClientEvent.CLOSED
    assert ended(client).kind is FailureKind.LOGIN_REFUSED


@pytest.mark.parametrize("challenge", ["334 ", "334 !!!", "334 VXNl\xe9", "354 go on"])
def test_a_challenge_that_makes_no_sense_ends_the_session_without_an_answer(challenge: str) -> None:
    client = secured(LOGIN, "PLAIN")
    play(client, f"C: AUTH PLAIN AHVzZXIAcGFzczp3b3Jk\nS: {challenge}\n! CLOSED")
    assert ended(client).kind is FailureKind.PROTOCOL
    assert "pass" not in ended(client).text


def test_passwords_are_not_sent_in_clear_unless_that_is_allowed() -> None:
    hello = "S: 220 hi\nC: EHLO me.test\nS: 250-b.test\nS: 250 AUTH PLAIN LOGIN\n"
    careful = ClientMachine(LOGIN)
    play(careful, hello + "! CLOSED")
    assert ended(careful).kind is FailureKind.NO_MECHANISM
    assert "offered LOGIN PLAIN; usable SCRAM-SHA-256 or CRAM-MD5 only" in ended(careful).text
    told = ClientMachine(Terms("me.test", login=LOGIN.login, login_in_clear=True))
    play(told, hello + "C: AUTH PLAIN AHVzZXIAcGFzczp3b3Jk\nS: 235 ok\n! READY")


def test_secrets_do_not_show_in_values() -> None:
    assert "pass" not in repr(LOGIN)
    assert "user" not in repr(LOGIN)


# AUTH with tokens, certificates and SCRAM

TOKEN = Terms("me.test", login=TokenLogin("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="))
BEARER = "bixhPXVzZXJAZXhhbXBsZS5jb20sAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
XOAUTH2 = "dXNlcj11c2VyQGV4YW1wbGUuY29tAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
# In JSON: status 401, schemes "bearer mac", scope https://mail.google.com/.
REFUSAL = "eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIG1hYyIsInNjb3BlIjoiaHR0cHM6Ly9tYWlsLmdvb2dsZS5jb20vIn0="


@cut
def test_a_token_goes_by_oauthbearer_before_xoauth2(pieces: Pieces) -> None:
    play(secured(TOKEN, "XOAUTH2 PLAIN OAUTHBEARER"), f"C: AUTH OAUTHBEARER {BEARER}\nS: 235 ok\n! READY", pieces)


@cut
def test_the_refusal_of_a_token_is_answered_before_the_reply_comes(pieces: Pieces) -> None:
    client = secured(TOKEN, "OAUTHBEARER XOAUTH2")
    script = f"""
        C: AUTH OAUTHBEARER {BEARER}
        S: 334 {REFUSAL}
        C: AQ==
        S: 535 5.7.8 no
        C: AUTH XOAUTH2 {XOAUTH2}
        S: 334 {REFUSAL}
        C:
        S: 535-5.7.8 no
        S: 535 5.7.8 never
        ! CLOSED
        """
    play(client, script, pieces)
    text = "535 5.7.8 no never (XOAUTH2: status 401, scope https://mail.google.com/)"
    assert ended(client) == SessionFailure(FailureKind.LOGIN_REFUSED, "4.7.8", text)


@pytest.mark.parametrize("offered", ["LOGIN", "LOGIN PLAIN CRAM-MD5 SCRAM-SHA-256 SCRAM-SHA-256-PLUS EXTERNAL"])
def test_a_token_is_not_shown_to_a_server_without_a_mechanism_for_tokens(offered: str) -> None:
    client = secured(TOKEN, offered)
    assert client.to_send() == []
    assert ended(client).kind is FailureKind.NO_MECHANISM
    assert ended(client).text.endswith("usable OAUTHBEARER or XOAUTH2")


@pytest.mark.parametrize("login", [TOKEN.login, CertificateLogin()])
def test_a_token_and_external_are_not_used_in_clear_even_if_a_password_may_be(login: TokenLogin) -> None:
    client = ClientMachine(Terms("me.test", login=login, login_in_clear=True))
    play(client, "S: 220 hi\nC: EHLO me.test\nS: 250-b.test\nS: 250 AUTH XOAUTH2 OAUTHBEARER EXTERNAL\n! CLOSED")
    assert ended(client).kind is FailureKind.NO_MECHANISM
    assert "usable none, since the connection is in clear" in ended(client).text


@pytest.mark.parametrize("challenge", ["334 ", "334 Z28gb24=", "334 go on"])
def test_a_response_too_long_for_a_command_line_waits_for_a_challenge(challenge: str) -> None:
    client = secured(Terms("me.test", login=TokenLogin("u", "t" * 2000)), "XOAUTH2")
    response = base64.b64encode(b"user=u\1auth=Bearer " + b"t" * 2000 + b"\1\1").decode()
    play(client, f"C: AUTH XOAUTH2\nS: {challenge}\nC: {response}\nS: 235 ok\n! READY")


def test_a_response_that_just_fits_goes_with_the_command() -> None:
    # 512 octets with the line end (RFC 5321 section 4.5.3.1.4): "AUTH XOAUTH2 " and 496 of base64.
    for octets, fits in ((351, True), (352, False)):
        client = secured(Terms("me.test", login=TokenLogin("u", "t" * octets)), "XOAUTH2")
        sent = b"".join(client.to_send())
        assert sent.startswith(b"AUTH XOAUTH2 dXNl") == fits
        assert len(sent) <= 512


@pytest.mark.parametrize(
    ("quoted", "shown"),
    [
        ("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", "****"),
        (XOAUTH2, "****"),
        (XOAUTH2[:50], "****"),
        (XOAUTH2[60:], "****"),
        ("user@example.com", "****"),
    ],
)
def test_a_token_that_a_server_repeats_is_masked(quoted: str, shown: str) -> None:
    client = secured(TOKEN, "XOAUTH2")
    play(client, f"C: AUTH XOAUTH2 {XOAUTH2}\nS: 535 5.7.8 bad: {quoted}\n! CLOSED")
    assert ended(client).text == f"535 5.7.8 bad: {shown}"


def test_a_token_in_the_reason_for_a_refusal_is_masked() -> None:
    client = secured(TOKEN, "XOAUTH2")
    reason = base64.b64encode(b'{"status": "bad vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="}').decode()
    play(client, f"C: AUTH XOAUTH2 {XOAUTH2}\nS: 334 {reason}\nC:\nS: 535 no\n! CLOSED")
    assert ended(client).text == "535 no (XOAUTH2: status bad ****)"


@pytest.mark.parametrize(("user", "initial"), [("", "="), ("me", "bWU=")])
def test_external_logs_in_by_the_certificate(user: str, initial: str) -> None:
    terms = Terms("me.test", login=CertificateLogin(user))
    play(secured(terms, "PLAIN EXTERNAL"), f"C: AUTH EXTERNAL {initial}\nS: 235 ok\n! READY")


def test_a_certificate_needs_no_auth_at_a_server_that_does_not_offer_external() -> None:
    client = secured(Terms("me.test", login=CertificateLogin()), "PLAIN LOGIN")
    assert client.ready
    assert client.to_send() == []


def test_a_refused_certificate_ends_the_session() -> None:
    client = secured(Terms("me.test", login=CertificateLogin()), "EXTERNAL PLAIN")
    play(client, "C: AUTH EXTERNAL =\nS: 535 5.7.8 unknown certificate\n! CLOSED")
    assert ended(client).kind is FailureKind.LOGIN_REFUSED


EXPORTER = ChannelBinding("tls-exporter", bytes(32))
BOUND = Terms("me.test", login=PasswordLogin("user", "pencil"), binding=lambda: EXPORTER)


def answered(client: ClientMachine, command: str) -> str:
    """Return the text of the SCRAM message that the client sends, without base64."""
    sent = b"".join(client.to_send()).decode()
    assert sent.startswith(command)
    return base64.b64decode(sent.removeprefix(command)).decode()


def scram_server(client: ClientMachine, command: str) -> bytes:
    """Take part in SCRAM up to the client's proof; return the server's signature."""
    secret = scram.derive("pencil", b"salt")
    header, bare = answered(client, command).split("n=", 1)
    first = f"r={bare.partition('r=')[2]}server,s=c2FsdA==,i=4096"
    client.receive(b"334 " + base64.b64encode(first.encode()) + b"\r\n")
    without_proof = answered(client, "").rpartition(",p=")[0]
    bound = header.encode() + (EXPORTER.data if header.startswith("p=") else b"")
    assert without_proof.startswith(f"c={base64.b64encode(bound).decode()},")
    message = f"n={bare},{first},{without_proof}".encode()
    return b"v=" + base64.b64encode(scram.signature(secret.server_key, message))


@pytest.mark.parametrize(
    ("terms", "offered", "mechanism"),
    [
        (BOUND, "SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN", "SCRAM-SHA-256-PLUS"),
        (BOUND, "SCRAM-SHA-256 PLAIN CRAM-MD5", "SCRAM-SHA-256"),
        (replace(BOUND, binding=None), "SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN", "SCRAM-SHA-256"),
        (replace(BOUND, binding=lambda: None), "SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN", "SCRAM-SHA-256"),
    ],
)
def test_scram_logs_in_bound_to_the_connection_where_that_is_possible(
    terms: Terms, offered: str, mechanism: str
) -> None:
    client = secured(terms, offered)
    proof = scram_server(client, f"AUTH {mechanism} ")
    client.receive(b"334 " + base64.b64encode(proof) + b"\r\n")
    assert b"".join(client.to_send()) == b"\r\n"
    assert client.receive(b"235 ok\r\n") is ClientEvent.READY


def test_a_server_that_accepts_a_login_without_its_proof_is_not_believed() -> None:
    for rounds in (0, 1):
        client = secured(BOUND, "SCRAM-SHA-256-PLUS PLAIN")
        if rounds:
            scram_server(client, "AUTH SCRAM-SHA-256-PLUS ")
        assert client.receive(b"235 ok\r\n") is ClientEvent.CLOSED
        assert ended(client).kind is FailureKind.PROTOCOL
        assert "accepts the login without its part of SCRAM-SHA-256-PLUS" in ended(client).text


@pytest.mark.parametrize("refusal", ["535 5.7.8 no", "504 5.5.4 what", "454 4.7.0 later"])
def test_a_refused_plus_is_not_followed_by_a_weaker_mechanism(refusal: str) -> None:
    client = secured(BOUND, "SCRAM-SHA-256-PLUS SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN")
    scram_server(client, "AUTH SCRAM-SHA-256-PLUS ")
    client.receive(b"334 " + base64.b64encode(b"e=channel-bindings-dont-match") + b"\r\n")
    assert b"".join(client.to_send()) == b"\r\n"
    assert client.receive(f"{refusal}\r\n".encode()) is ClientEvent.CLOSED
    assert client.to_send() == []
    text = f"{refusal} (SCRAM-SHA-256-PLUS: channel-bindings-dont-match)"
    assert (ended(client).kind, ended(client).text) == (FailureKind.LOGIN_REFUSED, text)


def test_a_wrong_proof_by_the_server_is_not_followed_by_a_weaker_mechanism() -> None:
    client = secured(BOUND, "SCRAM-SHA-256 PLAIN")
    scram_server(client, "AUTH SCRAM-SHA-256 ")
    assert client.receive(b"334 " + base64.b64encode(b"v=" + base64.b64encode(bytes(32))) + b"\r\n")
    assert ended(client).kind is FailureKind.PROTOCOL
    assert "the server does not know the password" in ended(client).text


def test_the_binding_is_asked_for_only_where_the_login_can_be_bound() -> None:
    asked = []
    terms = Terms("me.test", login=BOUND.login, login_in_clear=True, binding=lambda: asked.append(1))
    secured(terms, "PLAIN LOGIN CRAM-MD5")
    secured(replace(terms, login=TOKEN.login), "SCRAM-SHA-256-PLUS XOAUTH2")
    secured(replace(terms, login=None), "SCRAM-SHA-256-PLUS")
    clear = ClientMachine(terms)
    hear(clear, "220 hi")
    clear.receive(b"250-b.test\r\n250 AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256\r\n")
    assert answered(clear, "AUTH SCRAM-SHA-256 ").startswith("n,,")
    assert asked == []
