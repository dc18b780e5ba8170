"""B23: the load of B1 with the queue on PostgreSQL, on the same disk, against the queue in files."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import cpu_seconds
from bench.row import RELAY, Bench, Figures, Goal
from bench.rows.sending import warm_passage
from bench.server import LeftOut
from harness.postgres import Cluster, NoPostgresError, programs

#: The same relay with its queue in QUEUE_DIR.
IN_FILES = "in files"


@dataclass(frozen=True, slots=True)
class OnPostgres:
    """The row."""

    name: str = "B23"
    words: str = "the queue on PostgreSQL: 4 KiB, 20 sessions, reused connections, end to end"
    contenders: Sequence[str] = (RELAY, IN_FILES)
    goals: Sequence[Goal] = (Goal("end-to-end/s", 0.6, against=IN_FILES),)

    def run(self, bench: Bench, contender: str) -> Figures:
        """Send one round's messages through a relay with one queue or the other."""
        if contender == IN_FILES:
            return _send(bench, {})
        try:
            programs()
        except NoPostgresError as error:
            raise LeftOut(str(error)) from None
        with _cluster(bench.directory) as cluster:
            begun = cpu_seconds(cluster.pid)
            figures = _send(bench, {"QUEUE_URL": cluster.url(cluster.database())})
            return {**figures, "CPU s of the server": cpu_seconds(cluster.pid) - begun}


@contextmanager
def _cluster(directory: Path) -> Iterator[Cluster]:
    """Run a server whose files are on the measured disk. Any user must be able to enter there: it is not root's."""
    directory.chmod(0o755)
    with Cluster(directory=directory) as cluster:
        cluster.reuse_log_files()
        yield cluster


def _send(bench: Bench, settings: Mapping[str, str]) -> Figures:
    messages = bench.amount(5000, 600)
    with bench.sink() as sink, bench.server(RELAY, sink.port, relay=settings) as server:
        return warm_passage(server, sink, messages).figures()


ROW = OnPostgres()
