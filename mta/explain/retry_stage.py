"""When mail that cannot be delivered at once is tried again: the terms of `[[retry]]` rules or of RETRY_SCHEDULE."""

from collections.abc import Iterator
from dataclasses import replace

from mta.config.schedule import write_schedule, write_time
from mta.explain.acl_stage import Verdicts
from mta.explain.parts import DecidingParts
from mta.explain.values import RetryVerdict
from mta.retry_schedule import RetryTerms
from mta.rules.facts import Facts
from mta.rules.retries import RetryRule
from mta.smtp.address import Address


def decide_retry(verdicts: Verdicts, relay: DecidingParts) -> tuple[RetryVerdict, ...]:
    """Return the terms for each accepted recipient after an attempt: by each error that a rule asks for, and else."""
    return tuple(each for address in verdicts.accepted for each in _of_recipient(address, verdicts.facts, relay))


def _of_recipient(address: Address, facts: Facts | None, relay: DecidingParts) -> Iterator[RetryVerdict]:
    general = RetryTerms(relay.settings.retry_schedule)
    retries = None if relay.book is None else relay.book.retry
    possible = [None] if retries is None or facts is None else list(retries.possible(replace(facts, recipient=address)))
    for rule in possible:
        terms = general if rule is None else rule.terms(general)
        yield RetryVerdict(
            str(address),
            _errors(rule, others=len(possible) > 1),
            write_schedule(terms.schedule),
            _warning(terms),
            "" if rule is None else str(rule.rule),
            has_schedule=rule is not None and rule.schedule is not None,
        )


def _warning(terms: RetryTerms) -> str:
    """Return the age at which the sender is told that the mail waits, or "" if the sender is not told."""
    after = terms.warn_after
    return "" if after is None or after >= terms.schedule.ends(0.0) else write_time(after)


def _errors(rule: RetryRule | None, *, others: bool) -> str:
    """Return the errors after which a rule decides; `others` tells that rules before it ask for errors."""
    applies, excepted = ("", "") if rule is None else rule.errors
    if excepted:
        return f"{applies or 'any error'} except {excepted}"
    return applies or ("any other error" if others else "")
