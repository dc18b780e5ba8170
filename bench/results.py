"""The figures of a run, and the verdicts on its goals. Pure: figures in, verdicts out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.row import Figures, Goal, Row


@dataclass(frozen=True, slots=True)
class Results:
    """Figures by row and contender, one item a round, empty for a failed round; and notes on missing ones."""

    rounds: dict[str, dict[str, list[Figures]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, row: str, contender: str, number: int, figures: Figures) -> None:
        """Keep the figures of one round (from 0), at the same index for all contenders, also after a missed round."""
        listed = self.rounds.setdefault(row, {}).setdefault(contender, [])
        listed += [{}] * (number - len(listed)) + [figures]

    def values(self, row: str, contender: str, figure: str) -> list[float | None]:
        """Return a figure round by round, None for a round without it."""
        return [figures.get(figure) for figures in self.rounds.get(row, {}).get(contender, ())]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of the rounds, the least and the most."""

    middle: float
    least: float
    most: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a goal. `measured` is a ratio or a figure, as the goal asks; None if a side of it is missing."""

    row: Row
    goal: Goal
    ours: Spread | None
    theirs: Spread | None
    measured: Spread | None

    @property
    def reached(self) -> bool | None:
        """Whether the median is on the right side of the bound; None without a median."""
        if self.measured is None:
            return None
        at_most = self.measured.middle <= self.goal.bound
        return at_most if self.goal.at_most else self.measured.middle >= self.goal.bound


def spread(values: Sequence[float | None]) -> Spread | None:
    """Return the spread of the values that are there, or None."""
    there = [value for value in values if value is not None]
    return Spread(median(there), min(there), max(there), len(there)) if there else None


def judge(results: Results, row: Row, goal: Goal) -> Verdict:
    """Hold a goal against the figures. A ratio is taken within a round, where both had the same machine to share."""
    ours = results.values(row.name, goal.of, goal.figure)
    if not goal.against:
        return Verdict(row, goal, spread(ours), None, spread(ours))
    theirs = results.values(*_place(row, goal.against), goal.figure)
    pairs = zip(ours, theirs, strict=False)
    ratios = [mine / yours for mine, yours in pairs if mine is not None and yours]
    return Verdict(row, goal, spread(ours), spread(theirs), spread(ratios))


def _place(row: Row, against: str) -> tuple[str, str]:
    """Return the row and the contender that `against` names."""
    there, slash, contender = against.partition("/")
    return (there, contender) if slash else (row.name, against)
