"""The seam of the bench: a row, its goals, and the means with which it measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench import contenders
from bench.load import Sink
from bench.server import Place, Server

#: The figures of one round, by name with unit: `end-to-end/s`, `MB/s`, `resident MB`, `p99 ms`. A name like
#: `adds/s @ 100000 waiting` is one point of a curve: the plot draws `adds/s` over `waiting`.
Figures = Mapping[str, float]

#: The names of the contenders that are servers: the one most goals are about, the same with compiled modules, the same
#: with a second worker, the peers.
RELAY = contenders.RELAY
RELAY_COMPILED = contenders.RELAY_COMPILED
RELAY_X2 = contenders.RELAY_X2
POSTFIX = contenders.POSTFIX
EXIM = contenders.EXIM
HARAKA = contenders.HARAKA

_AS_USUAL: Mapping[str, str] = {}
_NO_FILES: Mapping[str, bytes] = {}


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that the relay, or the contender `of`, is to reach in a row.

    `against` names another contender of the row (`postfix`), or a contender of another row (`B1/smtprelay`): the bound
    is then on the ratio of the figure to the other's, round by round. Empty: the bound is on the figure itself.
    """

    figure: str
    bound: float
    at_most: bool = False
    against: str = ""
    of: str = RELAY


class Row(Protocol):
    """One line of the table. A row is a value: the state of a round lives in `run`."""

    @property
    def name(self) -> str:
        """How it is called: `B1`."""

    @property
    def words(self) -> str:
        """The load, in a few words."""

    @property
    def contenders(self) -> Sequence[str]:
        """The names of the contenders, which take turns; the relay is the first."""

    @property
    def goals(self) -> Sequence[Goal]:
        """The goals of the relay."""

    def run(self, bench: "Bench", contender: str) -> Figures:
        """Start the contender fresh, warm it up, measure one round, stop it.

        Raises bench.server.LeftOut if the contender cannot be had on this machine.
        """


@dataclass(frozen=True, slots=True)
class Bench:
    """The means that all rows share. `directory` lies on the measured disk, `cache` keeps the peers' programs."""

    directory: Path
    cache: Path
    quick: bool = False

    def amount(self, full: int, quick: int) -> int:
        """Return one of two sizes: of a run that takes its time, or of one that must not."""
        return quick if self.quick else full

    def sink(self) -> Sink:
        """Return a counting sink for a `with` block."""
        return Sink()

    def server(
        self,
        contender: str,
        sink_port: int,
        *,
        relay: Mapping[str, str] = _AS_USUAL,
        postfix: Mapping[str, str] = _AS_USUAL,
        exim: Mapping[str, str] = _AS_USUAL,
        files: Mapping[str, bytes] = _NO_FILES,
    ) -> Server:
        """Return a contender for a `with` block, which hands all mail to the sink and is not started yet.

        `relay`, `postfix` and `exim` are settings beyond the usual ones, each in its server's language; Haraka has
        only the usual ones. Exim's for the transport are called `smtp: hosts_require_tls`. `files` are written into
        its home by name; `@HOME@` in a setting's value stands for that folder.
        """
        place = Place(self.directory, self.cache, sink_port, files)
        return contenders.make(contender, place, relay=relay, postfix=postfix, exim=exim)
