"""Prints the tables of docs/metrics.md from the table of metrics: `python -m tools.metrics_page`."""

import sys
from collections.abc import Iterator

from mta.metrics.metric import Kind, Metric
from mta.metrics.table import METRICS

#: Stand around the tables in docs/metrics.md.
BEGIN, END = "<!-- made by tools/metrics_page.py -->\n", "<!-- end -->\n"
_TITLES = {Kind.COUNTER: "Counters", Kind.GAUGE: "Gauges", Kind.HISTOGRAM: "Histograms"}


def metrics_tables() -> str:
    """Return a heading and a table for each kind of metric."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    for kind, title in _TITLES.items():
        yield f"\n### {title}\n"
        yield "| name | labels | meaning |"
        yield "|---|---|---|"
        yield from (_row(metric) for metric in METRICS.values() if metric.kind is kind)
    yield ""


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    if metric.values:
        labels += f": {', '.join(metric.values)}"
    return f"| `{metric.full_name}` | {labels} | {metric.help} |"


if __name__ == "__main__":
    sys.stdout.write(metrics_tables())
