"""The rows that grow, drawn as SVG: one panel a figure, one line a contender. Pure."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle

from bench.measure import POINT, number
from bench.results import Results, spread
from bench.row import Row

_POINT = re.compile(rf"(.+){POINT}([\d.]+) (.+)")
_WIDTH, _HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 56, 50
_LETTER = 6.5
_COLOURS = ("#1f5fa8", "#c4501b", "#3b8a3e", "#7a4fa3", "#6b6b6b", "#b8860b")
#: From where on an axis is better read by its powers of ten.
_WIDE = 50

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure as a function of the growing load. The points of each line are in order of x."""

    title: str
    axis: str
    lines: Mapping[str, Points]


def panels(results: Results, rows: Sequence[Row]) -> list[Panel]:
    """Return a panel for each figure of which there are at least two points, at the median of the rounds."""
    found: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        for contender, rounds in results.rounds.get(row.name, {}).items():
            for name in dict.fromkeys(name for figures in rounds for name in figures):
                parts = _POINT.fullmatch(name)
                middle = spread(results.values(row.name, contender, name))
                if parts and middle:
                    title, x, axis = parts.groups()
                    lines = found.setdefault((f"{row.name}: {title}", axis), {})
                    lines.setdefault(contender, []).append((float(x), middle.middle))
    drawn = (
        (title, axis, {name: sorted(points) for name, points in lines.items()})
        for (title, axis), lines in found.items()
    )
    return [Panel(*each) for each in drawn if max(map(len, each[2].values())) > 1]


def draw(drawn: Sequence[Panel]) -> str:
    """Return the panels as one SVG document, two beside each other."""
    width, height = _WIDTH * min(2, len(drawn)), _HEIGHT * math.ceil(len(drawn) / 2)
    body = "".join(
        f'<g transform="translate({_WIDTH * (place % 2)},{_HEIGHT * (place // 2)})">{"".join(_panel(panel))}</g>\n'
        for place, panel in enumerate(drawn)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}</svg>\n'
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to places. With a `least` the axis is logarithmic, and lower values stand at `least`."""

    first: float
    last: float
    start: float
    end: float
    least: float = 0.0

    def __call__(self, value: float) -> float:
        first, last = self._way(self.first), self._way(self.last)
        part = (self._way(value) - first) / (last - first) if last > first else 0.5
        return self.start + part * (self.end - self.start)

    def _way(self, value: float) -> float:
        return math.log10(max(value, self.least)) if self.least else value


def _panel(panel: Panel) -> Iterator[str]:
    xs = sorted({x for points in panel.lines.values() for x, _ in points})
    top = _round_up(max(y for points in panel.lines.values() for _, y in points))
    across = _Scale(xs[0], xs[-1], _LEFT, _WIDTH - _RIGHT, _least(xs))
    up = _Scale(0, top, _HEIGHT - _BOTTOM, _TOP)
    yield _text(_LEFT, 18, panel.title, 'font-weight="bold"')
    yield _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, panel.axis, 'text-anchor="middle"')
    for value in (0, top / 2, top):
        yield f'<path d="M{_LEFT} {up(value):.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>'
        yield _text(_LEFT - 6, up(value) + 4, number(value), 'text-anchor="end"')
    for x in xs:
        yield _text(across(x), _HEIGHT - _BOTTOM + 18, number(x), 'text-anchor="middle"')
    legend = float(_LEFT)
    for colour, (name, points) in zip(cycle(_COLOURS), panel.lines.items(), strict=False):
        yield from _line(colour, [(across(x), up(y)) for x, y in points])
        yield _text(legend, 38, name, f'fill="{colour}"')
        legend += _LETTER * (len(name) + 2)


def _least(xs: Sequence[float]) -> float:
    """Return the start of a logarithmic axis, a tenth of the least value or more; 0 if the axis is not wide."""
    positive = [x for x in xs if x > 0]
    if not positive or positive[-1] / positive[0] < _WIDE:
        return 0.0
    return positive[0] if xs[0] > 0 else positive[0] / 10


def _line(colour: str, points: Points) -> Iterator[str]:
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>'
    yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points)


def _text(x: float, y: float, words: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'


def _round_up(value: float) -> float:
    """Return the least round number that is not below a value."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * unit >= value * (1 - 1e-9))
