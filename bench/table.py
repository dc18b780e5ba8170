"""Figures for people: medians of the rounds, ratios to Postfix, and the table as Markdown."""

from collections.abc import Mapping, Sequence
from statistics import median

from bench.load import PATTERNS, Round

#: Rounds by pattern name, then by peer name.
Results = Mapping[str, Mapping[str, Sequence[Round]]]

_US = "smtprelay"
_THEM = "postfix"


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
        if ratio := ratios(results, pattern.name):
            lines.append(f"| | **{_US} / {_THEM}** | **{ratio[0]:.2f}** | **{ratio[1]:.2f}** | |")
    return "\n".join(lines)


def ratios(results: Results, pattern: str) -> tuple[float, float] | None:
    """Return how many times Postfix's median accept and end-to-end rates the relay reaches; None if one is missing."""
    peers = results.get(pattern, {})
    us, them = peers.get(_US), peers.get(_THEM)
    if not us or not them:
        return None
    return (
        median(one.accepts for one in us) / median(one.accepts for one in them),
        median(one.deliveries for one in us) / median(one.deliveries for one in them),
    )


def _spread(rates: Sequence[float]) -> str:
    return f"{median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"
