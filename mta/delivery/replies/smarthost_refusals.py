"""Recognises the refusals by the relay's own smarthost that are about the relay or the sender, not the recipient. Pure.

A 5yz reply of a recipient's host is final. A smarthost also sends one if the operator forgot the login, or if the
provider does not know the sender. Such mail must stay queued until an operator has read the log.
"""

import enum
import re
from dataclasses import dataclass
from functools import cache, cached_property

from mta.delivery.replies.setting_names import account, login_settings, setting_names, tls_setting
from mta.routing.route import Route, Smarthost, TlsRule
from mta.smtp.replies import Reply


class Blame(enum.Enum):
    """The part of the relay's side that a smarthost refuses."""

    LOGIN = "login"
    #: The right of this host, or of the login, to send through the smarthost at all.
    RELAYING = "relaying"
    SENDER = "sender"
    #: The account at the provider: blocked, not yet active, or over its quota.
    ACCOUNT = "account"
    #: The relay's name in EHLO.
    NAME = "name"
    #: The connection was in clear.
    CLEAR = "clear"


@dataclass(frozen=True, slots=True)
class Words:
    """A wording and its blame. `pattern` is a regular expression that ignores case; `source` is known to send it."""

    pattern: str
    blame: Blame
    source: str


#: RFC 4954 section 6.
CODES = dict.fromkeys((530, 534, 535, 538), Blame.LOGIN)

_MICROSOFT = "Microsoft: non-delivery reports in Exchange Online"
_GOOGLE = "Google: Gmail SMTP errors and codes"
_AMAZON = "Amazon: SMTP response codes returned by Amazon SES"
_POSTFIX = "Postfix: smtpd_check.c, access(5)"
_EXIM = "Exim: its default configuration, and cPanel's"

#: Enhanced status codes from the IANA registry, and those that Microsoft documents in addition.
STATUSES: dict[str, Blame] = {
    # RFC 3463: bad sender's mailbox address, and bad sender's system address. Microsoft uses the second to block an
    # account that sent spam.
    "5.1.7": Blame.SENDER,
    "5.1.8": Blame.SENDER,
    "5.1.90": Blame.ACCOUNT,  # Microsoft: the day's limit is reached
    "5.4.5": Blame.ACCOUNT,  # Google: the day's limit is exceeded
    "5.7.8": Blame.LOGIN,  # RFC 4954
    "5.7.9": Blame.LOGIN,
    "5.7.10": Blame.CLEAR,  # RFC 5248
    "5.7.11": Blame.LOGIN,
    "5.7.12": Blame.LOGIN,
    "5.7.13": Blame.ACCOUNT,
    "5.7.14": Blame.RELAYING,
    # RFC 7372 and RFC 7505: DKIM, SPF, reverse DNS, and a sender without MX.
    **{f"5.7.{detail}": Blame.SENDER for detail in (20, 21, 22, 23, 24, 26, 27)},
    "5.7.25": Blame.RELAYING,
    "5.7.51": Blame.RELAYING,  # from here on Microsoft
    "5.7.54": Blame.RELAYING,
    "5.7.57": Blame.LOGIN,
    "5.7.60": Blame.SENDER,
    "5.7.64": Blame.RELAYING,
    "5.7.68": Blame.RELAYING,
    "5.7.139": Blame.LOGIN,
    **{f"5.7.{detail}": Blame.ACCOUNT for detail in (501, 502, 503, 511, *range(700, 708), 750)},
    **{f"5.7.{detail}": Blame.SENDER for detail in (509, 515)},  # SPF, DKIM and DMARC of the sender's domain
    "5.7.506": Blame.NAME,
    **{f"5.7.{detail}": Blame.RELAYING for detail in (508, 708, *range(606, 650))},
}
#: Statuses about the recipient or the message, even if the words suggest otherwise (RFC 3463, RFC 7505).
ABOUT_RECIPIENT = frozenset(
    f"5.{rest}"
    for rest in (
        *("1.1", "1.2", "1.3", "1.4", "1.6", "1.10", "2.1", "2.2", "2.3", "2.4", "3.4", "6.7"),
        # Microsoft: recipients that accept mail from some senders only.
        *("7.124", "7.129", "7.133", "7.134", "7.135", "7.136"),
    )
)

_NOT_ALLOWED = (
    r"(?:not|n't|un)\s*(?:be |been |currently |yet )?(?:verified|allowed|authori[sz]ed|permitted|owned|valid)"
)
WORDS = (
    Words(r"helo command rejected|ehlo command rejected|(?:invalid|bad|bogus) (?:helo|ehlo)", Blame.NAME, _POSTFIX),
    Words(
        r"issue a? ?starttls|(?:starttls|\btls|encryption) (?:is )?(?:required|needed)"
        r"|(?:must|requires?|please) (?:use )?(?:tls|ssl|starttls|encryption)",
        Blame.CLEAR,
        _POSTFIX,
    ),
    Words(r"authenticat\w+ (?:is )?(?:required|needed)|requires? (?:smtp )?auth", Blame.LOGIN, _EXIM),
    Words(
        r"(?:must|please|need to) (?:first )?(?:authenticate|log ?in)|not (?:logged in|authenticated)",
        Blame.LOGIN,
        _EXIM,
    ),
    Words(
        r"authenticate first|auth(?:entication)? first|pop before smtp|log ?in first", Blame.LOGIN, "qmail, hMailServer"
    ),
    Words(r"invalid credentials|smtpclientauthentication is disabled", Blame.LOGIN, _GOOGLE),
    Words(r"sender address rejected|sender rejected", Blame.SENDER, _POSTFIX),
    Words(r"sender verif\w+ fail|verification failed for <>|callback setup failed", Blame.SENDER, _EXIM),
    Words(r"\bsender (?:has been |is )?(?:denied|blocked)", Blame.SENDER, "Yandex, Zoho"),
    Words(r"mail from (?:address )?must (?:equal|be (?:the )?same)", Blame.SENDER, "163.com, QQ"),
    Words(r"\bfrom\b.{0,80} (?:does not|must) match", Blame.SENDER, "hMailServer, MailEnable"),
    Words(
        r"\b(?:spf|dkim|dmarc)\b.{0,40}(?:fail|rejected|required)|(?:fail\w*|per) (?:spf|dkim|dmarc)\b",
        Blame.SENDER,
        _EXIM,
    ),
    Words(r"not owned by", Blame.SENDER, "Postfix: reject_sender_login_mismatch; Yandex"),
    Words(r"send ?as ?denied|permissions? to send (?:as|on behalf)", Blame.SENDER, _MICROSOFT),
    Words(r"(?:address|addresses|identity|identities) .{0,80}(?:not verified|failed the check)", Blame.SENDER, _AMAZON),
    Words(r"sender identity|sender signature|unauthenticated senders", Blame.SENDER, "SendGrid, Postmark"),
    Words(rf"(?:\bfrom\b|sender|envelope)\W.{{0,80}}{_NOT_ALLOWED}", Blame.SENDER, "SMTP2GO, Yahoo, Zoho, Mailjet"),
    Words(r"from:? address is not|send from this (?:header )?address", Blame.SENDER, "iCloud, Fastmail"),
    Words(r"not local sender|domain .{0,80}(?:is |are )?(?:unverified|not verified)", Blame.SENDER, "Mail.ru, Mailgun"),
    Words(r"sandbox subdomain", Blame.ACCOUNT, "Mailgun"),
    Words(
        r"rela(?:y|ying)\b.{0,40}(?:denied|not (?:permitted|allowed)|disallowed|prohibited|refused)",
        Blame.RELAYING,
        _EXIM,
    ),
    Words(
        r"(?:not|unable|refuse\w*|denied?|allowed) to relay|(?:do|does|will) not relay|no relay",
        Blame.RELAYING,
        _MICROSOFT,
    ),
    Words(r"rcpthosts|forwarding denied|not an open relay|not a gateway", Blame.RELAYING, "qmail, IMail"),
    Words(r"use (?:the )?submission port|port 25 is (?:blocked|closed)", Blame.RELAYING, "providers of access"),
    Words(r"reverse (?:lookup|dns|hostname)|\brdns\b|\bptr record", Blame.RELAYING, "Comcast, GMX"),
    Words(r"\byour ip\b.{0,80}(?:block|black|deny) ?list", Blame.RELAYING, "Proofpoint"),
    Words(r"client host rejected|client host .{0,80}blocked", Blame.RELAYING, _POSTFIX),
    Words(
        rf"\bip\b.{{0,80}}{_NOT_ALLOWED}|unauthori[sz]ed ip|banned sending ip",
        Blame.RELAYING,
        "Brevo, Google, Microsoft",
    ),
    Words(r"not authori[sz]ed to (?:perform|send|use|relay)", Blame.RELAYING, _AMAZON),
    Words(
        r"(?:sending|your account|smtp account|tenant)\b.{0,60}(?:suspended|paused|disabled|blocked|locked|restricted)",
        Blame.ACCOUNT,
        _AMAZON,
    ),
    Words(
        r"account\b.{0,60}not (?:yet )?(?:been )?activated|outbound spam|bad outbound sender",
        Blame.ACCOUNT,
        "Brevo, Microsoft",
    ),
    Words(
        r"(?:daily|hourly|monthly|sending|sent|outgoing|tenant|credits?)\b.{0,60}(?:exceeded|reached)",
        Blame.ACCOUNT,
        _GOOGLE,
    ),
    Words(r"exceed(?:s|ed) .{0,40}(?:sending|daily|hourly|monthly|outgoing|emails per)", Blame.ACCOUNT, "cPanel"),
    Words(r"\bplan limit|sending rate|(?:exceeded|reached) your", Blame.ACCOUNT, "Brevo, Google, Mailtrap"),
    Words(r"payment required|subscription .{0,20}expired", Blame.ACCOUNT, "Elastic Email"),
    Words(r"(?:trial|free|test|demo) accounts?\b|\bsandbox\b", Blame.ACCOUNT, "Mailgun, Mailtrap, MailerSend"),
)
# Quoted text, most often an address, is not the server's own wording.
_QUOTED = re.compile(r"<[^<>]*>")
#: The number of characters of a reply that are searched: the patterns are linear, but not free.
_MAX_WORDS = 1000


def blame(reply: Reply, *, to_mail: bool) -> Blame | None:
    """Return the part of the relay's side that a 5yz reply refuses; None if it is about the recipient or the message.

    `to_mail` is true for a reply to MAIL. No recipient was named yet, so only a size limit is about the message.
    """
    if reply.code in CODES:
        return CODES[reply.code]
    if to_mail and _is_size(reply):
        return None
    if not to_mail and reply.status in ABOUT_RECIPIENT:
        return None
    found = STATUSES.get(reply.status) or _by_words(reply)
    return found or (Blame.SENDER if to_mail else None)


def _is_size(reply: Reply) -> bool:
    return reply.status == "5.3.4" or (reply.code == 552 and "size" in reply.text.lower())


def _by_words(reply: Reply) -> Blame | None:
    text = _QUOTED.sub("<>", reply.text[:_MAX_WORDS])
    return next((blame for pattern, blame in _compiled() if pattern.search(text)), None)


@cache
def _compiled() -> list[tuple[re.Pattern[str], Blame]]:
    """Compile the patterns when they are first used, because they took a hundredth of a start (measured)."""
    return [(re.compile(words.pattern, re.IGNORECASE), words.blame) for words in WORDS]


@dataclass(frozen=True)
class OwnSmarthost:
    """Gives advice about refusals by the smarthost of a route."""

    route: Route
    smarthost: Smarthost

    def advice(self, reply: Reply, *, to_mail: bool) -> str:
        """Return advice for an operator about a 5yz reply, in one line; "" if the reply is final for the recipient."""
        found = blame(reply, to_mail=to_mail)
        return "" if found is None else f"{self._advice[found]}; mail stays queued"

    @cached_property
    def _advice(self) -> dict[Blame, str]:
        names = setting_names(self.smarthost)
        if self.route.credentials is None:
            ask = names.add_login
            login = f"the smarthost wants a login: {ask}"
            relaying = f"the smarthost does not relay for this host: {ask}, or have it allow this host's address"
            sender = f"the smarthost does not take the sender: have it allow that address, or {ask}"
        else:
            user = account(self.route.credentials)
            login = f"the smarthost does not accept the login: check {login_settings(self.route.credentials)}"
            relaying = f"the smarthost does not relay for this login: check the rights of the account in {user}"
            sender = f"the smarthost does not take the sender: verify or allow that address for the account in {user}"
        return {
            Blame.LOGIN: login,
            Blame.RELAYING: relaying,
            Blame.SENDER: sender,
            Blame.ACCOUNT: "the smarthost's provider has blocked or limited the account: ask the provider",
            Blame.CLEAR: (
                f"the smarthost wants TLS: set {tls_setting(self.route, TlsRule.REQUIRE)},"
                f" and {names.port} where it offers TLS"
            ),
            Blame.NAME: "the smarthost does not take this relay's name: set MAILNAME to a name that the DNS knows",
        }
