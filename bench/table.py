"""Figures for people: medians of the rounds, ratios to Postfix round by round, and the table as Markdown."""

from collections.abc import Mapping, Sequence
from statistics import median

from bench.load import PATTERNS, Round

#: Rounds by pattern name, then by peer name.
Results = Mapping[str, Mapping[str, Sequence[Round]]]

_US = "smtprelay"
_THEM = "postfix"


def section(results: Results, facts: Mapping[str, str], command: str) -> str:
    """Return the table with the machine and the command, as it stands in bench/README.md."""
    return (
        f"{facts_line(facts)}.\n`{command}`\n\n{render(results)}\n\n"
        "Medians of the rounds; in brackets the least and the most.\n"
    )


def facts_line(facts: Mapping[str, str]) -> str:
    """Return the machine in one line."""
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def render(results: Results) -> str:
    """Return the table in Markdown, one row a pattern and peer, with the least and the most of the rounds."""
    lines = [
        "| pattern | server | durable accepts/s | end-to-end/s | rounds |",
        "|---|---|---:|---:|---:|",
    ]
    for pattern in PATTERNS:
        for name, rounds in results.get(pattern.name, {}).items():
            accepts = _spread([one.accepts for one in rounds])
            deliveries = _spread([one.deliveries for one in rounds])
            lines.append(f"| {pattern.words} | {name} | {accepts} | {deliveries} | {len(rounds)} |")
        if pairs := _pairs(results, pattern.name):
            accepts = _times([us.accepts / them.accepts for us, them in pairs])
            deliveries = _times([us.deliveries / them.deliveries for us, them in pairs])
            lines.append(f"| | **{_US} / {_THEM}** | **{accepts}** | **{deliveries}** | {len(pairs)} |")
    return "\n".join(lines)


def _pairs(results: Results, pattern: str) -> list[tuple[Round, Round]]:
    """Return the rounds of the relay and of Postfix that ran one after the other, and so had the machine to share."""
    peers = results.get(pattern, {})
    return list(zip(peers.get(_US, ()), peers.get(_THEM, ()), strict=False))


def _spread(rates: Sequence[float]) -> str:
    return f"{median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"


def _times(ratios: Sequence[float]) -> str:
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
