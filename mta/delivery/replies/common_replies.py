"""Replies of any mail server, and the relay's own words about an attempt: their usual meaning and remedy, as data.

The rows of single providers are in `provider_replies`. Every repetition in a pattern is bounded, so that a search is
linear in the text.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownReply:
    """One known reply, or one wording, and its explanation for an operator in one or two sentences each."""

    #: Matches the text of the reply in lower case, its code and status included.
    pattern: re.Pattern[str]
    meaning: str
    remedy: str
    #: The public document from which the reply is known.
    source: str


#: A pattern, the meaning and the remedy.
Row = tuple[str, str, str]


def known(source: str, *rows: Row) -> tuple[KnownReply, ...]:
    """Return the rows of one document."""
    return tuple(KnownReply(re.compile(pattern), meaning, remedy, source) for pattern, meaning, remedy in rows)


def status(*details: str) -> str:
    """Return a pattern of enhanced statuses without their class: `7.26` is 4.7.26 or 5.7.26, and no IP address."""
    return rf"(?<![\d.])[45]\.(?:{'|'.join(map(re.escape, details))})(?!\.?\d)"


def all_rows(*groups: Iterable[KnownReply]) -> tuple[KnownReply, ...]:
    """Return the rows of several documents in their order."""
    return tuple(row for group in groups for row in group)


_WAIT = "Wait: the relay tries again by its schedule."
_ASK_RECIPIENT = "Reach the recipient in another way; a temporary refusal (4yz) is tried again by the schedule."

_OWN = known(
    "smtprelay, docs/troubleshooting.md",
    (
        r"^login refused:",
        "The smarthost does not accept the user, password or token of this relay.",
        "Correct the settings that the reply names, restart the relay, then retry the message.",
    ),
    (
        r"\boffers none of (?:the login|these)|\bno (?:login|usable) mechanism",
        "The smarthost offers no way to log in that this relay can use.",
        "Check the port of the smarthost and its TLS; many servers offer logins only inside TLS.",
    ),
    (
        r"\bthe sender demands it\b|\bthe sender demands requiretls\b|\brequiretls is not offered\b",
        "The sender lets this message go only to hosts that prove their names and pass the demand on (REQUIRETLS).",
        "Have the sender send it without REQUIRETLS, or the owner of the domain offer it: docs/secure-delivery.md.",
    ),
    (
        r"\bdemands it by (?:mta-sts|dane)\b|\bmay get mail now: ",
        "The recipient's domain demands a proof that its host, or the DNS, does not give now, so the mail waits.",
        "Its owner must renew a certificate or a record. TLS_POLICY sends it all the same: docs/secure-delivery.md.",
    ),
    (
        r"^certificate not trusted:",
        "The certificate of the host could not be verified, so the relay does not send it this mail.",
        "Follow the advice behind the reason; the reply names the setting.",
    ),
    (
        r"^tls is required\b|^the host demands tls",
        "The mail may only be sent inside TLS, and this connection has none.",
        (
            "Try the other port of the smarthost (587 with STARTTLS, 465 with TLS from the first byte), or ask"
            " the host's"
            " operator for TLS."
        ),
    ),
    (
        r"^tls failed:",
        "The host answers, but no TLS session could be set up with it.",
        "Compare port and TLS: port 465 begins with TLS, ports 25 and 587 begin in clear.",
    ),
    (
        r"\blook(?:ing|ed)? up .{1,300}? failed: .{0,80}\bservfail|\bservfail\b",
        "The name servers of the domain fail, or their answer could not be validated (DNSSEC).",
        "Wait; if other resolvers answer for the domain, look at the resolver in DNS_SERVERS or /etc/resolv.conf.",
    ),
    (
        r"\blooking up .{1,300}? failed\b|\bnot looked up\b",
        "The DNS gave no answer, so the relay does not know the hosts of the domain.",
        (
            "If several domains are concerned, the resolver is down: check DNS_SERVERS, or the servers in"
            " /etc/resolv.conf."
        ),
    ),
    (
        r"\bloops back to this (?:host|relay)\b",
        "The hosts of the domain lead back to this relay, which does not keep the domain's mail.",
        "Add the domain to OTHER_HOSTNAMES if its mail stays here; otherwise correct its MX records or the smarthost.",
    ),
    (
        r"\bno reply within\b|\btimed out\b|\bno reply (?:after|in) \d",
        "The host, or a firewall on the way, does not answer.",
        (
            "If only this destination is silent, wait. If every destination is, the network blocks port 25: use a"
            " smarthost on port 587."
        ),
    ),
    (
        r"\bconnection refused\b",
        "The host is up, but no server listens on this port, or a firewall rejects the connection.",
        "If only this destination refuses, wait. With a smarthost, check SMARTHOST_PORT; 587 and 465 are usual.",
    ),
    (
        r"\bno route to host\b|\bnetwork unreachable\b",
        "This host has no route to the address.",
        "Check this host's network; if only IPv6 addresses fail, set DISABLE_IPV6.",
    ),
    (
        r"\bconnection (?:reset|lost)\b|\bprotocol error\b",
        "The host ended the connection in the middle of the conversation.",
        "Wait. If it happens each time at the same command, ask the host's operator for the reason in its log.",
    ),
    (
        r"\bwould go to a private address only\b",
        "All hosts of the domain have addresses of private networks, to which mail from the DNS is not sent.",
        "If the domain is yours, set PRIVATE_DESTINATIONS=allow or add it to RELAY_DOMAINS.",
    ),
    (
        r"\bdomain \S{1,260} does not exist\b|\bno host for mail to\b|\bno mx of\b",
        "The domain does not exist, or none of its names has an address.",
        "Have the sender check the spelling of the domain.",
    ),
)

_NULL_MX = known(
    "RFC 7505 (null MX)",
    (
        r"\(null mx\)|(?<![\d.])5\.1\.10(?!\.?\d).{0,120}\bnull ?mx|does not accept mail \(nullmx\)",
        "The domain declares in the DNS that it takes no mail at all.",
        "Have the sender check the spelling of the domain; no retry will help.",
    ),
    (
        rf"{status('7.27')}.{{0,200}}\bnull ?mx",
        "The domain of the sender declares that it takes no mail, so reports could not come back.",
        "Send from a domain that accepts mail, or remove the null MX record of the sender's domain.",
    ),
)

_GREYLISTING = known(
    "RFC 6647 (greylisting)",
    (
        r"\bgr[ea]y[ -]?list|\bpostgrey\b",
        "The receiver does not know this relay yet and takes the message at a later attempt, usually within minutes.",
        _WAIT,
    ),
)

_AUTHENTICATION = known(
    "RFC 7372 (status codes of email authentication)",
    (
        r"\bdmarc\b",
        (
            "The message does not pass DMARC: neither SPF nor DKIM passes for the domain in From, and its policy"
            " asks for"
            " refusal."
        ),
        "Sign with DKIM for the domain in From (smtprelay dkim keygen), or add this relay's address to its SPF record.",
    ),
    (
        (
            rf"{status('7.23', '7.24')}|\bspf\b.{{0,80}}(?:fail|reject|not|denied|violation|softfail)"
            r"|sender policy framework|openspf\."
        ),
        "The SPF record of the sender's domain does not permit this relay's address.",
        "Add this relay's outgoing address to the SPF record, or send through the host that the record permits.",
    ),
    (
        (
            rf"{status('7.20', '7.21', '7.22')}|\bdkim\b.{{0,80}}(?:fail|reject|invalid|not|missing|bad|no key"
            rf"|mismatch)"
            r"|\b(?:bad|invalid|no|missing|failed) (?:\w{1,20} ){0,2}dkim"
        ),
        "The DKIM signature is missing or does not verify, mostly because the key in the DNS is another one.",
        "Compare the record in the DNS with the relay's key: smtprelay dkim check.",
    ),
    (
        (
            rf"{status('7.25')}|\bno ptr\b|\bptr record|\breverse (?:dns|name|hostname|lookup)|\brdns\b"
            r"|cannot find your (?:reverse )?hostname|does not resolve to address|\bfcrdns\b"
        ),
        "The outgoing address has no PTR record, or the name in it does not lead back to the address.",
        "Have the provider of the address set its PTR record to MAILNAME, and give that name the same address.",
    ),
)

_BLOCK_LISTS = known(
    "RFC 5782 (DNS block lists)",
    (
        r"\bdnsbl\b|\brbl\b|\bblock ?list|\bblack ?list|\blisted (?:at|by|in|on)\b|\bblocked (?:using|by) \S{1,80}\.",
        "This relay's address, or a domain in the message, is on a block list that the receiver uses.",
        "Look the address up on the list that the reply names, end the cause, and ask the list for removal.",
    ),
)

_POSTFIX = known(
    "Postfix, SMTP access restrictions (postconf(5))",
    (
        (
            r"\bhelo command rejected|\b(?:helo|ehlo)\b.{0,60}(?:reject|invalid|not resolve|fully.qualified|bad"
            r"|refused)"
            r"|\b(?:invalid|bad) (?:helo|ehlo)\b"
        ),
        "The receiver does not accept the name that this relay gives in EHLO.",
        "Set MAILNAME to a full name that the DNS knows and that leads to the outgoing address.",
    ),
    (
        (
            r"\bsender address rejected: domain not found|\bdomain of sender address \S{0,320} does not"
            r"|\bsender domain (?:must|does not) (?:exist|resolve)"
            rf"|{status('1.8')}.{{0,80}}\bdomain"
        ),
        "The receiver cannot find the domain of the sender's address in the DNS.",
        "Have the application send from a domain that exists and has an MX or address record.",
    ),
    (
        (
            r"\brelay(?:ing)? (?:access )?(?:denied|not permitted|not allowed|prohibited)|\bunable to relay\b"
            r"|\bwe do not relay\b|\bnot permitted to relay\b|\bcannot relay\b"
        ),
        "The host does not consider itself responsible for the recipient's domain and does not know this relay.",
        (
            "With a smarthost, set its login or have it allow this address. Otherwise check the MX records of the"
            " recipient's domain."
        ),
    ),
    (
        r"\bunverified (?:address|recipient|sender)\b|\bsender verify failed\b|\bcallout\b|\bcall-?back\b",
        "The receiver has asked the host of an address whether it exists, and got no good answer.",
        "See that the sender's address exists and that its domain takes mail with the null sender.",
    ),
)

_LOGIN = known(
    "RFC 4954 (SMTP authentication)",
    (
        (
            r"\b530\b.{0,60}\bauthentication required|\bauthentication (?:is )?required\b|\bmust (?:be )?authenticat"
            r"|\b(?:log ?in|login) first\b|\bauth required\b"
        ),
        "The host takes mail only after a login, and this relay did not log in.",
        "Set SMARTHOST_USER and SMARTHOST_PASSWORD, or a token, for this smarthost.",
    ),
    (
        (
            r"\b535\b|(?<![\d.])5\.7\.8(?!\.?\d)|\bauthentication (?:failed|unsuccessful|credentials invalid)"
            r"|\binvalid (?:login|credentials|user ?name or password)"
        ),
        "The host does not accept the user or the password.",
        "Correct SMARTHOST_USER and SMARTHOST_PASSWORD, then restart the relay.",
    ),
)

_TLS = known(
    "RFC 3207 and RFC 5248 (TLS required)",
    (
        (
            r"\bmust issue a starttls\b|(?<![\d.])5\.7\.10(?!\.?\d)|\b(?:tls|encryption"
            r"|ssl)\b.{0,40}\b(?:required|needed)"
            r"|\brequires? (?:\w{1,20} ){0,3}(?:tls|encrypt)"
        ),
        "The host takes mail only inside TLS.",
        "Leave TLS on for this host; set SMARTHOST_TLS=require, or a [[transport]] rule with tls, for it.",
    ),
)

_STATUS_CODES = known(
    "RFC 3463 (enhanced status codes)",
    (
        (
            rf"{status('2.2')}|\bover ?quota\b|\bquota exceeded\b|\bmailbox (?:is )?(?:full|over)|\bfull mailbox\b"
            r"|\bout of storage\b|\b(?:exceeded|exceeds|over) (?:\w{1,20} ){0,3}(?:storage|quota)"
        ),
        "The recipient's mailbox is full.",
        _ASK_RECIPIENT,
    ),
    (
        (
            rf"{status('2.3', '3.4')}|\bmessage (?:is )?too (?:large|big)|\b(?:exceeds|exceeded|over)\b.{{0,60}}\bsize"
            r"|\bsize (?:limit )?exceed"
        ),
        "The message is larger than the receiver takes.",
        "Have the sender send less at once, or share the files in another way.",
    ),
    (
        rf"{status('3.1')}|\binsufficient (?:system )?(?:storage|resources|disk)|\bno space\b|\bdisk full\b",
        "The receiving host has no room or no resources at the moment.",
        _WAIT,
    ),
    (
        r"\bmail loop\b|\btoo many hops\b|\brouting loop\b|\bhop count exceeded\b" + f"|{status('4.6')}",
        "The message went round between mail servers.",
        "Compare the Received lines of the message: an alias, a smarthost or an MX record leads back.",
    ),
    (
        (
            rf"{status('2.1')}.{{0,120}}(?:disabled|inactive|suspended)|\b(?:account|mailbox) (?:\w{{1,20}} ){{0,4}}"
            r"(?:disabled|inactive|suspended|blocked)"
        ),
        "The recipient's account exists, but is closed or suspended.",
        _ASK_RECIPIENT,
    ),
    (
        (
            rf"{status('1.1', '1.10')}|\b(?:user|recipient|mailbox|address) (?:\S{{1,320}} )?(?:unknown|not found"
            rf"|does not"
            r" exist|doesn't exist|unavailable)|\bunknown (?:user|recipient|local part)\b|\bno such (?:user"
            r"|person|mailbox"
            r"|recipient|address)|\binvalid (?:recipient|mailbox)"
        ),
        "The receiver has no mailbox with this address.",
        "Have the sender correct the address, and take it off the lists of recipients.",
    ),
    (
        rf"{status('6.7')}|\bsmtputf8\b",
        "The address or header has international characters that the receiver does not support.",
        "Use an address in plain letters.",
    ),
)

_RATES = known(
    "IANA, SMTP Enhanced Status Codes (X.7.28), and RFC 5321 section 4.5.3",
    (
        r"\btoo many (?:\w{1,20} ){0,2}(?:connections|sessions|messages|mails|emails|recipients)\b|\brate[ -]?limit"
        r"|\bthrottl|\bslow down\b|\btoo (?:fast|quickly|often)\b|" + status("7.28"),
        "The receiver takes only so many messages or connections in a time, and this relay has reached the limit.",
        "Wait: the relay sends more slowly by itself. A [[transport]] rule with a rate keeps it below the limit.",
    ),
)

_CONTENT = known(
    "RFC 5321 section 7.9 (refusal by policy)",
    (
        r"\bvirus|\bmalware\b|\binfected\b|\bphish",
        "The receiver's scanner found malware or a link to it in the message.",
        "Look at the message (smtprelay queue show ID --message) and at the program that sent it.",
    ),
    (
        (
            r"\bspam\b|\bjunk\b|\bunsolicited\b|\bcontent (?:\w{1,20} ){0,2}(?:rejected|refused|denied|blocked)"
            r"|\b(?:rejected|refused|denied|blocked) (?:\w{1,20} ){0,4}content\b|\bbulk mail\b"
        ),
        "The receiver considers the message spam.",
        "Compare it with mail that arrives: links, attachments, From, SPF, DKIM. Its postmaster can tell the reason.",
    ),
    (
        (
            r"\b(?:local|administrative|site|security|company) polic|\bpolicy (?:reasons|violation|rejection)"
            r"|\badministrative prohibition\b|\baccess denied\b"
        ),
        "The receiver refuses the message by a rule of its own.",
        "Only its postmaster knows the rule; send the reply and the time of the attempt.",
    ),
)

_ANY = known(
    "RFC 5321 section 4.2.1 (reply codes)",
    (
        r"^4\d\d\b",
        "The host does not take the message at the moment, for the reason in its words.",
        _WAIT,
    ),
    (
        r"^5\d\d\b",
        "The host refuses the message for good, for the reason in its words.",
        "Have the sender correct the reason and send the message again; the postmaster of the host can tell more.",
    ),
)

#: In this order the first row that fits decides, after the rows of providers.
COMMON_REPLIES = all_rows(
    _OWN,
    _NULL_MX,
    _GREYLISTING,
    _AUTHENTICATION,
    _BLOCK_LISTS,
    _POSTFIX,
    _LOGIN,
    _TLS,
    _STATUS_CODES,
    _RATES,
    _CONTENT,
    _ANY,
)
