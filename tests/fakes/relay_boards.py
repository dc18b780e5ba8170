"""The boards of relays in one process: the table of destinations that are down, without a database."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from twisted.internet.task import Clock

from mta.delivery.relays.window import RelayWindows
from mta.message.outcome import TryLater

#: Seconds from a question to its answer, and from one look at the table to the next.
ANSWER, LOOK = 0.01, 5.0
PROBE, TURN = 180.0, 10.0


@dataclass(frozen=True)
class DownRow:
    until: float
    penalty: float
    trouble: TryLater


@dataclass
class CommonTable:
    """What all relays see. `steps` are the first and the longest seconds of the back-off."""

    clock: Clock
    steps: tuple[float, float]
    rows: dict[str, DownRow] = field(default_factory=dict)
    #: Until when one relay alone may try a destination.
    probes: dict[str, float] = field(default_factory=dict)


class FakeBoard:
    """The board of one relay."""

    def __init__(self, table: CommonTable, windows: RelayWindows) -> None:
        self.table = table
        self.windows = windows
        self.seen: dict[str, DownRow] = {}
        windows.board = self
        self._look()

    def known(self, name: str) -> DownRow | None:
        return self.seen.get(name)

    def failed(self, name: str, trouble: TryLater) -> None:
        self._later(self._note_failure, name, trouble)

    def answered(self, name: str) -> None:
        self.seen.pop(name, None)
        self._later(self._remove, name)

    def ask_to_probe(self, name: str) -> None:
        self._later(self._decide, name)

    def retry(self, name: str) -> None:
        self._later(self._allow, name)

    def _later(self, call: Callable[..., object], *arguments: object) -> None:
        self.table.clock.callLater(ANSWER, call, *arguments)

    def _look(self) -> None:
        self.table.clock.callLater(LOOK, self._look)
        for name, row in self.table.rows.items():
            if self.seen.get(name) != row:
                self.seen[name] = row
                self.windows.on_down(name, row)
        for name in self.seen.keys() - self.table.rows.keys():
            del self.seen[name]
            self.windows.on_up(name)

    def _note_failure(self, name: str, trouble: TryLater) -> None:
        table, now = self.table, self.table.clock.seconds()
        row = table.rows.get(name)
        if row is None or row.until <= now:
            first, longest = table.steps
            penalty = first if row is None else min(2 * row.penalty, longest)
            row = table.rows[name] = DownRow(now + penalty, penalty, trouble)
            table.probes.pop(name, None)
        self.seen[name] = row
        self.windows.on_down(name, row)

    def _remove(self, name: str) -> None:
        self.table.rows.pop(name, None)
        self.table.probes.pop(name, None)

    def _allow(self, name: str) -> None:
        if (row := self.table.rows.get(name)) is not None:
            self.table.rows[name] = replace(row, until=self.table.clock.seconds())
            self.table.probes.pop(name, None)

    def _decide(self, name: str) -> None:
        now, row = self.table.clock.seconds(), self.table.rows.get(name)
        if row is None:
            self.windows.on_up(name)
        elif row.until > now:
            self.windows.on_down(name, row)
        elif self.table.probes.get(name, 0.0) > now:
            self.windows.on_others_probe(name, TURN)
        else:
            self.table.probes[name] = now + PROBE
            self.windows.on_probe(name, PROBE)
