"""Findings: the results of checks, for an operator and for programs."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Level(enum.Enum):
    """The weight of a finding."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    #: The check does not apply here, or its facts cannot be had.
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check on one subject."""

    #: The area and the check: `identity/ptr`.
    check: str
    level: Level
    #: One line: the facts.
    seen: str
    #: One line of advice; "" if there is nothing to do.
    remedy: str = ""
    #: Lines of a zone file that mend a problem, ready to paste.
    records: tuple[str, ...] = ()


def ok(check: str, seen: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(check, Level.OK, seen)


def skipped(check: str, seen: str, remedy: str = "") -> Finding:
    """Return the finding of a check that was not made; `seen` is the reason, and `remedy` how to have it made."""
    return Finding(check, Level.SKIPPED, seen, remedy)


def warning(check: str, seen: str, remedy: str, *records: str) -> Finding:
    """Return a finding that may keep some mail from arriving, or will do so later."""
    return Finding(check, Level.WARNING, seen, remedy, records)


def failure(check: str, seen: str, remedy: str, *records: str) -> Finding:
    """Return a finding that keeps mail from arriving."""
    return Finding(check, Level.FAILURE, seen, remedy, records)


def exit_status(findings: Iterable[Finding]) -> int:
    """Return 2 if there is a failure, otherwise 1 if there is a warning, otherwise 0."""
    levels = {finding.level for finding in findings}
    if Level.FAILURE in levels:
        return 2
    return 1 if Level.WARNING in levels else 0
