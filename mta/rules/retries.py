"""`[[retry]]`: when mail that could not be delivered is tried again. Of all rules that apply, the first decides.

The rules are asked about each recipient after each attempt that failed for now, with its error.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from mta.message.outcome import ErrorKind
from mta.retry_schedule import WARN_AFTER, RetrySchedule, RetryTerms
from mta.rules.conditions import Condition, RecipientCondition, Rule, Stage
from mta.rules.facts import Facts

_STATUS = re.compile(r"4\.([0-9]{1,3}|\*)\.([0-9]{1,3}|\*)")
# RFC 3463 section 2: a status of class 5 is final, so that no further attempt follows it.
_FINAL = re.compile(r"5\.[0-9*]{1,3}\.[0-9*]{1,3}")
_KINDS = {kind.value: kind for kind in ErrorKind}


@dataclass(frozen=True, slots=True)
class StatusPattern:
    """A pattern of enhanced status codes of class 4 (RFC 3463); "" in place of a number stands for any number."""

    subject: str = ""
    detail: str = ""

    def __str__(self) -> str:
        """Return the pattern as it is written."""
        return f"4.{self.subject or '*'}.{self.detail or '*'}"

    def matches(self, status: str) -> bool:
        """Return whether a status matches."""
        subject, _, detail = status.partition(".")[2].partition(".")
        return self.subject in ("", subject) and self.detail in ("", detail)


@dataclass(frozen=True, slots=True)
class ErrorCondition:
    """`error`: the kind or the status of the error that ended the last attempt."""

    items: tuple[ErrorKind | StatusPattern, ...]
    key: ClassVar[str] = "error"
    stage: ClassVar[Stage] = Stage.ATTEMPT

    def __str__(self) -> str:
        """Return the errors as they are written."""
        return ", ".join(str(item) if isinstance(item, StatusPattern) else item.value for item in self.items)

    def matches(self, facts: Facts) -> bool:
        """Return whether the error matches an item."""
        error = facts.error
        return error is not None and any(
            item.matches(error.status) if isinstance(item, StatusPattern) else item is error.kind for item in self.items
        )


def read_error(text: str) -> ErrorKind | StatusPattern:
    """Return an item of `error`: a kind of errors, or a pattern of status codes. Raises ValueError with words."""
    if (kind := _KINDS.get(text.lower())) is not None:
        return kind
    if found := _STATUS.fullmatch(text):
        return StatusPattern(*(number.removeprefix("*") for number in found.groups()))
    if _FINAL.fullmatch(text):
        raise ValueError(f"{text!r} is final, and mail with it is returned at once; a status here begins with 4.")
    raise ValueError(f"{text!r} is no error; errors are {', '.join(_KINDS)}, and a status such as 4.7.* or 4.2.2")


@dataclass(frozen=True, slots=True)
class RetryRule:
    """A rule with its terms. `schedule` None is that of RETRY_SCHEDULE, `warn_after` None no report of delay."""

    rule: Rule
    schedule: RetrySchedule | None = None
    warn_after: float | None = WARN_AFTER
    # The rule without its conditions on the error, which is not known before an attempt.
    _before_attempt: Rule = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Separate the conditions on the error from the others."""
        object.__setattr__(self, "_before_attempt", self.rule.only(lambda one: not isinstance(one, ErrorCondition)))

    def terms(self, general: RetryTerms) -> RetryTerms:
        """Return the terms of the rule, with the schedule of the general ones if it has none."""
        return RetryTerms(self.schedule or general.schedule, self.warn_after)

    def may_apply(self, facts: Facts) -> bool:
        """Return whether the rule applies after some error."""
        return self._before_attempt.applies(facts)

    @property
    def errors(self) -> tuple[str, str]:
        """The errors after which the rule applies, and those after which it does not, as they are written."""
        listed = [
            [str(one) for one in conditions if isinstance(one, ErrorCondition)]
            for conditions in (self.rule.conditions, self.rule.unless)
        ]
        return ", ".join(listed[0]), ", ".join(listed[1])

    @property
    def asks_for_error(self) -> bool:
        """Whether the rule has a condition on the error."""
        return len(self._before_attempt.all_conditions) < len(self.rule.all_conditions)


class Retries:
    """The rules in their order."""

    __slots__ = ("asks_for_message", "rules")

    #: The rules name no hosts of clients.
    host_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, rules: Iterable[RetryRule]) -> None:
        #: All rules in their order.
        self.rules = tuple(rules)
        #: Whether a rule asks for more than the domain of a recipient and the error.
        self.asks_for_message = any(
            _asks_for_message(condition) for retry in self.rules for condition in retry.rule.all_conditions
        )

    def find(self, facts: Facts) -> RetryRule | None:
        """Return the rule that decides on `facts.recipient` after `facts.error`, or None if no rule applies."""
        for retry in self.rules:
            if retry.rule.applies(facts):
                return retry
        return None

    def possible(self, facts: Facts) -> Iterator[RetryRule | None]:
        """Yield the rules that may decide on `facts.recipient` after an attempt, and None if perhaps no rule does."""
        for retry in self.rules:
            if retry.may_apply(facts):
                yield retry
                if not retry.asks_for_error:
                    return
        yield None


def _asks_for_message(condition: Condition) -> bool:
    if isinstance(condition, RecipientCondition):
        return condition.patterns.asks_for_local
    return not isinstance(condition, ErrorCondition)
