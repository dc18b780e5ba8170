"""Stops a merge before each step, compares the disk with the table in README.md, and starts again."""

import re
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.blocking import run_inline
from mta.queue.disk.queue_dir import FILE_NAME, homes, worker_home, worker_numbers
from mta.queue.interface import Claim
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from mta.queue.sqlite.recovery import read_merge_mark
from mta.queue.worker_queues import copy
from mta.queue.worker_queues.merge import merge
from tests.queue.homes import KINDS, SMALL, Picture, fill, picture
from tests.queue.messages import LEASE, NOW, octets
from tests.queue.test_crash import README

THEN = NOW + 1000


class State(NamedTuple):
    step: str
    mark: str
    here: str
    there: str


def table() -> list[State]:
    """The rows of the README's table; a cell with several steps stands for one row each."""
    states = []
    for line in README.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 6 and re.match(r"X\d", cells[0]):
            states += [State(step.strip(), *cells[2:5]) for step in cells[1].split(",")]
    return states


class Stopped(Exception):
    """The program ends here."""


class Stop:
    """Ends the program before its nth step; what the disk then holds is in a folder of its own."""

    def __init__(self, directory: Path, after: int) -> None:
        self.copy = directory.with_name(f"{directory.name}-")
        self.name = ""
        self._directory = directory
        self._left = after

    def __call__(self, name: str) -> None:
        if self._left == 0:
            shutil.copytree(self._directory, self.copy, ignore=shutil.ignore_patterns("*-shm"))
            self.name = name
            raise Stopped
        self._left -= 1


def stopped(directory: Path, workers: int, after: int) -> tuple[str, Path] | None:
    """Merge up to a step; return its name and what that leaves, None when the merge ended before."""
    stop = Stop(directory, after)
    try:
        merge(directory, workers, THEN, stop)
    except Stopped:
        return stop.name, stop.copy
    return None


def state(step: str, directory: Path) -> State:
    """Return what a stop left of one small message S and one large one L."""
    look = directory.with_name("look")
    shutil.copytree(directory, look)
    with closing(sqlite3.connect(look / FILE_NAME)) as connection:
        mark = read_merge_mark(connection)
    here, there = (_held(home) for home in (look, worker_home(look, 3)))
    shutil.rmtree(look)
    return State(step, "-" if mark is None else f"{mark.phase.value} {mark.worker}", here, there)


def _held(home: Path) -> str:
    names = ["SL"[message["in_file"]] for message in picture(home).values()] if (home / FILE_NAME).exists() else []
    files = list((home / "bodies").iterdir()) if (home / "bodies").exists() else []
    return ", ".join(names + ["file of L"] * len(files)) or "-"


def check(directory: Path, workers: int, before: Picture) -> None:
    """After a start: every message is there once, as it was but for leases, and can be had by its worker alone."""
    assert max(worker_numbers(directory), default=1) <= workers
    after = picture(*homes(directory))
    for id, message in before.items():
        lease = {name: after[id][name] for name in ("leased", "due")} if message["leased"] else {}
        assert after[id] == message | lease
    assert after.keys() == before.keys()
    claims: dict[str, Claim] = {}
    for home in homes(directory):
        claims |= claimed(home)
    waiting = {id: message for id, message in before.items() if message["due"] is not None and not message["held"]}
    assert claims.keys() == waiting.keys()
    for id, claim in claims.items():
        assert octets(claim.body) == (waiting[id]["body"] or waiting[id]["file"])


def claimed(home: Path) -> dict[str, Claim]:
    """Open a home as its worker does and claim all; no file may be left over or missing."""
    queue: SqliteQueue = open_queue(home, run=run_inline, now=THEN, small=SMALL)
    assert queue.recovery.missing == ()
    claims: list[Claim] = []
    queue.claim(THEN, 1000, LEASE).addCallback(claims.extend)
    queue.close()
    large = {id for id, message in picture(home).items() if message["in_file"] and message["due"] is not None}
    assert {path.name for path in (home / "bodies").iterdir()} == large
    return {claim.id: claim for claim in claims}


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """QUEUE_DIR of a relay that had three workers, the last with a small and a large message."""
    fill(tmp_path / "spool" / "worker-2", [("waiting", True), ("delivered", False)])
    fill(tmp_path / "spool" / "worker-3", [("waiting", False), ("waiting", True)])
    return tmp_path / "spool"


def every_stop(spool: Path) -> list[tuple[str, Path]]:
    """Merge worker 3 again and again, and stop each time a step later."""
    stops = []
    while True:
        directory = spool.with_name(f"stop-{len(stops)}")
        shutil.copytree(spool, directory)
        stop = stopped(directory, 2, len(stops))
        if stop is None:
            return stops
        stops.append(stop)


def test_each_crash_leaves_the_state_of_the_table(spool):
    assert [state(step, copy) for step, copy in every_stop(spool)] == table()


def test_every_start_after_a_crash_has_each_message_once(spool):
    before = picture(*homes(spool)[1:])
    for _, stop in every_stop(spool):
        for workers in (1, 2, 3, 4):
            directory = shutil.copytree(stop, stop.with_name(f"{stop.name}{workers}"))
            merge(directory, workers, THEN)
            check(directory, workers, before)


kinds = st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.booleans()), max_size=3)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(kinds, min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 40)), max_size=4),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_no_chain_of_stops_loses_or_doubles_anything(contents, starts, workers, batch):
    """Each start has a number of workers of its own and is stopped at a step, if it gets that far; the last is not."""
    with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patch:
        patch.setattr(copy, "BATCH_MESSAGES", batch)
        directory = Path(scratch) / "spool"
        for number, some in enumerate(contents, 1):
            fill(worker_home(directory, number), some)
        before = picture(*homes(directory))
        for count, after in starts:
            _, directory = stopped(directory, count, after) or ("", directory)
        merge(directory, workers, THEN)
        check(directory, workers, before)
