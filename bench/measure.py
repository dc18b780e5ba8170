"""Rounds over rows over contenders: each takes its turn, so that a slow phase of the machine slows all."""

import os
import time
from collections.abc import Callable, Sequence

from bench.results import Results
from bench.row import RELAY, Bench, Figures, Row
from bench.server import LeftOut

#: How a figure's name says that it is a point of a curve.
POINT = " @ "


class Measuring:
    """One run over the rows. `say` is told of every round; `clock` counts seconds, of which there are `seconds`."""

    def __init__(
        self,
        bench: Bench,
        rows: Sequence[Row],
        contenders: Sequence[str] | None,
        *,
        seconds: float,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.results = Results()
        self._bench = bench
        self._turns = [(row, taking_part(row, contenders, quick=bench.quick)) for row in rows]
        self._say = say
        self._clock = clock
        self._deadline = clock() + seconds
        self._took: dict[str, float] = {}
        self._out: set[tuple[str, str]] = set()

    def run(self, rounds: int) -> None:
        """Measure the rounds, or as many as there is time for. The notes of the results name missing rounds."""
        for number in range(rounds):
            late = [row.name for row, contenders in self._turns if not self._row(row, contenders, number)]
            if late:
                self._note(f"round {number + 1} of {', '.join(late)} left out: the time is over")

    def _row(self, row: Row, contenders: Sequence[str], number: int) -> bool:
        """Measure a round of a row, and say whether there was time: for all of it, if it is known how much it takes."""
        began = self._clock()
        if began + self._took.get(row.name, 0) > self._deadline:
            return False
        for contender in contenders:
            if self._clock() > self._deadline:
                return False
            self._turn(row, contender, number)
        self._took[row.name] = self._clock() - began
        return True

    def _turn(self, row: Row, contender: str, number: int) -> None:
        if (row.name, contender) in self._out:
            return
        # The disk has written the data of the contender before.
        os.sync()
        began = self._clock()
        try:
            figures = row.run(self._bench, contender)
        except LeftOut as reason:
            self._out.add((row.name, contender))
            self._note(f"{row.name} {contender} left out: {reason}")
        except (RuntimeError, OSError, AssertionError) as error:
            self._note(f"{row.name} {contender} round {number + 1} failed: {_brief(error)}")
        else:
            self.results.add(row.name, contender, number, figures)
            words = f"{row.name:4} round {number + 1} {contender:14} {in_words(figures)}"
            self._say(f"{words} ({self._clock() - began:.1f} s)")

    def _note(self, text: str) -> None:
        self.results.notes.append(text)
        self._say(text)


def taking_part(row: Row, asked: Sequence[str] | None, *, quick: bool) -> list[str]:
    """Return the contenders of a row: the requested ones or all; in a quick run only those of its goals."""
    if asked is not None:
        return [name for name in row.contenders if name in asked]
    if not quick:
        return list(row.contenders)
    named = {RELAY, *(name for goal in row.goals for name in (goal.of, goal.against))}
    return [name for name in row.contenders if name in named]


def _brief(error: Exception) -> str:
    """Return the last line of an error, which names the cause if the error quotes a program's output."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1][-300:]


def in_words(figures: Figures) -> str:
    """Return the figures of a round in one line, points of curves left out."""
    return ", ".join(f"{number(value)} {name}" for name, value in figures.items() if POINT not in name)


def number(value: float) -> str:
    """Return a figure as a person reads it: three digits, or all before the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 or value == 0 else f"{value:.1e}"
