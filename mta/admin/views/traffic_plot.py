"""The traffic of the last day as a plot: numbers for a script, and lines of an SVG for a page without one. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mta.admin.state import TrafficMinute

#: Seconds of the plot, and of one of its steps.
SPAN = 86400.0
STEP = 300.0
STEPS = int(SPAN / STEP)
#: The size of the SVG's coordinates.
WIDTH, HEIGHT = 1152, 200
_TICK_HOURS = 4


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the axis of time."""

    x: int
    time: float


@dataclass(frozen=True, slots=True)
class TrafficPlot:
    """The recipients of each step by result; the last step is not over yet."""

    #: When the first step began.
    start: float
    step: int
    accepted: Sequence[int]
    delivered: Sequence[int]
    failed: Sequence[int]
    #: The upper end of the axis.
    top: int
    ticks: Sequence[Tick]

    @property
    def totals(self) -> tuple[int, int, int]:
        """Recipients accepted, delivered and failed."""
        return sum(self.accepted), sum(self.delivered), sum(self.failed)

    @property
    def is_empty(self) -> bool:
        """Whether there was no mail at all."""
        return not any(self.totals)

    def line(self, values: Sequence[int]) -> str:
        """Return the path of a line."""
        return f"M{' '.join(self._points(values))}"

    def area(self, values: Sequence[int]) -> str:
        """Return the path of the area below a line."""
        return f"M0,{HEIGHT} {' '.join(self._points(values))} {WIDTH},{HEIGHT}z"

    def _points(self, values: Sequence[int]) -> Iterable[str]:
        width = WIDTH / (STEPS - 1)
        for place, value in enumerate(values):
            # The points inside a level part are left out, because most plots are level for hours.
            if 0 < place < len(values) - 1 and values[place - 1] == value == values[place + 1]:
                continue
            yield f"{round(place * width)},{HEIGHT - round(value * HEIGHT / self.top)}"


def traffic_plot(minutes: Iterable[TrafficMinute], now: float) -> TrafficPlot:
    """Return the plot of the day that ends at `now`."""
    start = (now // STEP + 1) * STEP - SPAN
    counts = {name: [0] * STEPS for name in ("accepted", "delivered", "failed")}
    for minute in minutes:
        place = int((minute.time - start) // STEP)
        if 0 <= place < STEPS:
            for name, values in counts.items():
                # A clock that was set back may make a difference negative.
                values[place] += max(0, getattr(minute, name))
    most = max(max(values) for values in counts.values())
    return TrafficPlot(start, int(STEP), **counts, top=round_up(most), ticks=tuple(_ticks(start)))


def round_up(most: int) -> int:
    """Return the next number with one digit of 1, 2 or 5 that is not below, and at least 5."""
    unit = 1
    while True:
        for first in (1, 2, 5):
            if first * unit >= max(5, most):
                return first * unit
        unit *= 10


def _ticks(start: float) -> Iterable[Tick]:
    step = _TICK_HOURS * 3600.0
    time = (start // step + 1) * step
    while time < start + SPAN:
        yield Tick(round((time - start) * WIDTH / SPAN), time)
        time += step
