"""Real replies of providers and programs, and the usual meaning that the table gives them."""

import re

import pytest

from mta.delivery.replies.meanings import KNOWN_REPLIES, meaning_of

#: A reply, and words of its meaning. At least one for each row of the table.
EXAMPLES = [
    # The relay's own words
    (
        (
            "certificate not trusted: certificate expired on 2026-11-29; b.test demands it by MTA-STS; mail stays"
            " queued. TLS_POLICY=b.test=opportunistic would send it all the same"
        ),
        "demands a proof that its host, or the DNS, does not give now",
    ),
    (
        (
            "no MX host of b.test may get mail now: mx.b.test: TLSA of _25._tcp.mx.b.test: SERVFAIL; mail stays queued."
            " TLS_POLICY=b.test=opportunistic would send it all the same"
        ),
        "so the mail waits",
    ),
    ("REQUIRETLS is not offered, and the sender demands it; no other host is left", "only to hosts that prove"),
    ("TLS failed: connection lost; the sender demands it by REQUIRETLS; mail stays queued", "pass the demand on"),
    (
        "the sender demands REQUIRETLS, and nothing can prove the MX hosts of b.test: DANE and MTA_STS are off",
        "pass the demand on",
    ),
    # Amazon SES
    ("454 Throttling failure: Maximum sending rate exceeded.", "more messages a second than its quota"),
    ("454 Throttling failure: Daily message quota exceeded.", "as many messages as it may within 24 hours"),
    ("454 4.7.0 Temporary authentication failure", "a temporary trouble of its own"),
    (
        (
            "554 Message rejected: Email address is not verified. The following identities failed the check in region"
            " EU-WEST-1: app@example.com"
        ),
        "the sender's domain in this region",
    ),
    (
        "554 Access denied: User `arn:aws:iam::1:user/x' is not authorized to perform `ses:SendRawEmail' on resource",
        "lacks the right to send",
    ),
    ("554 Message rejected: Sending paused for this account.", "has stopped the sending"),
    ("535 Authentication Credentials Invalid", "does not accept the user or the password"),
    ("530 Must issue a STARTTLS command first", "only inside TLS"),
    # Yahoo
    (
        "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints",
        "Yahoo defers mail",
    ),
    ("421 4.7.1 [TS03] All messages from 192.0.2.1 will be permanently deferred", "until its reputation is better"),
    ("553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because it is on the SBL", "Yahoo refuses"),
    ("554 5.7.9 Message not accepted for policy reasons. See https://senders.yahooinc.com/", "fails authentication"),
    # Outlook.com
    (
        "550 5.7.515 Access denied, sending domain example.com does not meet the required authentication level.",
        "a domain that sends much",
    ),
    (
        (
            "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet"
            " service provider"
            " since part of their network is on our block list (S3140)."
        ),
        "the block list of Outlook.com",
    ),
    (
        "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. (S775)",
        "takes little mail from this address",
    ),
    ("421 RP-001 (BAY0) Unfortunately, some messages from 192.0.2.1 weren't sent.", "limits the rate"),
    # Block lists
    ("554 5.7.1 Service unavailable; Helo domain is listed in Spamhaus (S8001)", "Domain Blocklist"),
    (
        (
            "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org;"
            " https://www.spamhaus.org/query/ip/192.0.2.1"
        ),
        "block list of Spamhaus",
    ),
    (
        (
            "550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus. To request removal"
            " from this"
            " list see https://www.spamhaus.org/lookup.lasso (AS16012611)"
        ),
        "block list of Spamhaus",
    ),
    ("550 blocked: https://www.spamhaus.org/pbl/query/PBL1", "from which no mail should come directly"),
    ("554 5.7.1 Blocked - see https://www.spamcop.net/bl.shtml?192.0.2.1", "reported to SpamCop"),
    ("554 Service unavailable; Client host [x] blocked using Barracuda Reputation", "at Barracuda"),
    ("554 5.7.1 Client host [192.0.2.1] is listed by bl.example.net", "on a block list that the receiver uses"),
    # Gmail
    (
        "421 4.7.0 Our system has detected an unusual rate of unsolicited mail from your IP address. - gsmtp",
        "limits its rate",
    ),
    (
        (
            "550 5.7.1 Gmail has detected that this message is likely suspicious due to the very low reputation of the"
            " sending domain. - gsmtp"
        ),
        "a bad opinion",
    ),
    (
        (
            "550 5.7.1 [2001:db8::1] Our system has detected that this message does not meet IPv6 sending guidelines"
            " regarding PTR records and authentication. - gsmtp"
        ),
        "Mail over IPv6",
    ),
    (
        "550 5.7.1 The IP address sending this message does not have a PTR record setup. - gsmtp",
        "Gmail finds no PTR record",
    ),
    (
        "550 5.7.26 Unauthenticated email from example.com is not accepted due to domain's DMARC policy. - gsmtp",
        "does not pass DMARC",
    ),
    (
        (
            "550 5.7.26 Your email has been blocked because the sender is unauthenticated. Gmail requires all"
            " senders to"
            " authenticate with either SPF or DKIM. - gsmtp"
        ),
        "Neither SPF nor DKIM passes",
    ),
    ("550 5.7.27 Your email has been blocked because SPF did not pass for example.com. - gsmtp", "SPF does not pass"),
    ("421 4.7.30 Your email has been rate limited because DKIM does not pass. - gsmtp", "signature is missing"),
    ("421 4.7.40 Your email has been rate limited because the domain has no DMARC record. - gsmtp", "no DMARC record"),
    (
        (
            "421 4.7.32 Your email has been rate limited because the From: header (RFC5322) in this message"
            " isn't aligned"
            " with either the authenticated SPF or DKIM organizational domain. - gsmtp"
        ),
        "do not count for DMARC",
    ),
    ("421 4.7.29 Your email has been rate limited because this message wasn't sent over a TLS connection.", "Gmail"),
    (
        "550 5.7.1 [192.0.2.1 12] Our system has detected that this message is likely unsolicited mail. - gsmtp",
        "Gmail considers the message spam",
    ),
    ("421 4.7.0 Try again later, closing connection. (EHLO) 1 - gsmtp", "does not take the connection"),
    ("534 5.7.9 Application-specific password required. - gsmtp", "two-step verification"),
    ("550 5.4.5 Daily user sending limit exceeded. - gsmtp", "as much as it may in 24 hours"),
    ("550 5.7.1 Invalid credentials for relay [192.0.2.1]. - gsmtp", "relay service of Google Workspace"),
    (
        "552 5.7.0 This message was blocked because its content presents a potential security issue. - gsmtp",
        "the type of an attachment",
    ),
    ("452 4.2.2 The recipient's inbox is out of storage space. - gsmtp", "mailbox is full"),
    (
        "550 5.1.1 The email account that you tried to reach does not exist. - gsmtp",
        "no mailbox with this address",
    ),
    # Exchange Online
    (
        "login refused: 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
        "Authenticated SMTP is off",
    ),
    (
        "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.",
        "a rule of conditional access",
    ),
    ("550 5.7.30 Basic authentication is not supported for Client Submission.", "accepts no passwords here"),
    ("530 5.7.57 Client not authenticated to send mail.", "only from clients that have logged in"),
    (
        "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
        "may not send with this sender's address",
    ),
    ("550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP", "a low reputation, as new"),
    ("550 5.7.705 Access denied, tenant has exceeded threshold", "too much spam"),
    ("550 5.1.8 Access denied, bad outbound sender AS(42003)", "the sender's account is blocked"),
    ("550 5.7.509 Access denied, sending domain example.com does not pass DMARC verification", "asks for refusal"),
    ("550 5.7.511 Access denied, banned sender[192.0.2.1].", "is banned"),
    (
        (
            "550 5.7.606 Access denied, banned sending IP [192.0.2.1]. To request removal from this list please visit"
            " https://sender.office.com/ (AS16012609)"
        ),
        "Microsoft's own block list",
    ),
    ("451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (AS77712344)", "takes less from this address"),
    ("550 5.7.64 TenantAttribution; Relay Access Denied [ValidationStatus of '' is EmptyCertificate]", "No connector"),
    (
        "550 5.4.1 [bob@example.org]: Recipient address rejected: Access denied. AS(201806281)",
        "no recipient with this address",
    ),
    ("550 5.7.1 Message rejected (AS345)", "A filter of Exchange Online Protection"),
    # Other providers
    ("554 5.7.1 [CS01] Message rejected due to local policy.", "iCloud refuses"),
    ("554 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1", "at Proofpoint"),
    (
        (
            "554 IP=192.0.2.1 - A problem occurred. (Ask your postmaster for help or to contact tosa@rx.t-online.de to"
            " clarify.)"
        ),
        "T-Online",
    ),
    ("451 Authentication failed: Maximum credits exceeded", "SendGrid has used up"),
    ("550 The from address does not match a verified Sender Identity.", "SendGrid does not know"),
    # The relay's own words
    ("login refused: 535 5.7.8 no; mail stays queued. Check SMARTHOST_USER", "user, password or token of this relay"),
    ("the server offers none of the login mechanisms; mail stays queued.", "no way to log in"),
    ("certificate not trusted: it has expired; mail stays queued.", "could not be verified"),
    ("TLS is required by SMARTHOST_TLS=verify, but: the host does not offer STARTTLS", "only be sent inside TLS"),
    ("TLS failed: the host answers with something that is not TLS", "no TLS session"),
    ("looking up the MX of example.test failed: 192.0.2.53:53 answered SERVFAIL", "The name servers of the domain"),
    ("looking up the MX of example.test failed: no reply (connection refused)", "The DNS gave no answer"),
    ("mail for example.test loops back to this host: it is the domain's best MX host", "lead back to this relay"),
    ("connection timed out after 30 s", "does not answer"),
    ("connection refused", "no server listens on this port"),
    ("network unreachable", "no route to the address"),
    ("connection lost", "in the middle of the conversation"),
    ("mail for a.test would go to a private address only (10.0.0.1): PRIVATE_DESTINATIONS=allow", "private networks"),
    ("domain nowhere.test does not exist", "The domain does not exist"),
    # Any server
    ("domain none.test accepts no mail (null MX)", "takes no mail at all"),
    ("550 5.7.27 Sender address has null MX", "reports could not come back"),
    ("451 4.7.1 Greylisting in action, please come back later", "does not know this relay yet"),
    ("550 5.7.1 rejected by DMARC policy for example.com", "does not pass DMARC"),
    ("550 5.7.23 SPF validation failed", "The SPF record"),
    ("550 5.7.20 No passing DKIM signature found", "The DKIM signature is missing"),
    ("450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]", "has no PTR record"),
    ("504 5.5.2 <box>: Helo command rejected: need fully-qualified hostname", "the name that this relay gives in EHLO"),
    ("450 4.1.8 <a@b.test>: Sender address rejected: Domain not found", "cannot find the domain of the sender"),
    ("554 5.7.1 <bob@example.net>: Relay access denied", "does not consider itself responsible"),
    ("550 Sender verify failed", "has asked the host of an address"),
    ("530 5.7.0 Authentication required", "only after a login"),
    ("535 5.7.8 Error: authentication failed", "does not accept the user or the password"),
    ("530 5.7.0 Encryption required: use STARTTLS", "only inside TLS"),
    ("552 5.2.2 user is over quota", "mailbox is full"),
    ("552 5.3.4 Message size exceeds fixed limit", "larger than the receiver takes"),
    ("452 4.3.1 Insufficient system storage", "no room or no resources"),
    ("554 5.4.6 Too many hops", "went round"),
    ("550 5.2.1 This mailbox has been disabled", "closed or suspended"),
    ("550 5.1.1 <bob@example.net>: Recipient address rejected: User unknown", "no mailbox with this address"),
    ("a recipient needs SMTPUTF8, which is not offered", "international characters"),
    ("421 4.7.0 Too many connections from your host", "has reached the limit"),
    ("554 5.7.1 virus Eicar found", "malware"),
    ("554 5.7.1 This message looks like spam", "considers the message spam"),
    ("550 5.7.1 refused by local policy", "by a rule of its own"),
    ("450 4.2.0 later", "at the moment, for the reason in its words"),
    ("550 5.0.0 no", "for good, for the reason in its words"),
]


@pytest.mark.parametrize(("reply", "words"), EXAMPLES, ids=[str(number) for number in range(len(EXAMPLES))])
def test_a_known_reply_has_its_usual_meaning(reply: str, words: str) -> None:
    found = meaning_of(reply)
    assert found is not None
    assert words.lower() in found.meaning.lower()


def test_every_row_of_the_table_is_reached_by_an_example() -> None:
    reached = {id(meaning_of(reply)) for reply, _ in EXAMPLES}
    assert [row.meaning for row in KNOWN_REPLIES if id(row) not in reached] == []
    assert len(KNOWN_REPLIES) >= 40


def test_a_reply_that_nobody_knows_has_no_meaning() -> None:
    assert meaning_of("250 2.0.0 Ok") is None
    assert meaning_of("") is None


def test_a_number_in_an_ip_address_is_no_status() -> None:
    found = meaning_of("550 go away, 15.7.26.3 and 10.5.7.606")
    assert found is not None
    assert found.meaning.startswith("The host refuses")


def test_every_repetition_is_bounded_so_that_a_search_is_linear() -> None:
    unbounded = re.compile(r"(?<!\\)[*+]|\{\d*,\}")
    assert [row.pattern.pattern for row in KNOWN_REPLIES if unbounded.search(row.pattern.pattern)] == []


def test_every_row_ends_its_sentences_and_names_its_source() -> None:
    for row in KNOWN_REPLIES:
        assert row.source
        assert row.meaning.endswith(".")
        assert row.remedy.endswith(".")
