"""The recipients that failed in a span of time: their number, their reasons, and examples, in bounded memory."""

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache

from mta.queue.entries import QueueId

#: Reasons that are counted apart; the others are counted together under OTHER.
MAX_REASONS = 500
OTHER = "other reasons"
#: Recipients that are kept as examples.
EXAMPLES = 20
_MOST = 100
# Code and status, which stay, and words with a digit, an address or a link, which differ from message to message.
_CODES = re.compile(r"[245][0-9]{2}[ -](?:[245]\.[0-9]{1,3}\.[0-9]{1,3} ?)?")
_OWN_WORD = re.compile(r"\S*[0-9@<>/\[\]]\S*")


@dataclass(frozen=True, slots=True)
class FailedRecipient:
    """A recipient that will not get its message. "" is the null sender, and a host that gave no reply."""

    id: QueueId
    created: float
    sender: str
    address: str
    host: str
    reply: str
    finished: float


@dataclass(slots=True)
class Failures:
    """The failures that were counted so far."""

    total: int = 0
    #: When the first of their messages arrived; 0 without one.
    oldest: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    #: The first failures, in the order of their times.
    examples: list[FailedRecipient] = field(default_factory=list)

    def add(self, reply: str, created: float) -> None:
        """Count a recipient that failed for this reply, and whose message was created then."""
        self.total += 1
        if not 0 < self.oldest <= created:
            self.oldest = created
        reason = reason_of(reply)
        if reason not in self.reasons and len(self.reasons) >= MAX_REASONS:
            reason = OTHER
        self.reasons[reason] += 1

    def wants(self, finished: float) -> bool:
        """Whether a recipient that failed then is one of the first."""
        return len(self.examples) < EXAMPLES or finished < self.examples[-1].finished

    def keep(self, failed: FailedRecipient) -> None:
        """Keep an example, and drop the last one of too many."""
        self.examples = sorted([*self.examples, failed], key=lambda each: each.finished)[:EXAMPLES]


@lru_cache(maxsize=1024)
def reason_of(reply: str) -> str:
    """Return a reply without the words that differ from message to message, and shortened."""
    codes = _CODES.match(reply)
    start = codes.end() if codes else 0
    return (reply[:start] + _OWN_WORD.sub("...", reply[start : start + _MOST])).strip()
