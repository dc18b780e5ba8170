"""Real replies of providers and programs, and the limits that they tell of."""

import pytest

from mta.delivery.replies.throttle_table import ROWS, LimitKind
from mta.delivery.replies.throttling import LONGEST_WAIT, throttling
from mta.smtp.replies import read_reply

LIMITS = [
    # Gmail and Google Workspace
    (
        (
            "421 4.7.28 Our system has detected an unusual rate of unsolicited mail originating from your "
            "IP address. To protect our users from spam, mail sent from your IP address has been "
            "temporarily rate limited. - gsmtp"
        ),
        LimitKind.RATE,
        None,
    ),
    (
        "421 4.7.28 Gmail has detected this message exceeded its quota for sending messages - gsmtp",
        LimitKind.RATE,
        None,
    ),
    (
        "421 4.7.0 Our system has detected an unusual rate of unsolicited mail from your IP address.",
        LimitKind.RATE,
        None,
    ),
    (
        (
            "450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents "
            "additional messages from being delivered. Please resend your message at a later time. - gsmtp"
        ),
        LimitKind.MAILBOX,
        None,
    ),
    (
        "450 4.2.1 The user you are trying to contact is receiving email too quickly. Resend later.",
        LimitKind.MAILBOX,
        None,
    ),
    ("450 4.2.1 Peak SMTP relay limit exceeded for customer. This is a temporary error.", LimitKind.RATE, None),
    ("421 4.7.0 Too many connections, try again later - gsmtp", LimitKind.CONNECTIONS, None),
    (
        "452 4.5.3 Domain policy size per transaction exceeded, try this recipient separately.",
        LimitKind.RECIPIENTS,
        None,
    ),
    ("452 4.5.3 Your message has too many recipients.", LimitKind.RECIPIENTS, None),
    ("451 4.3.0 Multiple destination domains per transaction is unsupported. Try again.", LimitKind.RECIPIENTS, None),
    ("550 5.4.5 Daily user sending limit exceeded. For more information, visit - gsmtp", LimitKind.QUOTA, 3600.0),
    ("550 5.4.5 Daily sending quota exceeded. - gsmtp", LimitKind.QUOTA, 3600.0),
    ("550 5.7.1 Daily SMTP relay limit exceeded for customer. - gsmtp", LimitKind.QUOTA, 3600.0),
    # Microsoft 365, Exchange and Outlook.com
    (
        "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending",
        LimitKind.CONNECTIONS,
        None,
    ),
    ("432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", LimitKind.CONNECTIONS, None),
    ("432 4.3.2 STOREDRV; try again later", LimitKind.CONNECTIONS, None),
    ("432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded", LimitKind.MAILBOX, None),
    (
        (
            "421 4.3.2 The maximum number of concurrent connections per resource forest has exceeded a "
            "limit, closing transmission channel. PRX8"
        ),
        LimitKind.CONNECTIONS,
        None,
    ),
    (
        "421 4.3.2 The maximum number of concurrent server connections has exceeded a per-source limit, closing",
        LimitKind.CONNECTIONS,
        None,
    ),
    ("421 4.4.2 Message submission rate for this client has exceeded the configured limit", LimitKind.RATE, 60.0),
    ("450 4.7.3 Organization queue quota exceeded. [x.prod.protection.outlook.com]", LimitKind.RATE, None),
    ("451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (AS77712344)", LimitKind.RATE, None),
    ("451 4.7.550 Access denied, please try again later", LimitKind.RATE, None),
    (
        "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. (S775)",
        LimitKind.RATE,
        None,
    ),
    (
        "451 4.7.652 The mail server [192.0.2.1] has exceeded the maximum number of connections. (S3115)",
        LimitKind.CONNECTIONS,
        None,
    ),
    (
        (
            "421 RP-001 (SNT0-MC2-F19) Unfortunately, some messages from 192.0.2.1 weren't sent. Please try "
            "again. We have limits for how many messages can be sent per hour and per day."
        ),
        LimitKind.RATE,
        None,
    ),
    (
        "421 RP-003 The mail server IP connecting has exceeded the connection limit allowed.",
        LimitKind.CONNECTIONS,
        None,
    ),
    ("452 4.5.3 Too many recipients (AS780090) [x.prod.protection.outlook.com]", LimitKind.RECIPIENTS, None),
    (
        "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message",
        LimitKind.QUOTA,
        3600.0,
    ),
    (
        "550 5.1.90 Your message can't be sent because you've reached your daily limit for recipients",
        LimitKind.QUOTA,
        3600.0,
    ),
    (
        "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit for sending email",
        LimitKind.QUOTA,
        3600.0,
    ),
    # Yahoo and AOL
    (
        (
            "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or "
            "user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes"
        ),
        LimitKind.RATE,
        None,
    ),
    (
        "421 4.7.0 [TS01] Messages from 192.0.2.1 temporarily deferred due to user complaints - 4.16.55.1",
        LimitKind.RATE,
        None,
    ),
    ("421 4.7.0 [TS02] Temporarily deferred", LimitKind.RATE, None),
    ("421 Message temporarily deferred - [4.16.51]", LimitKind.RATE, None),
    ("451 Resources temporarily unavailable. Please try again later [#4.16.5].", LimitKind.RATE, None),
    ("450 User is receiving mail too quickly", LimitKind.MAILBOX, None),
    # Amazon SES
    ("454 Throttling failure: Maximum sending rate exceeded.", LimitKind.RATE, 1.0),
    ("454 Throttling failure: Daily message quota exceeded.", LimitKind.QUOTA, 600.0),
    # Other providers
    (
        "421 4.7.1 Messages to user@icloud.test deferred due to excessive volume. Try again later",
        LimitKind.MAILBOX,
        None,
    ),
    (
        "421 4.1.0 192.0.2.1 Throttled - try again later. See http://postmaster.comcast.net/#RL000003",
        LimitKind.RATE,
        None,
    ),
    ("421 192.0.2.1 Too many sessions opened", LimitKind.CONNECTIONS, None),
    (
        (
            "421 mwinf5c04 ME Trop de connexions, veuillez verifier votre configuration. Too many "
            "connections, slow down. OFR004_104 [104]"
        ),
        LimitKind.CONNECTIONS,
        None,
    ),
    ("421 Rate limit reached. Please try again later", LimitKind.RATE, None),
    (
        (
            "421 gmx.net (mxgmx113) Nemesis ESMTP Service not available. Reject due to policy restrictions. "
            "Too many messages have been received in a short period of time. Please try again in a few "
            "hours and reduce the sending rate."
        ),
        LimitKind.RATE,
        18000.0,
    ),
    ("421 Too many concurrent connections from this client (G2)", LimitKind.CONNECTIONS, None),
    ("450 4.2.1 <u@x.test>: Mailbox received too much email in a short period of time (G30)", LimitKind.MAILBOX, None),
    ("451 4.7.1 Received too many messages from a new or untrusted IP (G28)", LimitKind.RATE, None),
    (
        "451 4.5.1 The recipient <u@x.test> has exceeded their message rate limit. Try again later.",
        LimitKind.MAILBOX,
        None,
    ),
    ("450 Ratelimit exceeded for mailbox u@x.test. Try again later.", LimitKind.MAILBOX, None),
    (
        "421 Connection refused, too many sessions from 192.0.2.1. Please lower the number. IB007",
        LimitKind.CONNECTIONS,
        None,
    ),
    ("450 MI:DMC 163 smtp1,xyz", LimitKind.MESSAGES, None),
    ("451 MI:SFQ 163 smtp1,xyz", LimitKind.RATE, None),
    ("421 HL:ICC 163 smtp1,xyz", LimitKind.CONNECTIONS, None),
    ("450 RP:DRC 163 smtp1,xyz", LimitKind.RECIPIENTS, None),
    ("451 RP:QRC 163 smtp1,xyz", LimitKind.RATE, None),
    ("451 Authentication failed: Maximum credits exceeded", LimitKind.QUOTA, 3600.0),
    ("451 You have exceeded your messaging limits", LimitKind.RATE, None),
    ("550 Too many messages. Try again in 92 seconds.", LimitKind.RATE, 92.0),
    ("421 Too many errors from your ip (192.0.2.1), please visit http://postmaster.free.fr/", LimitKind.RATE, None),
    # Programs
    ("421 4.7.0 mx.x.test Error: too many connections from 192.0.2.1", LimitKind.CONNECTIONS, None),
    ("450 4.7.1 Error: too much mail from 192.0.2.1", LimitKind.RATE, 60.0),
    ("450 4.7.1 Error: too many recipients from 192.0.2.1", LimitKind.RATE, 60.0),
    ("421 4.7.0 mx.x.test Error: too many new TLS sessions from 192.0.2.1", LimitKind.CONNECTIONS, None),
    ("421 4.7.0 mx.x.test Error: too many errors", LimitKind.MESSAGES, None),
    ("452 4.5.3 Error: too many recipients", LimitKind.RECIPIENTS, None),
    ("421 mx.x.test: Too many concurrent SMTP connections; please try again later.", LimitKind.CONNECTIONS, None),
    (
        "421 Too many concurrent SMTP connections from this IP address; please try again later.",
        LimitKind.CONNECTIONS,
        None,
    ),
    ("421 too many messages in this connection", LimitKind.MESSAGES, None),
    ("452 too many recipients", LimitKind.RECIPIENTS, None),
    ("450 Deferred: rate limit", LimitKind.RATE, None),
    ("451 Sender rate overlimit - 12.3 / 1h", LimitKind.RATE, None),
    ("451 Domain x.test has exceeded the max emails per hour (150/150 (100%)) allowed.", LimitKind.RATE, None),
    ("421 4.3.2 Connection rate limit exceeded.", LimitKind.CONNECTIONS, 60.0),
    ("452 4.3.2 Connection rate limit exceeded.", LimitKind.CONNECTIONS, 60.0),
    ("421 4.3.2 Too many open connections.", LimitKind.CONNECTIONS, None),
    ("421 4.3.2 Too many SMTP sessions for this host", LimitKind.CONNECTIONS, None),
    ("452 4.5.3 Too many recipients", LimitKind.RECIPIENTS, None),
    ("552 5.5.3 Too many recipients", LimitKind.RECIPIENTS, None),
    ("552 5.5.3 Try the others later", LimitKind.RECIPIENTS, None),
    ("452 4.5.3 Try the others later", LimitKind.RECIPIENTS, None),
    ("552 Too many recipients", LimitKind.RECIPIENTS, None),
    ("452 #4.5.3 Too many recipients received this hour", LimitKind.RATE, 3600.0),
    ("421 #4.4.5 Too many connections from your host.", LimitKind.CONNECTIONS, None),
    ("450 rate limit exceeded", LimitKind.RATE, None),
    ("451 4.7.1 Ratelimit user exceeded", LimitKind.RATE, None),
    ("450 4.7.1 Policy rejection; Message count quota exceeded", LimitKind.RATE, None),
    # Common wordings
    ("451 4.7.1 mx.x.test: Client host rejected: Please try again slower", LimitKind.RATE, None),
    ("450 4.7.1 You are sending mail too fast, slow down", LimitKind.RATE, None),
    ("450 Too many mails from your address; wait 5 minutes", LimitKind.RATE, 300.0),
    ("450 too many emails from this sender, please try again later", LimitKind.RATE, None),
    ("421 Too many messages; try again in 2 hours", LimitKind.RATE, 7200.0),
    ("451 You have reached your limit of 100 messages per hour", LimitKind.RATE, None),
    ("451 You have reached your limit of 500 messages per day", LimitKind.QUOTA, 3600.0),
    ("451 Your limit is 100 messages an hour", LimitKind.RATE, None),
    ("451 4.7.0 Hourly quota exceeded", LimitKind.RATE, None),
    ("450 Account is being throttled; retry after 60s", LimitKind.RATE, 60.0),
    ("450 4.7.0 Message rate exceeded", LimitKind.RATE, None),
    ("450 4.7.1 exceeded 50 recipients/hour", LimitKind.RATE, None),
    ("450 4.7.1 Sorry, exceeded 50 messages in 5 minutes.", LimitKind.RATE, None),
    ("450 4.7.1 only 5 recipients per 5 minutes allowed", LimitKind.RATE, None),
    ("451 Limit exceeded for the last hour", LimitKind.RATE, None),
    ("451 Outgoing mail limit reached", LimitKind.RATE, None),
    ("451 4.7.1 You have exceeded your sending quota", LimitKind.RATE, None),
    ("450 Zu viele Nachrichten, bitte versuchen Sie es spaeter", LimitKind.RATE, None),
    ("451 You sent too many emails in the last 24 hours", LimitKind.QUOTA, 3600.0),
    ("450 4.2.1 The mailbox is receiving too many messages", LimitKind.MAILBOX, None),
    ("450 The recipient is receiving messages too fast", LimitKind.MAILBOX, None),
    ("421 4.7.0 Maximum number of messages per connection reached", LimitKind.MESSAGES, None),
    ("421 message limit exceeded for this session", LimitKind.MESSAGES, None),
    ("421 4.7.0 Maximum number of concurrent connections reached", LimitKind.CONNECTIONS, None),
    ("421 Concurrency limit exceeded", LimitKind.CONNECTIONS, None),
    ("421 Too many parallel deliveries", LimitKind.CONNECTIONS, None),
    ("452 Recipient limit exceeded", LimitKind.RECIPIENTS, None),
    ("452 Too many RCPTs", LimitKind.RECIPIENTS, None),
    ("421 Too many connections; come back in 00:04:59", LimitKind.CONNECTIONS, 299.0),
    ("421 Too many connections; try again in a minute", LimitKind.CONNECTIONS, 60.0),
]

OTHERS = [
    "450 4.7.1 <u@x.test>: Recipient address rejected: Greylisted, try again in 300 seconds",
    "451 4.7.1 Greylisting in action, please come back in 00:04:59",
    "450 4.2.0 <u@x.test>: Recipient address rejected: greylisted for 60 seconds by ZEROSPAM",
    "451 4.7.1 Graylisted; too many connections from unknown hosts",
    "451 Internal resources are temporarily unavailable",
    "451 Temporary failure, please try again later.",
    "452 4.3.1 Insufficient system storage",
    "452 4.3.1 Insufficient system resources",
    "452 4.4.5 Insufficient disk space; try again later",
    "452 4.3.4 Message size exceeds the limit of this system",
    "421 4.3.2 Service shutting down and closing transmission channel",
    "421 4.3.0 Temporary System Problem. Try again later.",
    "421 4.4.5 Server busy, try again later.",
    "421 4.4.2 mx.x.test Error: timeout exceeded",
    "421 mx.x.test: Too much load; please try again later",
    "421 4.7.0 TLS required for RCPT domain, closing connection.",
    "421 4.7.0 [TS03] All messages from 192.0.2.1 will be permanently deferred; Retrying will NOT succeed.",
    "452 4.2.2 The email account that you tried to reach is over quota.",
    "452 4.2.2 Mailbox full",
    "452 4.2.2 Mailbox full: too many messages",
    "452 The user has too many messages on the server",
    "452 Mailbox quota exceeded, try again in a day",
    "452 Quota exceeded, try again in 24 hours",
    "452 Mail quota exceeded, try again in 5 minutes",
    "452 4.3.4 Message size limit exceeded",
    "421 4.4.2 Idle time exceeded: 60 seconds",
    "421 4.7.0 Too many bad recipients; closing connection",
    "450 Too many invalid recipients",
    "450 4.7.1 Client host rejected: cannot find your reverse hostname",
    "450 4.1.1 <u@x.test>: Recipient address rejected: unverified address: Address verification in progress",
    "451 4.3.5 Server configuration error",
    "454 4.7.0 TLS not available due to temporary reason",
    "454 4.7.0 Temporary authentication failure",
    "451 4.4.3 Too many DNS lookups in the SPF record",
    "432 4.7.12 A password transition is needed",
    "450 4.2.0 Mailbox is delayed: slow disk",
    "554 5.4.6 Too many hops",
    "550 5.7.1 Too many messages, blocked for ever",
    "550 5.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages",
    "550 5.1.8 Access denied, bad outbound sender",
    "550 5.7.501 Access denied, spam abuse detected",
    "550 5.7.705 Access denied, tenant has exceeded threshold",
    "550 5.2.254 Sender throttled due to continuous too many recipients errors.",
    "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException",
    "554 5.7.1 Rate limit exceeded",
    "552 5.2.2 Mailbox is over its daily quota",
    "552 5.3.4 Message size exceeds fixed limit",
    "550 5.5.3 Too many recipients",
]


@pytest.mark.parametrize(("line", "kind", "wait"), LIMITS, ids=[one[0][:50] for one in LIMITS])
def test_a_request_to_slow_down_is_recognised(line: str, kind: LimitKind, wait: float | None) -> None:
    reply = read_reply(int(line[:3]), [line[4:]])
    found = throttling(reply.code, reply.status, reply.text)
    assert found is not None
    assert (found.kind, found.wait) == (kind, wait)
    assert found.source


@pytest.mark.parametrize("line", OTHERS, ids=[one[:50] for one in OTHERS])
def test_other_refusals_are_not_throttling(line: str) -> None:
    reply = read_reply(int(line[:3]), [line[4:]])
    assert throttling(reply.code, reply.status, reply.text) is None


def test_a_reply_of_several_lines_is_read_as_one_text() -> None:
    lines = ["4.2.1 The user you are trying to contact is receiving", "4.2.1 mail at a rate that prevents additional"]
    reply = read_reply(450, lines)
    found = throttling(reply.code, reply.status, reply.text)
    assert found is not None
    assert found.kind is LimitKind.MAILBOX


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("too many messages, retry after 999999 hours", LONGEST_WAIT),
        ("too many messages, try again in 0 seconds", 1.0),
        ("too many messages: 50 messages in 10 minutes are allowed", None),
        ("too many messages. Try again later. You sent 500 in 10 minutes", None),
        ("too many messages, try again in 3 months", None),
    ],
)
def test_a_wait_is_bounded_and_never_guessed(text: str, wait: float | None) -> None:
    found = throttling(450, "", text)
    assert found is not None
    assert found.wait == wait


def test_success_and_intermediate_replies_report_no_limit() -> None:
    assert throttling(250, "2.0.0", "too many messages") is None
    assert throttling(354, "", "rate limit") is None


def test_each_row_decides_a_reply_of_the_table() -> None:
    replies = [read_reply(int(line[:3]), [line[4:]]) for line, *_ in LIMITS]
    deciding = [
        next(row for row in ROWS if row.fits(reply.code, reply.status, reply.text.lower())) for reply in replies
    ]
    assert [row for row in ROWS if row not in deciding] == []


def test_each_row_is_in_lower_case_and_repeats_nothing_without_a_bound() -> None:
    for pattern in [row.pattern for row in ROWS if row.pattern is not None]:
        assert pattern == pattern.lower()
        assert not set(pattern) & set("*+")


def test_only_the_beginning_of_a_long_text_is_read() -> None:
    assert throttling(450, "", "x" * 10_000 + " rate limit") is None
