"""What became of one recipient at one attempt: three results with names, never a boolean."""

from dataclasses import dataclass, field

from mta.fast_value import fast_value
from mta.smtp.replies import Reply


@fast_value(frozen=True, slots=True)
class Delivered:
    """The next host took the message (2yz), or it lies in its Maildir."""

    #: The remote's reply in full, on one line.
    text: str
    #: Who said it: `mx.example.test[192.0.2.1]:25`, or "" for ourselves.
    host: str
    #: Enhanced status (RFC 3463), class 2.
    status: str = "2.0.0"
    #: Whether the next host took over the duty to report success (it offered DSN, RFC 3461 section 5.2.1).
    reports_success: bool = False


@dataclass(frozen=True, slots=True)
class TryLater:
    """Not now: a 4yz reply, trouble with the connection, or trouble with the DNS."""

    text: str
    host: str = ""
    #: Enhanced status, class 4.
    status: str = "4.0.0"
    #: One line of advice to the operator when the reason does not pass by itself; "" otherwise.
    advice: str = ""
    #: The reply that says so; None when the connection, the DNS or this relay is the reason.
    reply: Reply | None = field(default=None, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Failed:
    """Never: a 5yz reply, no such domain, or out of time."""

    text: str
    host: str = ""
    #: Enhanced status, class 5.
    status: str = "5.0.0"


Outcome = Delivered | TryLater | Failed
