"""The rows of `python -m bench.queue_bench --url`: the queue on PostgreSQL, against the queue in files and itself.

Each figure is a ratio of two that were taken in turn, round by round, and the table has the median of the rounds.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import LiteralString, Self
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from bench.processes import cpu_seconds
from harness.daemon import ROOT
from harness.postgres import Cluster

#: The tables whose size must not grow with the messages that went through.
_HOT = ("message", "recipient", "body", "lane")
_SIZE = "SELECT sum(pg_total_relation_size(('smtprelay.' || name)::regclass)) FROM unnest(%s::text[]) name"
_WAL = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"
#: Copies each message that waits `times` times, so that a large queue is there soon. Ids stay unique, as the copies get
#: those of the microseconds after the newest one.
_COPY = """
CREATE TEMP TABLE copy ON COMMIT DROP AS
    SELECT id AS old, (SELECT max(id) FROM smtprelay.message) + 1024 * row_number() OVER () AS new
    FROM smtprelay.message, generate_series(1, {times});
INSERT INTO smtprelay.message SELECT made.* FROM copy JOIN smtprelay.message m ON m.id = old
    CROSS JOIN LATERAL jsonb_populate_record(m, jsonb_build_object('id', new)) made;
INSERT INTO smtprelay.recipient SELECT made.* FROM copy JOIN smtprelay.recipient r ON r.message_id = old
    CROSS JOIN LATERAL jsonb_populate_record(r, jsonb_build_object('message_id', new)) made;
INSERT INTO smtprelay.body SELECT new, data FROM copy JOIN smtprelay.body ON message_id = old;
UPDATE smtprelay.lane SET accepted = accepted + (SELECT count(*) FROM copy) WHERE node = 0;
"""

#: Microseconds of CPU for a message in a relay with its SMTP, which has a lone core for them (B1).
WHOLE_RELAY = 400


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    rounds: int = 3
    messages: int = 5000
    #: Of the row about much mail that waits: the smaller number, and how many times as many the larger one is.
    waiting: int = 100_000
    times: int = 10
    #: Messages through the queue until the tables are measured; ten times as many until they are again.
    through: int = 60_000
    #: Messages while a snapshot is held.
    beside: int = 50_000


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the result. `values` are those of the rounds; `bound` is None for a figure without a goal."""

    words: str
    values: Sequence[float]
    bound: float | None = None
    at_most: bool = False
    unit: str = ""

    def __str__(self) -> str:
        middle, spread = median(self.values), f"({min(self.values):.3g} to {max(self.values):.3g})"
        line = f"{self.words:64} {middle:7.3g} {self.unit:3} {spread:20}"
        if self.bound is None:
            return line
        reached = middle <= self.bound if self.at_most else middle >= self.bound
        return f"{line} {'at most' if self.at_most else 'at least'} {self.bound:g}: {'yes' if reached else 'NO'}"


class WorkerProcess:
    """A process of `bench.queue_worker`, for a `with` block."""

    def __init__(self, place: str) -> None:
        command = [sys.executable, "-m", "bench.queue_worker", place]
        self._child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        self.answer()
        return self

    def __exit__(self, *exc: object) -> None:
        self._child.communicate()

    def begin(self, **task: int) -> None:
        """Begin a task."""
        assert self._child.stdin is not None
        print(json.dumps(task), file=self._child.stdin, flush=True)

    def answer(self) -> Mapping[str, float]:
        """Wait for the figures of the task. Raises RuntimeError if the process ends before."""
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"the process that works on the queue ended with status {self._child.wait()}")
        figures: Mapping[str, float] = json.loads(line)
        return figures

    def do(self, **task: int) -> Mapping[str, float]:
        """Carry out a task and return its figures."""
        self.begin(**task)
        return self.answer()


def rate(figures: Mapping[str, float]) -> float:
    """Return messages a second."""
    return figures["messages"] / figures["seconds"]


def cpu(figures: Mapping[str, float]) -> float:
    """Return microseconds of CPU a message."""
    return figures["cpu"] / figures["messages"] * 1e6


class Database:
    """An empty database to measure, of a private server if there is one."""

    def __init__(self, url: str, cluster: Cluster | None = None) -> None:
        self.url = url
        self.cluster = cluster

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """Connect beside the relays."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            yield connection

    def number(self, query: str, *values: object) -> float:
        """Return the number that a query finds."""
        with self.connection() as connection:
            (found,) = connection.execute(query, values).fetchone() or (0,)
        return float(found)

    def cpu(self) -> float:
        """Return seconds of CPU of the server's processes so far; 0 if the server is not a private one."""
        return 0.0 if self.cluster is None else cpu_seconds(self.cluster.pid)

    def multiply(self, times: int) -> None:
        """Make so many times as many messages of those that wait."""
        with self.connection() as connection:
            with connection.transaction():
                connection.execute(_COPY.format(times=times - 1))
            connection.execute("ANALYZE smtprelay.message, smtprelay.recipient, smtprelay.body")


class Databases:
    """Databases that are made on a server, for a `with` block, which deletes them at its end."""

    def __init__(self, url: str) -> None:
        """`url` is a database of a user that may make others."""
        self._url = url
        self._made: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for name in self._made:
            self._execute("DROP DATABASE {} WITH (FORCE)", name)

    def new(self) -> Database:
        """Make a database."""
        name = f"smtprelay_bench_{os.getpid()}_{len(self._made)}"
        self._execute("CREATE DATABASE {}", name)
        self._made.append(name)
        return Database(urlsplit(self._url)._replace(path=f"/{name}").geturl())

    def _execute(self, statement: LiteralString, name: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


class Rows:
    """The rows, in the order of the table."""

    def __init__(self, new_database: Callable[[], Database], directory: Path, sizes: Sizes) -> None:
        """`new_database` returns an empty database; `directory` is on the disk on which the server has its files."""
        self._new = new_database
        self._directory = directory
        self._sizes = sizes

    def all(self) -> Iterator[tuple[str, Callable[[], Iterator[Line]]]]:
        """Yield each row with its name."""
        yield "sqlite", self.against_sqlite
        yield "relays", self.several_relays
        yield "standby", self.standby
        yield "wal", self.wal
        yield "waiting", self.much_mail
        yield "snapshot", self.beside_a_snapshot
        yield "tables", self.tables

    def against_sqlite(self) -> Iterator[Line]:
        """Compare with the queue in files: the rate, and the CPU of the relay."""
        sizes, database = self._sizes, self._new()
        ratios: dict[int, list[float]] = {1: [], 20: [], 100: []}
        used: list[float] = []
        with (
            TemporaryDirectory(dir=self._directory) as folder,
            WorkerProcess(folder) as files,
            WorkerProcess(database.url) as shared,
        ):
            for worker in (files, shared):
                worker.do(load=sizes.messages // 5, flight=20)
            for flight, found in [*ratios.items()] * sizes.rounds:
                messages = sizes.messages if flight > 1 else sizes.messages // 10
                ours, theirs = (worker.do(load=messages, flight=flight) for worker in (shared, files))
                found.append(rate(ours) / rate(theirs))
                if flight == max(ratios):
                    used.append(cpu(ours) / cpu(theirs))
        for (flight, found), bound in zip(ratios.items(), (0.6, 0.55, 0.55), strict=True):
            yield Line(f"add + mark + settle, {flight} in flight, against SQLite", found, bound)
        yield Line("CPU of the relay, 100 in flight, against SQLite", used, 1.0, at_most=True)

    def several_relays(self) -> Iterator[Line]:
        """Compare one, two and three relays on one database: the queue alone, and with the work of a whole relay."""
        sizes, database = self._sizes, self._new()
        with ExitStack() as stack:
            workers = [stack.enter_context(WorkerProcess(database.url)) for _ in range(3)]
            for worker in workers:
                worker.do(load=sizes.messages // 5, flight=20)
            yield from self._relays(database, workers, "", sizes.messages, work=0)
            words = f" that work {WHOLE_RELAY} us a message besides"
            yield from self._relays(database, workers[:2], words, sizes.messages // 2, work=WHOLE_RELAY)

    def _relays(
        self, database: Database, workers: Sequence[WorkerProcess], words: str, messages: int, *, work: int
    ) -> Iterator[Line]:
        numbers = range(1, len(workers) + 1)
        rates: dict[int, list[float]] = {number: [] for number in numbers}
        relay: dict[int, list[float]] = {number: [] for number in numbers}
        server: dict[int, list[float]] = {number: [] for number in numbers}
        for number in [*numbers] * self._sizes.rounds:
            before = database.cpu()
            for worker in workers[:number]:
                worker.begin(load=messages, flight=100, work=work)
            figures = [worker.answer() for worker in workers[:number]]
            server[number].append((database.cpu() - before) / (number * messages) * 1e6)
            rates[number].append(number * messages / max(each["seconds"] for each in figures))
            relay[number].append(sum(map(cpu, figures)) / number)
        for number, found in rates.items():
            if number > 1:
                ratios = [several / one for several, one in zip(found, rates[1], strict=True)]
                yield Line(f"{number} relays{words}, against one", ratios, 1.5 if number == 2 else None)
            yield Line(f"{number} relays{words}: CPU of a relay for a message", relay[number], unit="us")
            if any(server[number]):
                yield Line(f"{number} relays{words}: CPU of the server for a message", server[number], unit="us")

    def standby(self) -> Iterator[Line]:
        """Compare with and without a synchronous standby on the same machine; only for a private server."""
        sizes, database = self._sizes, self._new()
        primary = database.cluster
        if primary is None:
            return
        rates: dict[tuple[int, bool], list[float]] = {}
        with (
            Cluster("second", copy_of=primary, directory=self._directory) as second,
            WorkerProcess(database.url) as worker,
        ):
            primary.wait_for_standby(second)
            worker.do(load=sizes.messages // 5, flight=20)
            for flight, waits in [(flight, waits) for flight in (20, 100) for waits in (True, False)] * sizes.rounds:
                primary.set(synchronous_standby_names='"second"' if waits else "")
                primary.execute("SELECT pg_sleep(0.2)")
                rates.setdefault((flight, waits), []).append(rate(worker.do(load=sizes.messages, flight=flight)))
            primary.set(synchronous_standby_names="")
        for flight, bound in ((20, 0.4), (100, 0.55)):
            ratios = [with_ / without for with_, without in zip(rates[flight, True], rates[flight, False], strict=True)]
            yield Line(f"with a synchronous standby, {flight} in flight, against without", ratios, bound)

    def wal(self) -> Iterator[Line]:
        """Measure the octets of the write-ahead log for a message."""
        sizes, database = self._sizes, self._new()
        found = []
        with WorkerProcess(database.url) as worker:
            worker.do(load=sizes.messages // 5, flight=100)
            for _ in range(sizes.rounds):
                # Right after a checkpoint each page is written whole, which is not a matter of the messages.
                before = database.number(_WAL)
                worker.do(load=sizes.messages, flight=100)
                found.append((database.number(_WAL) - before) / sizes.messages / 1024)
        yield Line("write-ahead log for a message of 4 KiB", found, 6.0, at_most=True, unit="KiB")

    def much_mail(self) -> Iterator[Line]:
        """Compare claims beside much waiting mail with claims beside less."""
        sizes = self._sizes
        less, more = self._filled(1), self._filled(sizes.times)
        ratios = []
        with WorkerProcess(less.url) as few, WorkerProcess(more.url) as many:
            for _ in range(sizes.rounds):
                number = min(sizes.messages, sizes.waiting // (2 * sizes.rounds))
                against = rate(few.do(claim=number))
                ratios.append(rate(many.do(claim=number)) / against)
        words = f"claim + settle, {sizes.waiting * sizes.times:,} waiting, against {sizes.waiting:,}"
        yield Line(words, ratios, 0.8)

    def _filled(self, times: int) -> Database:
        database, part = self._new(), max(1, self._sizes.waiting // 10)
        with WorkerProcess(database.url) as worker:
            worker.do(hold=part)
        database.multiply(self._sizes.waiting * times // part)
        return database

    def beside_a_snapshot(self) -> Iterator[Line]:
        """Compare a claim at the beginning of a held snapshot with one after many messages."""
        sizes, database = self._sizes, self._new()
        with WorkerProcess(database.url) as worker, database.connection() as holder:
            worker.do(load=sizes.messages // 5, flight=100)
            with holder.transaction():
                holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                holder.execute("SELECT count(*) FROM smtprelay.meta")
                first = [_claim(worker) for _ in range(sizes.rounds)]
                worker.do(load=sizes.beside, flight=100)
                later = [_claim(worker) for _ in range(sizes.rounds)]
        words = f"claim + settle of 100 beside a held snapshot, after {sizes.beside:,} messages"
        yield Line(words, [each / median(first) for each in later], 2.0, at_most=True)

    def tables(self) -> Iterator[Line]:
        """Compare the size of the tables after many messages with that after a tenth of them."""
        sizes, database = self._sizes, self._new()
        with WorkerProcess(database.url) as worker:
            worker.do(load=sizes.through, flight=100)
            early = database.number(_SIZE, list(_HOT))
            worker.do(load=sizes.through * 9, flight=100)
            late = database.number(_SIZE, list(_HOT))
        words = f"hot tables after {sizes.through * 10:,} messages, against after {sizes.through:,}"
        yield Line(words, [late / early], 1.5, at_most=True)


def _claim(worker: WorkerProcess) -> float:
    """Return the seconds for one handful that is claimed and settled."""
    worker.do(hold=100)
    return worker.do(claim=100)["seconds"]
