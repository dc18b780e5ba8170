"""Reports for people: the facts that a report is made from, and its text.

The text tells the event, the recipients, the remote host's full reply, and advice. Times are wall-clock seconds.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mta.message.body import Body
from mta.message.dates import mail_date
from mta.message.envelope import Envelope, Notify, Recipient
from mta.message.outcome import Outcome
from mta.smtp.address import printable

#: Characters up to which a reply is quoted.
MAX_REPLY = 8192
_WIDTH = 76
# A longer word is cut, so that no line exceeds 998 octets even if each character takes four.
_LONGEST_WORD = 240
# All white space except the blank, which is significant in a quoted local part.
_LINE_ENDS = re.compile(r"[^\S ]+")
_REPLY = re.compile(r"[2-5][0-9]{2}(?:[ -]|$)")
# By enhanced status without its class (RFC 3463): by subject and detail if there is an entry, otherwise by subject.
_ADVICE = {
    "1": "Check the address for spelling mistakes, or ask the recipient for the right one.",
    "1.8": "The other side does not accept your own address as the sender. Ask your mail administrator.",
    "2": "The mailbox takes no mail now. Reach the recipient in another way.",
    "2.2": "The mailbox is full. Reach the recipient in another way, or send the message again later.",
    "2.3": "The message is too large for this mailbox. Send less at once, or share the files in another way.",
    "3": "The other side could not handle the message. Send it again later.",
    "3.4": "The message is too large for the other side. Send less at once, or share the files in another way.",
    "4": "The other side could not be reached. Send the message again later, or reach the recipient in another way.",
    "4.6": "The message went in circles between mail systems. Show this report to your mail administrator.",
    "5": "The two mail systems did not understand each other. Show this report to your mail administrator.",
    "6": "The other side cannot take this kind of message. Send it in a simpler form.",
    "6.7": "The other side does not support international addresses. Use an address in plain letters.",
    "7": "The other side refuses the message by its own rules. Its words say why; only its postmaster can change that.",
}
_ADVICE_ELSE = "If the words above do not tell you what to do, show this report to your mail administrator."


@dataclass(frozen=True, slots=True)
class OriginalMessage:
    """The message that a report is about; `id` is its queue id, `created` the time at which it was accepted."""

    id: str
    envelope: Envelope
    body: Body
    created: float


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """A recipient of the original message, and the outcome for it."""

    recipient: Recipient
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ReportIdentity:
    """The values that make a report unique."""

    #: The host name of this relay.
    name: str
    #: The queue id of the report.
    id: str
    #: Random letters and digits for the MIME boundary, which a sender must not be able to guess.
    token: str
    now: float


@dataclass(frozen=True, slots=True)
class Report:
    """One event (FAILURE, DELAY or SUCCESS) and the recipients that the report is about."""

    event: Notify
    original: OriginalMessage
    results: Sequence[ReportedRecipient]
    identity: ReportIdentity
    #: The time at which delivery will be given up.
    retry_until: float | None
    #: Whether it goes to the postmaster, because the message has the null sender.
    is_copy: bool = False


def one_line(text: str, *, utf8: bool = True) -> str:
    """Return text of unknown origin as one printable line.

    Line ends become blanks, and characters that could hide text become `?`. Without `utf8` so do non-ASCII characters.
    """
    line = _LINE_ENDS.sub(" ", text[:MAX_REPLY]).strip()
    shown = printable(line)
    return shown if utf8 or shown.isascii() else "".join(char if char.isascii() else "?" for char in shown)


def wrapped(text: str, start: str, indent: str) -> list[str]:
    """Return text as lines of at most 76 characters, or more for a long word; the first line begins with `start `.

    A word that would make a line longer than 998 octets is cut.
    """
    lines: list[str] = []
    lead, at = f"{start} ", 0
    while len(text) - at > _WIDTH - len(lead):
        end, after = _line_end(text, at, at + _WIDTH - len(lead))
        lines.append(lead + text[at:end])
        lead, at = indent, after
    return [*lines, lead + text[at:]] if at < len(text) or not lines else lines


def _line_end(text: str, at: int, most: int) -> tuple[int, int]:
    """Return the end of a line that begins at `at`, which is the last blank up to `most`, and the start of the next."""
    # A blank at the start does not count, because it would leave a line of blanks.
    end = text.rfind(" ", at + 1, most + 1)
    if end < 0:
        end = text.find(" ", at + 1, at + _LONGEST_WORD + 1)
    if end < 0:
        end = min(at + _LONGEST_WORD, len(text))
        return end, end
    return end, end + 1


def is_reply(outcome: Outcome) -> bool:
    """Whether the text of an outcome is a remote host's SMTP reply, and not the relay's own."""
    return bool(outcome.host and _REPLY.match(outcome.text))


def subject(report: Report) -> str:
    """Return the Subject of a report; those of failures are Exim's and Postfix's, which many mail filters recognize."""
    if report.is_copy:
        return "Postmaster Copy: Undelivered Mail"
    if report.event is Notify.FAILURE:
        return "Mail delivery failed: returning message to sender"
    if report.event is Notify.DELAY:
        return f"Warning: message {report.original.id} delayed"
    return f"Message {report.original.id} delivered"


def human_readable_text(report: Report, *, whole: bool) -> str:
    """Return the first part of a report, with CRLF line ends. `whole` says whether the whole message follows."""
    lines = [f"This report was written by the mail relay {report.identity.name}.", "", *_introduction(report), ""]
    for result in report.results:
        lines += [*_recipient_lines(report.event, result), ""]
    lines += [*_origin_lines(report), "", _closing_line(report, whole=whole)]
    return "".join(f"{line}\r\n" for line in lines)


def _origin_lines(report: Report) -> list[str]:
    id, when = report.original.id, mail_date(report.original.created)
    if report.is_copy:
        return [f"The relay accepted the message on {when}", f"under the id {id}. For more: smtprelay explain {id}"]
    return [
        f"The relay accepted your message on {when}",
        f"under the id {id}. Give this id to postmaster@{report.identity.name}",
        "when you ask for help.",
    ]


def _closing_line(report: Report, *, whole: bool) -> str:
    owner = "The" if report.is_copy else "Your"
    if whole:
        return f"{owner} message follows."
    if not report.original.body.size:
        return "The message itself cannot be read any more and is not returned."
    return f"The header of {owner.lower()} message follows."


def _introduction(report: Report) -> list[str]:
    count = len(report.results)
    whom = "this recipient" if count == 1 else f"these {count} recipients"
    if report.is_copy:
        return [
            f"A report, or another message with the null sender, could not be delivered to {whom}.",
            "No sender is told, so this copy goes to the address in POSTMASTER.",
        ]
    if report.event is Notify.FAILURE:
        return [f"Your message could not be delivered to {whom}.", "It will not be tried again."]
    if report.event is Notify.DELAY:
        return [
            f"Your message has not been delivered yet to {whom}.",
            "You do not need to do anything.",
            "The relay keeps trying, and will tell you if it gives up.",
            *([] if report.retry_until is None else [f"That will not be before {mail_date(report.retry_until)}."]),
        ]
    return [f"Your message was delivered to {whom}."]


def _recipient_lines(event: Notify, result: ReportedRecipient) -> list[str]:
    """Return the lines about one recipient."""
    outcome = result.outcome
    lines = [f"  <{result.recipient.address}>"]
    if outcome.text:
        lines += wrapped(_speaker_line(outcome), "   ", "    ") + wrapped(one_line(outcome.text), "     ", "      ")
    if event is Notify.SUCCESS and outcome.host:
        lines += ["    That host sends no report when the message reaches the mailbox."]
    if event is Notify.FAILURE:
        lines += wrapped(_advice(outcome.status), "   ", "    ")
    return lines


def _speaker_line(outcome: Outcome) -> str:
    if not outcome.host:
        return "The relay says:"
    host = one_line(outcome.host)
    return f"{host} said:" if is_reply(outcome) else f"Trying {host}, the relay found:"


def _advice(status: str) -> str:
    detail = status[2:]
    return _ADVICE.get(detail) or _ADVICE.get(detail.partition(".")[0], _ADVICE_ELSE)
