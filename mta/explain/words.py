"""Decisions in words: routes, settings of transport rules, and the terms of retries."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from mta.explain.values import RetryVerdict, RouteVerdict, TransportVerdict

#: The setting that has the schedule without a rule.
SCHEDULE_SETTING = "RETRY_SCHEDULE"


def route_words(decision: RouteVerdict) -> str:
    """Return the route of a recipient in words, with the rule that decides."""
    words = f"{decision.words} ({decision.setting})" if decision.setting else decision.words
    if decision.rule:
        return f"{decision.rule}: {words}; without that rule: {decision.otherwise}"
    return f"no rule; {words}" if decision.passed_over else words


def carried_words(decision: TransportVerdict) -> str:
    """Return the settings of transport rules for a recipient in words."""
    parts = (
        f"{', '.join(f'{key} {value}' for key, value in settings.items())} ({rule})"
        for rule, settings in decision.parts
    )
    return "; ".join(parts) or "no rule"


def retry_lines(decisions: Iterable[RetryVerdict]) -> Iterator[str]:
    """Yield the lines of all recipients; those of recipients with the same terms once."""
    by_recipient = groupby(decisions, lambda each: each.recipient)
    blocks = [(recipient, tuple(map(_retry_words, found))) for recipient, found in by_recipient]
    runs = [(words, [name for name, _ in run]) for words, run in groupby(blocks, lambda block: block[1])]
    for words, recipients in runs:
        named = f"{', '.join(recipients)}: " if len(runs) > 1 else ""
        yield from (f"{named}{line}" for line in words)


def _retry_words(decision: RetryVerdict) -> str:
    errors = f"after {decision.errors}: " if decision.errors else ""
    schedule = f"{errors}{decision.schedule} ({decision.rule if decision.has_schedule else SCHEDULE_SETTING})"
    if not decision.rule:
        return schedule
    report = f"report of delay after {decision.warn_after}" if decision.warn_after else "no report of delay"
    return f"{schedule}; {report}{'' if decision.has_schedule else f' ({decision.rule})'}"
