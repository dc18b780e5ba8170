"""When a recipient is tried again and given up, and when its sender is told that it waits.

The operator's `[[retry]]` rules are asked after each attempt, so that changed rules count for mail that waits. For mail
that no rule names, the general terms count, which are those of RETRY_SCHEDULE.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mta.message.envelope import Recipient
from mta.message.outcome import TryLater
from mta.queue.interface import Claim, DueMessage
from mta.retry_schedule import RetryTerms
from mta.rules.book import CurrentRules
from mta.rules.facts import Facts
from mta.smtp.address import Address

if TYPE_CHECKING:
    from mta.rules.retries import Retries


class RetryPolicy:
    """Finds the terms for a recipient."""

    def __init__(self, general: RetryTerms, rules: CurrentRules) -> None:
        self._general = general
        self._rules = rules

    @property
    def asks_for_envelopes(self) -> bool:
        """Whether `owed` is more exact if a DueMessage has its envelope."""
        retries = self._retries
        return retries is not None and retries.asks_for_message

    @property
    def _retries(self) -> "Retries | None":
        book = self._rules.book
        return None if book is None else book.retry

    def terms(self, claim: Claim, recipient: Recipient, error: TryLater) -> RetryTerms:
        """Return the terms for a recipient of a message after an attempt with this error."""
        retries = self._retries
        if retries is None:
            return self._general
        found = retries.find(Facts("", False, claim.envelope.sender, recipient.address, error=error))
        return self._general if found is None else found.terms(self._general)

    def owed(self, waiting: DueMessage) -> float:
        """Return the time from which on a message is settled even if untried, because its sender must be told.

        The terms may depend on the error of an attempt that was not made: then the earliest time is returned.
        """
        retries = self._retries
        if retries is None:
            return _told_at(waiting, self._general)
        return min(_told_at(waiting, terms) for terms in self._possible(retries, waiting))

    def _possible(self, retries: "Retries", waiting: DueMessage) -> Iterable[RetryTerms]:
        """Return the terms that may count for a message."""
        if waiting.envelope is not None:
            sender, addresses = waiting.envelope.sender, [one.address for one in waiting.envelope.recipients]
        else:
            sender, addresses = None, [Address("", domain) for domain in waiting.domains]
        if not addresses or (waiting.envelope is None and retries.asks_for_message):
            found = {None, *retries.rules}
        else:
            found = {rule for one in addresses for rule in retries.possible(Facts("", False, sender, one))}
        return [self._general if rule is None else rule.terms(self._general) for rule in found]


def _told_at(waiting: DueMessage, terms: RetryTerms) -> float:
    ends = terms.schedule.ends(waiting.created)
    return ends if waiting.delay_reported or terms.warn_after is None else min(ends, waiting.created + terms.warn_after)
