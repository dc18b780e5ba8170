"""A row of the bench that starts no server: its figures are given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.row import Bench, Figures, Goal


@dataclass(frozen=True)
class FakeRow:
    """Answers each round with the figures that `measure` returns for the contender."""

    name: str = "B1"
    words: str = "a load"
    contenders: Sequence[str] = ("smtprelay", "postfix")
    goals: Sequence[Goal] = ()
    measure: Callable[[str], Figures] = lambda _: {"end-to-end/s": 100.0}
    calls: list[str] = field(default_factory=list)

    def run(self, bench: Bench, contender: str) -> Figures:
        self.calls.append(f"{self.name} {contender}")
        return self.measure(contender)
