"""The outcome of one delivery attempt for one recipient: delivered, temporary failure, or permanent failure.

A rule of the operator may have a recipient discarded instead of an attempt.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

from mta.fast_value import fast_value
from mta.smtp.replies import Reply


@fast_value(frozen=True, slots=True)
class Delivered:
    """The next host accepted the message (2yz), or it was stored in a Maildir."""

    #: The remote's reply in full, on one line.
    text: str
    #: The host that sent it: `mx.example.test[192.0.2.1]:25`, or "" for this relay.
    host: str
    #: Enhanced status (RFC 3463), class 2.
    status: str = "2.0.0"
    #: Whether the next host is responsible for reporting success, because it offers DSN (RFC 3461 section 5.2.1).
    reports_success: bool = False


class ErrorKind(enum.Enum):
    """The kinds of temporary failures that are not the reply to a mail. The values are the operator's words."""

    #: No connection could be made, or it ended without a reply.
    CONNECT = "connect"
    #: TLS failed, is not offered although it is required, or the certificate is not trusted.
    TLS = "tls"
    #: The login was refused, or could not be tried.
    LOGIN = "login"
    #: A look-up in the DNS failed.
    DNS = "dns"


@dataclass(frozen=True, slots=True)
class TryLater:
    """A temporary failure: a 4yz reply, or a failure of the connection or the DNS."""

    text: str
    host: str = ""
    #: Enhanced status, class 4.
    status: str = "4.0.0"
    #: One line of advice to the operator if the failure will not end by itself; otherwise "".
    advice: str = ""
    #: The remote's reply; None if the connection, the DNS or this relay is the reason.
    reply: Reply | None = field(default=None, compare=False, repr=False, kw_only=True)
    #: None if the failure is of no such kind: a reply to the mail, or a failure of this relay.
    kind: ErrorKind | None = field(default=None, kw_only=True)
    #: Returns the text for a recipient's domain, if the text names one; domains share destinations and their failures.
    text_for: Callable[[str], str] | None = field(default=None, compare=False, repr=False, kw_only=True)

    @property
    def words(self) -> tuple[str, str, str, str]:
        """Text, host, status and kind as plain values, which `of_words` turns back."""
        return self.text, self.host, self.status, self.kind.value if self.kind else ""

    @classmethod
    def of_words(cls, text: str, host: str, status: str, kind: str = "") -> "TryLater":
        """Return the failure with these words. Raises ValueError for a kind that there is not."""
        return cls(text, host, status, kind=ErrorKind(kind) if kind else None)


@dataclass(frozen=True, slots=True)
class Failed:
    """A permanent failure: a 5yz reply, a domain that does not exist, or the end of the retry schedule."""

    text: str
    host: str = ""
    #: Enhanced status, class 5.
    status: str = "5.0.0"


Outcome = Delivered | TryLater | Failed


@dataclass(frozen=True, slots=True)
class Discarded:
    """The recipient is done without a delivery and without a report, because a rule of the operator says so."""

    #: The place of the rule, and its name if it has one: `20-routes.toml:3 "no newsletters"`.
    rule: str

    @property
    def host(self) -> str:
        """Empty, because no host was asked."""
        return ""

    @property
    def text(self) -> str:
        """The words for the history."""
        return f"discarded by the rule {self.rule}"
