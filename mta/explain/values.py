"""Questions and answers of `smtprelay explain`: a message that is only described, and the decisions on it."""

import enum
from dataclasses import dataclass

from mta.smtp.replies import Reply


@dataclass(frozen=True, slots=True)
class Question:
    """A message and its client, as an operator describes them. Addresses are texts, as behind MAIL FROM and RCPT TO."""

    sender: str
    recipients: tuple[str, ...]
    #: The IP address of the client.
    client: str
    #: The name of the user who has logged in, or "".
    login: str = ""
    #: The name that the client gives in EHLO, or "".
    helo: str = ""
    #: Whether the session is inside TLS.
    tls: bool = False
    #: The header block, each field with its line end.
    header: bytes = b""
    #: The size of the message in octets, which the client announces; 0 if it announces none.
    size: int = 0
    #: Whether the client gives REQUIRETLS at MAIL.
    requiretls: bool = False


class Moment(enum.Enum):
    """The part of an SMTP session in which a decision is made."""

    EHLO = "EHLO"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"


@dataclass(frozen=True, slots=True)
class MailVerdict:
    """Whether mail is accepted: for one recipient, or for the message as a whole if `recipient` is ""."""

    moment: Moment
    recipient: str
    #: The refusal; None if the mail is accepted.
    reply: Reply | None
    #: The reason apart from rules: the setting, or the words of the reply.
    reason: str
    #: The rule that has decided, as `FILE:LINE "name"`, or "".
    rule: str = ""
    #: The decision without that rule, or "".
    otherwise: str = ""
    #: The rules that were asked and do not apply, each with the condition that is the reason.
    passed_over: tuple[str, ...] = ()
    #: Whether the message is held in the queue until an operator releases it.
    held: bool = False

    @property
    def verdict(self) -> str:
        """One word: accepted, held, deferred or refused."""
        if self.reply is None:
            return "held" if self.held else "accepted"
        return "deferred" if self.reply.temporary else "refused"


class RouteKind(enum.Enum):
    """The kind of a route."""

    LOCAL = "local"
    SMARTHOST = "smarthost"
    MX = "mx"
    #: The host of an address literal.
    LITERAL = "literal"
    #: The hosts that a rule lists.
    HOSTS = "hosts"
    DISCARD = "discard"
    FAIL = "fail"
    #: It depends on a host name in a rule that is not looked up.
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class RouteVerdict:
    """Where the mail for a recipient goes. `failed` says that it is returned to its sender instead."""

    recipient: str
    kind: RouteKind
    words: str
    #: Hosts with addresses and ports in the order to try them, if they were looked up or stand in the settings.
    hosts: tuple[str, ...] = ()
    #: The setting that has decided, or the place of the smarthost in the rules, or "".
    setting: str = ""
    failed: bool = False
    #: The names of these hosts.
    names: tuple[str, ...] = ()
    #: The name of the smarthost, "default" for that of the settings, or "".
    smarthost: str = ""
    #: The rule that has decided, as `FILE:LINE "name"`, or "".
    rule: str = ""
    #: The route without that rule, or "".
    otherwise: str = ""
    #: The rules that were asked and do not apply, each with the condition that is the reason.
    passed_over: tuple[str, ...] = ()
    #: The proof that each MX host must give, and its reason, if one is demanded and the hosts were looked up.
    demands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TransportVerdict:
    """How the mail for a recipient is carried, as far as rules say."""

    recipient: str
    #: The rules, each as `FILE:LINE "name"` with the settings that it gives.
    parts: tuple[tuple[str, dict[str, str]], ...]


@dataclass(frozen=True, slots=True)
class RewriteVerdict:
    """The changes that one rule makes, in words; `rule` is `FILE:LINE "name"`."""

    rule: str
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RetryVerdict:
    """When mail for a recipient is tried again after some errors.

    A recipient has one verdict for each rule that an error may choose, and a last one for all other errors.
    """

    recipient: str
    #: The errors in words, "" for all.
    errors: str
    schedule: str
    #: The age of the mail at which its sender is told that it waits; "" if the sender is not told.
    warn_after: str
    #: The rule that decides, or "".
    rule: str = ""
    #: Whether the rule sets the schedule, which otherwise is that of RETRY_SCHEDULE.
    has_schedule: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """All decisions on a message."""

    acl: tuple[MailVerdict, ...]
    rewrite: tuple[RewriteVerdict, ...]
    #: One for each recipient that is accepted, after the rules have changed the envelope.
    router: tuple[RouteVerdict, ...]
    #: For those of these recipients whose mail goes to other hosts, if there are rules about it.
    transport: tuple[TransportVerdict, ...]
    #: For each recipient in `router`.
    retry: tuple[RetryVerdict, ...]
    #: Remarks about facts that the question lacks.
    hints: tuple[str, ...] = ()

    @property
    def goes_on(self) -> bool:
        """Whether the relay accepts the message for every recipient and can send it on."""
        return all(each.reply is None for each in self.acl) and not any(each.failed for each in self.router)
