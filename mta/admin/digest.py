"""The daily digest for the postmaster: when it is due, its text, and the file that says which was the last one.

A day ends at 06:00 UTC. The digest is a message of the relay with the null sender; its Message-ID tells its day, so
that it can be found in the queue.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mta.blocking import fsync_path
from mta.message.dates import mail_date, short_timestamp
from mta.message.dsn import COPY
from mta.message.envelope import BodyType, Envelope, Notify, Origin, Recipient
from mta.message.report_text import one_line, wrapped
from mta.queue.failures import Failures
from mta.smtp.address import Address

#: The names of the file in QUEUE_DIR, and of its next content.
FILE_NAME, NEW_NAME = "digest.json", "digest.json.new"
DAY, HOUR = 86400, 3600
#: The hour of the day, in UTC, at which a day of the digest ends.
AT = 6
#: Days that a digest covers at most, if there was none for longer.
MOST_DAYS = 7
#: Reasons that are listed.
REASONS = 20
# Failures that a search shows without a limit.
_SHOWN = 100
_SAFELY = os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Period:
    """The time that a digest covers, in wall-clock seconds; `until` is not part of it."""

    since: float
    until: float

    def message_id(self, name: str) -> str:
        """Return the Message-ID of the digest, without its brackets, of the relay with this name."""
        return f"digest-{short_timestamp(self.until)[:10]}@{name}"


def due(now: float, last: float | None) -> Period | None:
    """Return the period for which a digest is due, or None. `last` is the end of the last period; None without one.

    A clock that is set back makes no digest twice; one that was more than a day ahead does not end them.
    """
    until = (now - AT * HOUR) // DAY * DAY + AT * HOUR
    if last is None or last > until + DAY:
        return Period(until - DAY, until)
    return Period(max(last, until - MOST_DAYS * DAY), until) if last < until else None


def until_next(now: float) -> float:
    """Return the seconds until the next period ends."""
    return DAY - (now - AT * HOUR) % DAY


def read_last(directory: Path) -> float | None:
    """Return the end of the last period, or None if there is none or the file is damaged."""
    try:
        descriptor = os.open(directory / FILE_NAME, os.O_RDONLY | os.O_NONBLOCK | _SAFELY)
        with os.fdopen(descriptor, "rb") as file:
            return float(json.loads(file.read(1000))["until"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_last(directory: Path, period: Period) -> None:
    """Note durably that the digest of a period is done. Raises OSError."""
    new = directory / NEW_NAME
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(json.dumps({"until": period.until}).encode("ascii"))
        file.flush()
        os.fsync(descriptor)
    new.rename(directory / FILE_NAME)
    fsync_path(directory)


def digest(failures: Failures, period: Period, *, name: str, postmaster: Address, now: float) -> tuple[Envelope, bytes]:
    """Return the envelope and the content of a digest; `name` is the host name of the relay."""
    text = "".join(f"{line}\r\n" for line in _lines(failures, period, name)).encode()
    fields = [
        f"From: Mail Delivery System <Mailer-Daemon@{name}>",
        f"To: <{postmaster}>",
        f"Subject: {_recipients(failures.total)} failed until {short_timestamp(period.until)[:10]}",
        f"Date: {mail_date(now)}",
        f"Message-ID: <{period.message_id(name)}>",
        "Auto-Submitted: auto-generated",
        # Without it a digest that fails would bring a copy for the postmaster.
        f"{COPY}: digest",
        "MIME-Version: 1.0",
        f"Content-Type: text/plain; charset={'us-ascii' if text.isascii() else 'utf-8'}",
        f"Content-Transfer-Encoding: {'7bit' if text.isascii() else '8bit'}",
    ]
    message = "\r\n".join([*fields, "", ""]).encode() + text
    envelope = Envelope(
        sender=None,
        recipients=(Recipient(postmaster, Notify.NEVER),),
        origin=Origin.of_relay(name),
        body_type=BodyType.SEVEN_BIT if message.isascii() else BodyType.EIGHT_BIT,
        smtputf8=postmaster.needs_utf8,
    )
    return envelope, message


def _lines(failures: Failures, period: Period, name: str) -> Iterator[str]:
    since, until = (short_timestamp(each) for each in (period.since, period.until))
    yield f"This digest was written by the mail relay {name}."
    yield ""
    yield f"{_recipients(failures.total)} failed from {since} to {until}."
    yield ""
    yield "By reason:"
    yield ""
    for reason, number in failures.reasons.most_common(REASONS):
        yield from wrapped(one_line(reason), f"{number:>8} ", " " * 10)
    if (left := len(failures.reasons) - REASONS) > 0:
        yield f"          and {left} more reasons"
    yield ""
    yield "Examples:" if failures.total > len(failures.examples) else "The recipients:"
    for each in failures.examples:
        yield ""
        yield f"  {each.id}  {short_timestamp(each.finished)}"
        yield from wrapped(f"from <{each.sender}> to <{each.address}>", "   ", "    ")
        words = f"{each.host} said: {each.reply}" if each.host else each.reply
        yield from wrapped(one_line(words), "   ", "    ")
    yield ""
    yield "All of them, and one of them with its attempts:"
    yield ""
    limit = f" --limit {failures.total}" if failures.total > _SHOWN else ""
    yield f"  smtprelay queue find --status failed --since {short_timestamp(failures.oldest)}{limit}"
    yield f"  smtprelay explain {failures.examples[0].id}"


def _recipients(number: int) -> str:
    return f"{number} recipient{'' if number == 1 else 's'}"
