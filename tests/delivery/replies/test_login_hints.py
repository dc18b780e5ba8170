"""Tests the hints about a login that a smarthost refuses."""

import pytest

from mta.connection_errors import handshake_error_text
from mta.delivery.replies.hints import operator_hint
from mta.delivery.replies.smarthost_refusals import OwnSmarthost
from mta.routing.route import AnyCredentials, CertificateCredentials, Credentials, Route, TlsRule, TokenCredentials
from mta.smtp.client.dialogue import FailureKind, SessionFailure
from mta.smtp.replies import Reply
from tests.fakes.smarthosts import SMARTHOST

PASSWORD = Credentials("the-user", "the-password")
O365, GMAIL, OWN = (TokenCredentials("the-user", settings) for settings in ("O365", "GMAIL", "SMARTHOST"))
CERTIFICATE = CertificateCredentials()
TENANT = (
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit"
    " https://aka.ms/smtp_auth_disabled for more information. [AM0PR0.EURPRD.PROD.OUTLOOK.COM]"
)
BASIC = "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [X.PROD.OUTLOOK.COM]"
CRITERIA = (
    "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully."
)
NO_RIGHT = "535 5.7.3 Authentication unsuccessful [AM0PR0.EURPRD.PROD.OUTLOOK.COM]"
GOOGLE = (
    "535 5.7.8 Username and Password not accepted. For more information, go to"
    " https://support.google.com/mail/?p=BadCredentials x-20020 - gsmtp"
)
GOOGLE_TOKEN = f"{GOOGLE} (XOAUTH2: status 400, scope https://mail.google.com/)"


def hint(kind: FailureKind, text: str, credentials: AnyCredentials, rule: TlsRule = TlsRule.VERIFY) -> str:
    """Return the advice, which is the text behind that of the failure."""
    route = Route("smtp.x.test", "192.0.2.1", 587, rule, credentials=credentials, smarthost=SMARTHOST)
    whole = operator_hint(SessionFailure(kind, "4.7.8", text), route).text
    assert "the-" not in whole
    assert "\n" not in whole
    before, separator, advice = whole.partition("; mail stays queued. ")
    assert separator
    assert before.endswith(text)
    return advice


@pytest.mark.parametrize(
    ("text", "credentials", "words"),
    [
        (TENANT, O365, "allow authenticated SMTP for the mailbox in O365_USER (Set-CASMailbox"),
        (TENANT, PASSWORD, "allow authenticated SMTP for the mailbox in SMARTHOST_USER (Set-CASMailbox"),
        (BASIC, PASSWORD, "Microsoft 365 accepts no password here: log in with a token, by O365_USER"),
        ("550 5.7.30 Basic authentication is not supported for Client Submission.", PASSWORD, "by O365_USER and"),
        (BASIC, O365, "See that Microsoft 365 allows authenticated SMTP for the mailbox in O365_USER"),
        (CRITERIA, O365, "no rule of conditional access forbids the login"),
        (CRITERIA, PASSWORD, "Check SMARTHOST_USER and SMARTHOST_PASSWORD; a rule of Microsoft 365"),
        (NO_RIGHT, O365, "gives no right on the mailbox in O365_USER"),
        (NO_RIGHT, PASSWORD, "Check SMARTHOST_USER and SMARTHOST_PASSWORD"),
        (GOOGLE, Credentials("the-user", "the-password", "GMAIL"), "Google takes an app password here"),
        (GOOGLE, GMAIL, "not for the account in GMAIL_USER"),
        (GOOGLE_TOKEN, GMAIL, "https://mail.google.com/; a service account needs that scope"),
        (
            "535 no (SCRAM-SHA-256-PLUS: other-error)",
            PASSWORD,
            "SMARTHOST_PASSWORD; if they are right, a proxy ends TLS",
        ),
        ("535 no", OWN, "the smarthost does not take it: check SMARTHOST_USER and the rights"),
        ("535 no", CERTIFICATE, "Check SMARTHOST_CERTIFICATE_PATH and SMARTHOST_KEY_PATH"),
    ],
)
def test_the_words_of_a_provider_have_advice_of_their_own(text: str, credentials: AnyCredentials, words: str) -> None:
    assert words in hint(FailureKind.LOGIN_REFUSED, text, credentials)


@pytest.mark.parametrize(
    ("credentials", "words"),
    [
        (O365, "The token was not shown to it. Ask its operator for one of these"),
        (PASSWORD, "Ask the smarthost's operator for one of these, or unset SMARTHOST_USER and SMARTHOST_PASSWORD"),
    ],
)
def test_the_advice_without_a_mechanism_follows_the_login(credentials: AnyCredentials, words: str) -> None:
    text = "no usable login mechanism: offered LOGIN; usable OAUTHBEARER or XOAUTH2"
    assert hint(FailureKind.NO_MECHANISM, text, credentials).startswith(words)


def test_a_password_is_replaced_by_a_token_where_only_tokens_are_accepted() -> None:
    text = "no usable login mechanism: offered OAUTHBEARER XOAUTH2; usable SCRAM-SHA-256, CRAM-MD5, PLAIN or LOGIN"
    assert hint(FailureKind.NO_MECHANISM, text, PASSWORD).startswith("It accepts tokens: set SMARTHOST_TOKEN_URL")


@pytest.mark.parametrize("credentials", [OWN, CERTIFICATE])
def test_tls_is_the_remedy_where_the_login_is_never_used_in_clear(credentials: AnyCredentials) -> None:
    text = "no usable login mechanism: offered XOAUTH2 EXTERNAL; usable none, since the connection is in clear"
    assert hint(FailureKind.NO_MECHANISM, text, credentials) == "Set SMARTHOST_TLS=verify"


@pytest.mark.parametrize(
    "reason",
    [
        "tlsv13 alert certificate required",
        "tlsv1 alert unknown ca",
        "ssl/tls alert bad certificate",
        "sslv3 alert certificate expired",
        "sslv3 alert certificate unknown",
    ],
)
@pytest.mark.parametrize("rule", [TlsRule.OPPORTUNISTIC, TlsRule.VERIFY])
def test_a_smarthost_that_does_not_accept_the_certificate_is_told_from_others(reason: str, rule: TlsRule) -> None:
    advice = hint(FailureKind.TLS_FAILED, handshake_error_text(reason), CERTIFICATE, rule)
    assert advice == "Check SMARTHOST_CERTIFICATE_PATH and SMARTHOST_KEY_PATH"


@pytest.mark.parametrize("kind", [FailureKind.NO_TLS, FailureKind.TLS_FAILED])
@pytest.mark.parametrize("credentials", [OWN, CERTIFICATE])
def test_clear_text_is_no_advice_where_the_login_is_never_used_in_clear(
    kind: FailureKind, credentials: AnyCredentials
) -> None:
    assert hint(kind, "x", credentials) == "Try port 465"


@pytest.mark.parametrize(
    ("credentials", "login", "sender"),
    [
        (O365, "check O365_USER and the settings of its token", "the account in O365_USER"),
        (
            CERTIFICATE,
            "check SMARTHOST_CERTIFICATE_PATH and SMARTHOST_KEY_PATH",
            "the account in SMARTHOST_CERTIFICATE_PATH",
        ),
    ],
)
def test_refusals_after_the_login_name_the_settings_of_the_login(
    credentials: AnyCredentials, login: str, sender: str
) -> None:
    smarthost = OwnSmarthost(Route("h", "192.0.2.1", 587, credentials=credentials), SMARTHOST)
    assert login in smarthost.advice(Reply(530, "5.7.57", ("log in",)), to_mail=True)
    assert sender in smarthost.advice(Reply(550, "5.7.60", ("SendAsDenied",)), to_mail=False)
