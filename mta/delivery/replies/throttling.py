"""Recognises the replies by which a server asks for fewer connections, a lower rate or fewer recipients. Pure.

Such a reply says nothing about the message, and the message is accepted as soon as the sender goes slower. The rows
that decide are in `throttle_table`.

A 5yz reply is final (RFC 5321 section 4.2.1), with exceptions that the table lists one by one. RFC 5321 section
4.5.3.1.10 demands that 552 with too many recipients is read as 452. The others are sending limits that the provider
documents as temporary although the code is 5yz: Gmail and Microsoft 365 lift them within 24 hours without any action,
and accept the same message then. Limits that an administrator must lift (Microsoft's 5.1.8, 5.7.501 to 5.7.508 and
5.7.705) stay final, and so does Gmail's 550 5.2.1 for a mailbox that receives too much, which follows its own 450.

Not throttling: greylisting, a full disk or mailbox, a server that shuts down or has too much load.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from mta.delivery.replies.throttle_table import REFUSALS, ROWS, STEMS, LimitKind
from mta.message.outcome import Outcome, TryLater
from mta.smtp.replies import Reply

#: The longest wait that a reply can ask for, in seconds; a longer one is cut to it.
LONGEST_WAIT = 86400.0

# The number of characters of a text that are searched: the wording comes first, addresses and links follow.
_SEARCHED = 500

# Statuses that are enough by themselves, whatever the words.
_DECIDING_STATUSES = frozenset(row.status for row in ROWS if row.pattern is None)
# RFC 3463 section 3.3.
_MAILBOX_FULL = "4.2.2"
# The limits of a destination as a whole, as opposed to those of one mailbox or one transaction.
_OF_DESTINATION = frozenset((LimitKind.CONNECTIONS, LimitKind.RATE, LimitKind.MESSAGES, LimitKind.QUOTA))
_GREYLISTING = re.compile(r"gr[ea]y[ -]?list")

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
# "try again in 60 seconds", "retry after 5 min", "come back in 00:05:00", "try again in a few minutes". The distance
# between the verb and the number is bounded, so that a search stays linear.
_WAIT = re.compile(
    r"\b(?:again|retry|wait|back|resend)\b[^.;]{0,40}?\b"
    r"(?:(\d{1,2}):(\d\d):(\d\d)\b|(\d{1,6}|an?|a few|few) ?(s|m|h)(?:ecs?|econds?|ins?|inutes?|rs?|ours?)?\b)"
)


@dataclass(frozen=True, slots=True)
class Throttle:
    """A limit that a reply reports."""

    kind: LimitKind
    #: Seconds to wait, at most a day: from the reply, or else from the provider's documentation; None if in neither.
    wait: float | None
    #: The page or the program from which the reply is known.
    source: str


def throttle_of(outcome: Outcome) -> Throttle | None:
    """Return the limit of the destination that an outcome reports; None if it is not about such a limit."""
    if not isinstance(outcome, TryLater) or outcome.reply is None:
        return None
    limit = limit_of(outcome.reply)
    return limit if limit is not None and limit.kind in _OF_DESTINATION else None


@lru_cache(maxsize=256)
def limit_of(reply: Reply) -> Throttle | None:
    """Return the limit that a reply reports, as `throttling` does.

    The result is cached, because the recipients of a transaction often share a reply, and several modules ask.
    """
    return throttling(reply.code, reply.status, reply.text)


def throttling(code: int, status: str, text: str) -> Throttle | None:
    """Return the limit that a negative reply reports, or None if the reply is about anything else.

    `status` is the enhanced status, or "". `text` is the reply's text on one line, without code and status. The time
    is bounded (measured: 7 us for a 4yz reply without any of the stems, 25 to 75 us with one, 1 ms at worst).
    """
    if code < 400 or (code >= 500 and code not in REFUSALS):
        return None
    words = text[:_SEARCHED].lower()
    if status not in _DECIDING_STATUSES and not any(stem in words for stem in STEMS):
        return None
    if status == _MAILBOX_FULL or _GREYLISTING.search(words):
        return None
    for row in ROWS:
        if row.fits(code, status, words):
            wait = _wait(words)
            return Throttle(row.kind, row.wait if wait is None else wait, row.source)
    return None


def _wait(words: str) -> float | None:
    """Return the number of seconds that a text asks to wait, or None."""
    match = _WAIT.search(words)
    if match is None:
        return None
    hours, minutes, seconds, number, unit = match.groups()
    if unit is None:
        wait = int(hours) * 3600.0 + int(minutes) * 60.0 + int(seconds)
    else:
        wait = _number(number) * _SECONDS[unit]
    return min(max(wait, 1.0), LONGEST_WAIT)


def _number(word: str) -> int:
    """Return the value of a number in digits, of "a" or "an" (1), or of "few" (5)."""
    if word.isdigit():
        return int(word)
    return 5 if "few" in word else 1
