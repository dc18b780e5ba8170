"""The refusals of a smarthost that are about this relay: a table of replies that providers and servers really send."""

import pytest

from mta.delivery.replies.smarthost_refusals import WORDS, Blame, OwnSmarthost, blame
from mta.routing.route import Credentials, Route
from mta.smtp.client.reply_reader import ReplyReader
from mta.smtp.replies import Reply
from tests.fakes.smarthosts import SMARTHOST

ROUTE = Route("smtp.test", "192.0.2.1", 587, smarthost=SMARTHOST)
LOGIN, RELAYING, SENDER, ACCOUNT, NAME = Blame.LOGIN, Blame.RELAYING, Blame.SENDER, Blame.ACCOUNT, Blame.NAME
CLEAR = Blame.CLEAR


def said(*lines: str) -> Reply:
    """Return the reply that a server wrote in these lines."""
    reader = ReplyReader()
    reader.feed("".join(f"{line}\r\n" for line in lines).encode())
    reply = reader.next()
    assert reply is not None
    return reply


# To RCPT, DATA or the end of data.
ABOUT_US = [
    ("530 5.7.0 Authentication Required. For more information, go to", LOGIN),
    ("530 5.7.1 Authentication required", LOGIN),
    ("534 5.7.9 Application-specific password required.", LOGIN),
    ("535 5.7.8 Error: authentication failed", LOGIN),
    ("538 5.7.11 Encryption required for requested authentication mechanism", LOGIN),
    ("503 5.5.1 Error: authentication required", LOGIN),
    ("550 authentication required", LOGIN),
    ("503 This mail server requires authentication when attempting to send to a non-local e-mail address.", LOGIN),
    ("553 sorry, you must authenticate first (#5.7.1)", LOGIN),
    ("550 5.7.1 Invalid credentials for relay [192.0.2.9]. The IP address you've", LOGIN),
    ("554 5.7.1 <bob@b.test>: Relay access denied", RELAYING),
    ("550 5.7.1 <bob@b.test>... Relaying denied. Proper authentication required.", LOGIN),
    ("550 5.7.1 Unable to relay", RELAYING),
    ("550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", RELAYING),
    ("550 5.7.64 TenantAttribution; Relay Access Denied", RELAYING),
    ("550 relay not permitted", RELAYING),
    ("550 relaying to <bob@b.test> prohibited by administrator", RELAYING),
    ("553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", RELAYING),
    ("550 5.7.0 Mail relay denied [192.0.2.9]. Invalid credentials", LOGIN),
    ("550 We do not relay for you", RELAYING),
    ("525 5.7.1 Unauthorized IP address", RELAYING),
    ("554 5.7.1 <unknown[192.0.2.9]>: Client host rejected: Access denied", RELAYING),
    ("554 5.7.1 Service unavailable; Client host [192.0.2.9] blocked using zen.example.org", RELAYING),
    ("550 5.7.606 Access denied, banned sending IP [192.0.2.9].", RELAYING),
    ("550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP.", RELAYING),
    ("554 Access denied: User `arn:aws:iam::1:user/x' is not authorized to perform `ses:SendRawEmail'", RELAYING),
    ("550 5.7.60 SMTP; Client does not have permissions to send as this sender", SENDER),
    ("554 5.2.252 SendAsDenied; app@a.test not allowed to send as x@a.test", SENDER),
    ("550 5.7.1 Sender not owned by user", SENDER),
    ("553 5.7.1 <x@a.test>: Sender address rejected: not owned by user relay", SENDER),
    ("553 5.7.1 <x@a.test>: Sender address rejected: not logged in", LOGIN),
    ("550 5.1.8 <x@a.test>: Sender address rejected: Domain not found", SENDER),
    ("525 5.7.13 User account disabled", ACCOUNT),
    ("550 5.7.1 not owned by user", SENDER),
    ("550 Sender verify failed", SENDER),
    ("554 Message rejected: Email address is not verified. The following identities failed the check", SENDER),
    ("554 Message rejected: Sending suspended for this account. For more information, please check", ACCOUNT),
    ("550 The from address does not match a verified Sender Identity. Mail cannot be sent until", SENDER),
    ("550 Unauthenticated senders not allowed", SENDER),
    ("550 From header sender domain not verified (a.test)", SENDER),
    ("553 From: address not verified; see", SENDER),
    ("553 Sender is not allowed to relay emails", SENDER),
    ("550 5.7.0 From address is not one of your addresses", SENDER),
    ("551 5.7.1 Not authorised to send from this header address", SENDER),
    ("550 not local sender over smtp", SENDER),
    ("550 Sender address is not allowed.", SENDER),
    ("554 Sandbox subdomains are for test purposes only.", ACCOUNT),
    ("550 5.7.26 Unauthenticated email from a.test is not accepted due to domain's DMARC policy", SENDER),
    ("550 5.4.5 Daily user sending limit exceeded.", ACCOUNT),
    ("550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients", ACCOUNT),
    ("550 5.7.705 Access denied, tenant has exceeded threshold.", ACCOUNT),
    ("550 Domain a.test has exceeded the max emails per hour (500/500 (100%)) allowed. hourly limit", ACCOUNT),
    ("504 5.5.2 <pod-1>: Helo command rejected: need fully-qualified hostname", NAME),
    ("550 5.7.0 Must issue a STARTTLS command first", CLEAR),
    ("550 5.7.1 TLS required", CLEAR),
    ("523 5.7.10 Encryption Needed", CLEAR),
    ("554 5.7.1 Must use TLS", CLEAR),
    ("550 not local host b.test, not a gateway", RELAYING),
    ("550 Please use the submission port 587", RELAYING),
    ("550 Sender IP reverse lookup rejected", RELAYING),
    ("550 5.7.1 Recipient not authorized, your IP has been found on a block list", RELAYING),
    ("550 Callback setup failed while verifying <app@a.test>", SENDER),
    ("554 Transaction failed: Message rejected: this sender has been blocked", SENDER),
    ("553 Mail from must equal authorized user", SENDER),
    ("501 Mail from address must be same as authorization user", SENDER),
    ("554 5.7.1 Mail from=<app@a.test> does not match login", SENDER),
    ("550 5.7.1 Email rejected per SPF policy", SENDER),
    ("550 SPF check failed", SENDER),
    ("550 5.7.509 Access denied, sending domain a.test does not pass DMARC verification", SENDER),
    ("550 5.4.6 Unusual sending rate detected", ACCOUNT),
    ("550 5.7.1 Message rejected: plan limit exceeded", ACCOUNT),
    ("550 You have reached your sending limit", ACCOUNT),
    ("554 5.7.1 You have exceeded your quota", ACCOUNT),
    ("550 Payment required", ACCOUNT),
    ("550 Your subscription has expired", ACCOUNT),
    ("552 5.7.0 Number of recipients exceeds daily limit", ACCOUNT),
    ("554 Free accounts are for test purposes only. Please upgrade", ACCOUNT),
    ("554 5.7.1 Trial accounts may only send to verified recipients", ACCOUNT),
]
ABOUT_THE_RECIPIENT = [
    "550 5.1.1 <bob@b.test>: Recipient address rejected: User unknown in virtual mailbox table",
    "550 5.1.1 <relay-access-denied@b.test>: unknown, and authentication required is no reason",
    "550 No such user <not-owned-by-sender-address-rejected@b.test>",
    "550 5.1.2 Bad destination host: no such domain, relay access denied",
    "550 5.2.1 The email account that you tried to reach is disabled",
    "552 5.2.2 The recipient's mailbox is over its quota limit",
    "550 Account disabled",
    "554 5.7.1 <bob@b.test>: Recipient address rejected: Access denied",
    "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required",
    "554 5.7.1 Message rejected due to content",
    "552 5.3.4 Message size exceeds fixed limit",
    "550 5.7.1 This message looks like spam",
    "550 Unrouteable address",
    "571 no",
]


@pytest.mark.parametrize(("line", "expected"), ABOUT_US)
def test_a_refusal_about_this_relay_is_told_from_one_about_the_recipient(line: str, expected: Blame) -> None:
    assert blame(said(line), to_mail=False) is expected


@pytest.mark.parametrize("line", ABOUT_THE_RECIPIENT)
def test_a_refusal_about_the_recipient_or_the_message_stays_final(line: str) -> None:
    assert blame(said(line), to_mail=False) is None


@pytest.mark.parametrize(
    "line",
    [
        "550 no",
        "501 5.1.7 bad sender",
        "553 5.1.1 unknown",
        "554 5.7.1 no",
        "552 5.7.0 quota",
        "599 5.0.0 x",
        "500 what",
    ],
)
def test_any_refusal_of_mail_is_about_this_relay(line: str) -> None:
    assert blame(said(line), to_mail=True) is not None


@pytest.mark.parametrize("line", ["552 5.3.4 too big", "552 Message size exceeds maximum permitted"])
def test_a_size_for_which_mail_is_refused_is_about_the_message(line: str) -> None:
    assert blame(said(line), to_mail=True) is None


def test_words_in_any_line_of_a_reply_count() -> None:
    reply = said("550-Requested action not taken: mailbox unavailable", "550 Sender address is not allowed.")
    assert blame(reply, to_mail=False) is SENDER


def test_every_row_has_a_source() -> None:
    assert all(words.source for words in WORDS)


def test_advice_names_the_settings_of_the_login_that_was_used() -> None:
    reply = said("535 5.7.8 no")
    bare, gmail = (
        OwnSmarthost(ROUTE, SMARTHOST),
        OwnSmarthost(Route("h", "192.0.2.1", 587, credentials=Credentials("u", "p", "GMAIL")), SMARTHOST),
    )
    assert "set SMARTHOST_USER and SMARTHOST_PASSWORD" in bare.advice(reply, to_mail=True)
    assert "check GMAIL_USER and GMAIL_PASSWORD" in gmail.advice(reply, to_mail=True)
    for each in (bare, gmail):
        for found in Blame:
            line, _ = next(row for row in ABOUT_US if row[1] is found)
            assert each.advice(said(line), to_mail=False).endswith("; mail stays queued")
        assert each.advice(said("550 5.1.1 unknown"), to_mail=False) == ""
