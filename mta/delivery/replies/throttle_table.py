"""The replies that mean "slow down", by reply code, enhanced status and words. Each row names its source.

The first row that fits decides: the rows of providers and programs come before the common wordings. Every repetition
in a pattern is bounded, so that a search is linear in the text.
"""

import re
from dataclasses import dataclass
from enum import Enum
from functools import cache


class LimitKind(Enum):
    """The things that a server limits."""

    #: Connections, or transactions, at a time.
    CONNECTIONS = "connections at a time"
    #: Messages, recipients or connections in a second, a minute or an hour.
    RATE = "messages in a time"
    #: Messages, or errors, of one connection: a new connection may go on at once.
    MESSAGES = "messages of one connection"
    #: Recipients of one transaction: the others may go at once, in another transaction.
    RECIPIENTS = "recipients of one transaction"
    #: Messages to one mailbox in a time: other recipients at the same host are not concerned.
    MAILBOX = "messages to one mailbox in a time"
    #: Messages in a day: the limit lasts for hours.
    QUOTA = "messages in a day"


@dataclass(frozen=True, slots=True)
class ThrottleReply:
    """One known reply, or one wording. A row without codes stands for any 4yz reply."""

    kind: LimitKind
    #: The page or the program from which the reply is known.
    source: str
    #: A regular expression for the text of the reply in lower case; None matches any text.
    pattern: str | None
    #: The beginning of the enhanced status.
    status: str = ""
    codes: frozenset[int] = frozenset()
    #: Seconds to wait according to the source, for a reply that does not name any.
    wait: float | None = None

    def fits(self, code: int, status: str, words: str) -> bool:
        """Whether a reply matches this row; `words` is its text in lower case."""
        if code not in self.codes if self.codes else code >= 500:
            return False
        if not status.startswith(self.status):
            return False
        return self.pattern is None or _compiled(self.pattern).search(words) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern when it is first used, because all of them took a hundredth of a start (measured)."""
    return re.compile(pattern)


def _any(*words: str) -> str:
    return "|".join(words)


def _codes(*codes: int) -> frozenset[int]:
    return frozenset(codes)


_MINUTE, _HOUR = 60.0, 3600.0

_GMAIL = "https://support.google.com/a/answer/3726730"
_GMAIL_LIMITS = "https://support.google.com/a/answer/166852"
_MICROSOFT = "https://learn.microsoft.com/en-us/troubleshoot/exchange/email-delivery/ndr/"
_SUBMISSION = "https://learn.microsoft.com/en-us/exchange/troubleshoot/send-emails/smtp-submission-improvements"
_EXCHANGE = "https://learn.microsoft.com/en-us/exchange/mail-flow/message-rate-limits"
_OUTLOOK = "https://sendersupport.olc.protection.outlook.com/pm/troubleshooting"
_YAHOO = "https://senders.yahooinc.com/smtp-error-codes/"
_SES = "https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html"
_APPLE = "https://support.apple.com/en-us/102322"
_COMCAST = "https://spa.xfinity.com/postmaster?faq=comcast-mail-errors"
_ORANGE = "https://messagerie.orange.fr/postmaster.html"
_IONOS = "https://help.1and1.com/e-mail-and-office-c37589/1and1-postmaster-c85193"
_GMX = "https://postmaster.gmx.net/en/error-messages"
_RACKSPACE = "https://smtp.codes/rackspace"
_YANDEX = "https://smtpfieldmanual.com/code/450"
_MAIL_RU = "https://postmaster.mail.ru"
_NETEASE = "http://help.163.com/09/1224/17/5RAJ4LMH00753VB8.html"
_SENDGRID = "https://docs.sendgrid.com/for-developers/sending-email/smtp-errors-and-troubleshooting"
_UNISENDER = "https://client.cloud4u.com/index.php/knowledgebase/1041/Restrictions-on-the-Service-to-prevent-spam.html"
_CISCO = "Cisco Secure Email (IronPort), mail flow policies"
_POSTFIX = "Postfix, src/smtpd/smtpd.c"
_EXIM = "Exim, src/smtp_in.c, and its manual on the ratelimit condition"
_SENDMAIL = "Sendmail, cf/feature/ratecontrol.m4 and sendmail/srvrsmtp.c"
_CPANEL = "https://docs.cpanel.net/whm/scripts/the-build_maxemails_config-script/"
_POLICYD = "PolicyD 2 (cluebringer), module Quotas"
_RFC_5321 = "RFC 5321 section 4.5.3.1.10"
_IANA = "IANA registry of enhanced status codes, X.7.28 (mail flood)"
_COMMON = "a common wording"

_MAIL = "(?:messages?|mails?|e-mails?|emails?|transactions?)"
_LIMIT = "(?:limit|quota|exceed|too many|maximum)"
_REACHED = "(?:has been |have been |is |was )?(?:exceeded|reached)"

_PROVIDERS = (
    ThrottleReply(LimitKind.QUOTA, _GMAIL_LIMITS, _any("daily (?:user )?sending"), "5.4.5", _codes(550), _HOUR),
    ThrottleReply(LimitKind.QUOTA, _GMAIL, _any("daily smtp relay limit exceeded"), "", _codes(450, 550), _HOUR),
    ThrottleReply(
        LimitKind.MAILBOX, _GMAIL, _any("you are trying to contact is receiving e?mail (?:too quickly|at a rate)")
    ),
    ThrottleReply(LimitKind.RATE, _GMAIL, _any("peak smtp relay limit exceeded", "an unusual rate of")),
    ThrottleReply(
        LimitKind.RECIPIENTS,
        _GMAIL,
        _any("multiple destination domains per transaction", "domain policy size per trans"),
    ),
    ThrottleReply(LimitKind.QUOTA, _SUBMISSION, _any("submissionquotaexceededexception"), "", _codes(554), _HOUR),
    ThrottleReply(
        LimitKind.QUOTA,
        _MICROSOFT,
        _any("message can.t be sent because you(?:.ve reached your|r tenant exceeded its) daily limit"),
        "",
        _codes(550),
        _HOUR,
    ),
    ThrottleReply(LimitKind.MAILBOX, _MICROSOFT, _any("recipient thread limit exceeded")),
    ThrottleReply(
        LimitKind.CONNECTIONS,
        _SUBMISSION,
        _any("sender thread limit exceeded", "concurrent connections? limit exceeded"),
    ),
    ThrottleReply(LimitKind.CONNECTIONS, _SUBMISSION, None, "4.3.2", _codes(432)),
    ThrottleReply(
        LimitKind.CONNECTIONS, _EXCHANGE, _any("maximum number of concurrent [a-z ]{0,20}?connections [^.]{0,40}?limit")
    ),
    ThrottleReply(LimitKind.RATE, _EXCHANGE, _any("message submission rate for this client"), wait=_MINUTE),
    ThrottleReply(LimitKind.RATE, _MICROSOFT, _any("organization queue quota exceeded"), "4.7.3"),
    ThrottleReply(
        LimitKind.CONNECTIONS,
        _OUTLOOK,
        _any(r"\brp-003\b", "exceeded the (?:maximum number of connections|connection limit)"),
    ),
    ThrottleReply(LimitKind.RATE, _OUTLOOK, _any(r"\brp-00[12]\b")),
    ThrottleReply(
        LimitKind.RATE, _MICROSOFT, _any("server busy", "access denied, please try again", "rate limit"), "4.7.5"
    ),
    ThrottleReply(
        LimitKind.RATE, _MICROSOFT, _any("server busy", "access denied, please try again", "rate limit"), "4.7.6"
    ),
    # [TS03] and [TSS09] mean that retries do not help: these are not throttling.
    ThrottleReply(
        LimitKind.RATE, _YAHOO, _any(r"\[tss?0[1245]\]", r"temporarily deferred - \[?4\.16", r"\[#4\.16\.5\]")
    ),
    # Amazon SES counts by the second, and by any 24 hours.
    ThrottleReply(LimitKind.RATE, _SES, _any("maximum sending rate exceeded"), wait=1.0),
    ThrottleReply(LimitKind.QUOTA, _SES, _any("daily message quota exceeded"), wait=600.0),
    ThrottleReply(LimitKind.MAILBOX, _APPLE, _any("messages to [^ ]{1,320} deferred due to excessive volume")),
    ThrottleReply(LimitKind.RATE, _COMCAST, _any(r"\brl00000[1-3]\b")),
    ThrottleReply(LimitKind.CONNECTIONS, _ORANGE, _any("trop de connexions", r"\bofr(?:004)?_104\b")),
    ThrottleReply(LimitKind.RATE, _IONOS, _any("rate limit reached")),
    ThrottleReply(LimitKind.RATE, _GMX, _any("too many messages have been received in a short period")),
    ThrottleReply(LimitKind.MAILBOX, _RACKSPACE, _any("mailbox received too much email")),
    ThrottleReply(LimitKind.RATE, _RACKSPACE, _any("too many messages from a new or untrusted ip")),
    ThrottleReply(
        LimitKind.MAILBOX, _YANDEX, _any("recipient (?:<[^>]{0,320}> )?has exceeded (?:their )?message rate limit")
    ),
    ThrottleReply(LimitKind.MAILBOX, _MAIL_RU, _any("rate ?limit exceeded for mailbox")),
    ThrottleReply(LimitKind.CONNECTIONS, _NETEASE, _any(r"\bhl:icc\b")),
    ThrottleReply(LimitKind.RATE, _NETEASE, _any(r"\bhl:ifc\b", r"\bmi:sfq\b", r"\brp:qrc\b")),
    ThrottleReply(LimitKind.MESSAGES, _NETEASE, _any(r"\bmi:dmc\b")),
    ThrottleReply(LimitKind.RECIPIENTS, _NETEASE, _any(r"\brp:drc\b")),
    ThrottleReply(LimitKind.QUOTA, _SENDGRID, _any("maximum credits exceeded"), wait=_HOUR),
    ThrottleReply(LimitKind.RATE, _SENDGRID, _any("exceeded your messaging limits")),
    ThrottleReply(LimitKind.RATE, _UNISENDER, _any(r"^too many messages\. try again in \d"), "", _codes(450, 550)),
)

_PROGRAMS = (
    ThrottleReply(LimitKind.RATE, _CISCO, _any("too many recipients received (?:this hour|from)"), wait=_HOUR),
    ThrottleReply(LimitKind.CONNECTIONS, _POSTFIX, _any("error: too many (?:connections|new tls sessions)")),
    ThrottleReply(
        LimitKind.RATE,
        _POSTFIX,
        _any("error: too much mail from", "error: too many (?:recipients|auth commands) from"),
        wait=_MINUTE,
    ),
    ThrottleReply(LimitKind.MESSAGES, _POSTFIX, _any("error: too many errors")),
    # New connections are refused for a minute; mail goes on over those that are open.
    ThrottleReply(LimitKind.CONNECTIONS, _SENDMAIL, _any("connection rate limit exceeded"), wait=_MINUTE),
    ThrottleReply(LimitKind.RATE, _EXIM, _any("rate overlimit")),
    ThrottleReply(LimitKind.RATE, _CPANEL, _any("has exceeded the max (?:emails|defers and failures) per hour")),
    ThrottleReply(LimitKind.RATE, _POLICYD, _any("message (?:count|cumulative size) quota exceeded")),
)

_WORDINGS = (
    ThrottleReply(LimitKind.RATE, _IANA, None, "4.7.28"),
    ThrottleReply(
        LimitKind.MAILBOX,
        _COMMON,
        _any(
            f"(?:receiving|received) {_MAIL} (?:too (?:quickly|fast|often)|at (?:a|too))",
            f"(?:recipient|mailbox|user) (?:is |has )?(?:receives|receiving|received) too (?:many|much) {_MAIL}",
        ),
    ),
    ThrottleReply(
        LimitKind.MESSAGES,
        _EXIM,
        _any(
            f"too many {_MAIL} (?:in|on|per|for|over) (?:this |one |a |the )?(?:smtp )?(?:connection|session)",
            f"{_LIMIT}[a-z ]{{0,40}}?(?:per|for this|on this|in this|in one) (?:smtp )?(?:connection|session)",
        ),
    ),
    ThrottleReply(
        LimitKind.CONNECTIONS,
        _COMMON,
        _any(
            r"too many (?:[a-z]{1,12} ){0,3}?(?:connections|sessions)\b",
            rf"too many {_MAIL} at (?:a|one|the same) time",
            f"connections? (?:count )?limit {_REACHED}",
            f"maximum (?:[a-z]{{1,12}} ){{0,3}}?connections {_REACHED}",
            "concurren(?:cy|t)[a-z ]{0,30}?(?:limit|exceeded|reached)",
            "(?:limit|exceeded|reached|too many|maximum)[a-z ]{0,30}?(?:concurren|simultaneous|parallel)",
            "zu viele verbindungen",
            "demasiadas conexiones",
            "troppe connessioni",
        ),
    ),
    ThrottleReply(
        LimitKind.QUOTA,
        _COMMON,
        _any(
            r"\bdaily [a-z ]{0,30}?(?:limit|quota)",
            rf"{_LIMIT}[^.;,]{{0,60}}?(?:per|each|every|this|/) ?day\b",
            rf"\b{_MAIL} a day\b",
            rf"{_LIMIT}[^.;,]{{0,60}}?(?:in|within|per|last|past|any) 24[ -]?h",
        ),
        wait=_HOUR,
    ),
    ThrottleReply(
        LimitKind.RATE,
        _COMMON,
        _any(
            rf"{_LIMIT}[^.;,]{{0,60}}?(?:(?:per|each|every|this|last|past) |/ ?)(?:second|sec|minute|min|hour|hr|h)\b",
            rf"\b{_MAIL} an? (?:second|minute|hour)\b",
            rf"\d {_MAIL} (?:in|within|per|during) \d",
            r"\d recipients (?:in|within|per|during) \d",
            r"\bhourly [a-z ]{0,30}?(?:limit|quota)",
            r"\brate[ -]?limit",
            rf"\brate {_REACHED}",
            "throttl(?:ed|ing)",
            rf"(?<!has )too (?:many|much) {_MAIL}\b",
            "(?:sending|sent|connecting|submitting) (?:[a-z]{1,12} ){0,2}?too (?:fast|quickly|often|rapidly)",
            r"\bslow(?:er| down)\b",
            "(?:exceed|reduce|lower)[a-z ]{0,30}?(?:sending|message|mail|connection|delivery|submission) rate",
            f"(?:sending|sender|outgoing|outbound|submission) (?:[a-z]{{1,12}} ){{0,2}}?(?:limit|quota) {_REACHED}",
            "(?:exceeded|reached) [a-z ]{0,12}?(?:sending|outgoing|outbound) (?:[a-z]{1,12} )?(?:limit|quota)",
            "(?:excessive|unexpected|unusual) (?:mail |message |sending )?(?:volume|rate)",
            "too many errors from your ip",
            "frequency (?:is )?limited",
            "zu viele (?:nachrichten|e-?mails)",
            "trop de (?:messages|mails|courriels)",
            "demasiados (?:mensajes|correos)",
            "troppi messaggi",
        ),
    ),
    ThrottleReply(LimitKind.RECIPIENTS, _RFC_5321, _any("too many recipients"), "", _codes(552)),
    ThrottleReply(LimitKind.RECIPIENTS, _RFC_5321, None, "5.5.3", _codes(552)),
    ThrottleReply(
        LimitKind.RECIPIENTS,
        _RFC_5321,
        _any(
            "too many (?:smtp |envelope |mail )?(?:recipients|rcpts?)",
            f"recipients? (?:count )?limit {_REACHED}",
            f"maximum (?:[a-z]{{1,12}} ){{0,3}}?recipients {_REACHED}",
        ),
    ),
    ThrottleReply(LimitKind.RECIPIENTS, _RFC_5321, None, "4.5.3"),
)

ROWS = (*_PROVIDERS, *_PROGRAMS, *_WORDINGS)

#: The 5yz codes that occur in a row.
REFUSALS = frozenset(code for row in ROWS for code in row.codes if code >= 500)

#: A text that contains none of these matches no row with a pattern, so an ordinary reply is not searched for each one.
STEMS = (
    *("limit", "too ", "exceed", "reached", "quota", "rate", "maximum", "throttl", "slow", "volume", "frequency"),
    *("daily", " day", "24", "hour", "minute", "second", "per ", "defer", "busy", "denied", "recipients"),
    *("rp-00", "4.16", "[ts", "rl0000", "ofr", "hl:", "mi:", "rp:", "trop", "zu viele", "demasiad"),
)
