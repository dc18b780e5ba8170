"""Formats findings as lines for operators and as a JSON object for programs."""

from collections import Counter
from collections.abc import Iterator, Sequence

from mta.doctor.findings import Finding, Level, exit_status

JsonObject = dict[str, object]

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


def as_object(findings: Sequence[Finding]) -> JsonObject:
    """Return the JSON object of all findings. `status` is the exit status."""
    return {
        "status": exit_status(findings),
        "findings": [
            {
                "check": finding.check,
                "level": finding.level.value,
                "seen": finding.seen,
                "remedy": finding.remedy or None,
                "records": list(finding.records),
            }
            for finding in findings
        ],
    }
