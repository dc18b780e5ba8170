"""Tests the hints that tell an operator which setting to change."""

from dataclasses import replace

import pytest

from mta.delivery.replies.hints import error_kind, operator_hint
from mta.message.outcome import ErrorKind, TryLater
from mta.routing.route import Credentials, Route, TlsRule
from mta.smtp.client.dialogue import FailureKind, SessionFailure
from mta.tls.client import Fault
from tests.fakes.smarthosts import SMARTHOST

SECRET = Credentials("the-user", "the-password")


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (
            FailureKind.NOT_TRUSTED,
            "self-signed certificate",
            (
                "certificate not trusted: self-signed certificate; mail stays queued. "
                "Have the operator of smtp.x.test replace it; SMARTHOST_TLS=require takes any certificate"
            ),
        ),
        (
            FailureKind.NO_TLS,
            "STARTTLS is not offered",
            (
                "TLS is required by SMARTHOST_TLS=verify, but: STARTTLS is not offered; mail stays queued. "
                "Try port 465; only SMARTHOST_TLS=opportunistic sends mail and password in clear"
            ),
        ),
        (
            FailureKind.TLS_FAILED,
            "wrong version number",
            (
                "TLS failed: wrong version number; mail stays queued. "
                "Try port 465; only SMARTHOST_TLS=opportunistic sends mail and password in clear"
            ),
        ),
        (
            FailureKind.LOGIN_REFUSED,
            "535 5.7.8 no",
            "login refused: 535 5.7.8 no; mail stays queued. Check SMARTHOST_USER and SMARTHOST_PASSWORD",
        ),
    ],
)
def test_the_text_says_what_failed_and_what_to_set(kind: FailureKind, text: str, words: str) -> None:
    route = Route("smtp.x.test", "1.2.3.4", 587, TlsRule.VERIFY, credentials=SECRET, smarthost=SMARTHOST)
    outcome = operator_hint(SessionFailure(kind, "4.7.0", text), route)
    assert outcome == TryLater(words, "smtp.x.test[1.2.3.4]:587", "4.7.0", kind=error_kind(kind))


@pytest.mark.parametrize(
    ("of_session", "kind"),
    [
        (FailureKind.LOST, ErrorKind.CONNECT),
        (FailureKind.TIMEOUT, ErrorKind.CONNECT),
        (FailureKind.NO_TLS, ErrorKind.TLS),
        (FailureKind.TLS_FAILED, ErrorKind.TLS),
        (FailureKind.NOT_TRUSTED, ErrorKind.TLS),
        (FailureKind.LOGIN_REFUSED, ErrorKind.LOGIN),
        (FailureKind.NO_MECHANISM, ErrorKind.LOGIN),
        (FailureKind.REFUSED, None),
        (FailureKind.CLOSING, None),
        (FailureKind.PROTOCOL, None),
        (FailureKind.LOOPS_BACK, None),
        (FailureKind.LOCAL, None),
    ],
)
def test_a_failed_session_has_the_kind_that_retry_rules_name(of_session: FailureKind, kind: ErrorKind | None) -> None:
    assert error_kind(of_session) is kind
    assert operator_hint(SessionFailure(of_session, "4.4.0", "x"), Route("h.test", "192.0.2.1", 25)).kind is kind


def test_another_host_that_refuses_the_session_speaks_for_itself() -> None:
    failure = SessionFailure(FailureKind.REFUSED, "4.7.1", "554 no")
    assert operator_hint(failure, Route("h.test", "192.0.2.1", 25)).text == "554 no"


def test_a_smarthost_that_refuses_the_session_is_asked_to_allow_this_host() -> None:
    text = operator_hint(
        SessionFailure(FailureKind.REFUSED, "4.7.1", "554 no"), Route("h.test", "192.0.2.1", 25, smarthost=SMARTHOST)
    ).text
    assert text.startswith(
        "the smarthost refuses this relay: 554 no; mail stays queued. Have it allow this host's address"
    )


def test_a_smarthost_without_tls_on_a_port_that_begins_with_it_is_tried_on_another_port() -> None:
    route = Route("h.test", "192.0.2.1", 2465, smarthost=SMARTHOST)
    text = operator_hint(SessionFailure(FailureKind.TLS_FAILED, "4.7.5", "not TLS"), route).text
    assert text == "TLS failed: not TLS; mail stays queued. Port 2465 begins with TLS: try port 2587"


@pytest.mark.parametrize(
    ("port", "words"), [(25, "587 or 465"), (465, "587"), (587, "465"), (2465, "2587"), (2525, "587 or 465")]
)
@pytest.mark.parametrize("kind", [FailureKind.NO_TLS, FailureKind.TLS_FAILED])
def test_without_tls_another_port_is_advised_before_the_clear(kind: FailureKind, port: int, words: str) -> None:
    smarthost = replace(SMARTHOST, tls=TlsRule.REQUIRE)
    route = Route("smtp.x.test", "1.2.3.4", port, TlsRule.REQUIRE, smarthost=smarthost)
    advice = operator_hint(SessionFailure(kind, "4.7.0", "x"), route).text.partition("mail stays queued. ")[2]
    assert advice == f"Try port {words}; only SMARTHOST_TLS=opportunistic sends mail in clear"


def test_a_failed_opportunistic_handshake_needs_no_advice() -> None:
    outcome = operator_hint(
        SessionFailure(FailureKind.TLS_FAILED, "4.7.5", "no shared cipher"), Route("h", "1.2.3.4", 465)
    )
    assert outcome.text == "TLS failed: no shared cipher"


@pytest.mark.parametrize("kind", list(FailureKind))
def test_no_advice_holds_a_secret_or_a_line_end(kind: FailureKind) -> None:
    text = operator_hint(
        SessionFailure(kind, "4.7.0", "x"), Route("h", "1.2.3.4", 25, TlsRule.VERIFY, credentials=SECRET)
    ).text
    assert "the-" not in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (FailureKind.LOGIN_REFUSED, "Check GMAIL_USER and GMAIL_PASSWORD"),
        (FailureKind.NO_TLS, "TLS is required, but: x; mail stays queued. Find out what keeps TLS from smtp.gmail.com"),
    ],
)
def test_the_advice_about_a_provider_names_its_own_settings(kind: FailureKind, words: str) -> None:
    login = Credentials("the-user", "the-password", "GMAIL")
    route = Route("smtp.gmail.com", "1.2.3.4", 587, TlsRule.VERIFY, credentials=login, smarthost=SMARTHOST)
    text = operator_hint(SessionFailure(kind, "4.7.0", "x"), route).text
    assert words in text
    assert "SMARTHOST_TLS" not in text


@pytest.mark.parametrize(
    ("fault", "own", "gmail"),
    [
        (
            Fault.EXPIRED,
            "Have the operator of smtp.x.test renew it; if that was done, check this",
            "Check this host's clock",
        ),
        (Fault.NOT_YET_VALID, "Check this host's clock", "Check this host's clock"),
        (Fault.OTHER_NAME, "set SMARTHOST_ADDRESS to it", "Another host answers in place of smtp.gmail.com"),
        (Fault.NO_NAME, "replace it by one that has its name", "Another host answers in place of smtp.gmail.com"),
        (Fault.UNKNOWN_ISSUER, "Name its authority in SMARTHOST_CA_FILE", "A proxy or firewall on the way answers"),
        (Fault.SELF_SIGNED, "name the certificate in SMARTHOST_CA_FILE", "A proxy or firewall on the way answers"),
        (Fault.WEAK, "replace it by one with RSA of 2048 bits", "A proxy or firewall on the way may have made it"),
        (Fault.UNUSABLE, "Have the operator of smtp.x.test replace it", "A proxy or firewall on the way may have made"),
    ],
)
def test_the_advice_about_a_certificate_follows_its_fault(fault: Fault, own: str, gmail: str) -> None:
    trouble = SessionFailure(FailureKind.NOT_TRUSTED, "4.7.5", "x")
    smarthost = Route("smtp.x.test", "1.2.3.4", 587, TlsRule.VERIFY, credentials=SECRET, smarthost=SMARTHOST)
    advice = operator_hint(trouble, smarthost, fault).text
    assert own in advice
    assert advice.endswith("; SMARTHOST_TLS=require takes any certificate")
    login = Credentials("the-user", "the-password", "GMAIL")
    advice = operator_hint(
        trouble, Route("smtp.gmail.com", "1.2.3.4", 587, TlsRule.VERIFY, credentials=login, smarthost=SMARTHOST), fault
    ).text
    assert gmail in advice
    assert "SMARTHOST_TLS" not in advice
    assert "SMARTHOST_ADDRESS" not in advice
