"""Formats findings as lines for operators."""

from collections import Counter
from collections.abc import Iterator, Sequence

from mta.doctor.findings import Finding, Level

_WIDTH = max(len(level.value) for level in Level)
_INDENT = " " * (_WIDTH + 2)


def as_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the lines of all findings, with the remedy and the records of each below it, and a count."""
    for finding in findings:
        yield f"{finding.level.value:<{_WIDTH}}  {finding.check}: {finding.seen}"
        if finding.remedy:
            yield f"{_INDENT}-> {finding.remedy}"
        for record in finding.records:
            yield f"{_INDENT}   {record}"
    counts = Counter(finding.level for finding in findings)
    yield ", ".join(f"{counts[level]} {level.value}" for level in Level if counts[level])
