"""Rules that change while the relay runs: when they are read, and when they are taken up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred, execute

from mta.config.rules.reading import RulesReading, read_again
from mta.daemon.rules_watch import RulesWatch
from mta.event_log.log import EventLog
from mta.file_states import FileState, FileStates
from mta.rules.acl import Acl, AclRule
from mta.rules.actions import Hold
from mta.rules.book import CurrentRules, RuleBook
from mta.rules.conditions import Rule, RulePlace

T = TypeVar("T")
NOON = 1_795_348_800.25
PATH = "/rules.d/1.toml"


def book(digest: str, *places: str) -> RuleBook:
    named = [place.partition(":") for place in places or (f"{digest}.toml:1",)]
    return RuleBook(
        acl=Acl(AclRule(Rule(RulePlace(file, int(line or 0))), Hold()) for file, _, line in named), digest=digest
    )


class Disk(FileStates):
    """Files whose states the test sets."""

    now: "Disk"

    def look(self) -> FileStates:
        return Disk.now


def states(version: int, *, directory: int = 0) -> Disk:
    return Disk(
        {
            PATH: FileState(False, PATH, 1, 1, 1, version, version),
            "/rules.d": FileState(True, "/rules.d", 1, 2, 1, directory, directory),
        }
    )


class Watched:
    """A watch over files in memory."""

    def __init__(self, first: RuleBook | None) -> None:
        self.lines: list[str] = []
        self.now = NOON
        self.rules = CurrentRules(first)
        self.changes = 0
        self.rules.when_changed(self._changed)
        self.on_disk = RulesReading(first, states(1))
        self.readings = 0
        #: Work of the thread that the test lets end; None: work ends at once.
        self.slow: list[Callable[[], Any]] | None = None
        event_log = EventLog(self.lines.append, lambda: self.now)
        Disk.now = states(1)
        self.watch = RulesWatch(
            self.rules, states(1), self._read, run=self._run, wall_clock=lambda: self.now, event_log=event_log
        )

    def _changed(self) -> None:
        self.changes += 1

    def _read(self) -> RulesReading:
        self.readings += 1
        return self.on_disk

    def _run(self, work: Callable[[], T]) -> "Deferred[T]":
        if self.slow is None:
            return execute(work)
        done: Deferred[T] = Deferred()
        self.slow.append(lambda: done.callback(work()))
        return done

    def write(self, version: int, first: RuleBook | None, *mistakes: str, notices: tuple[str, ...] = ()) -> None:
        Disk.now = states(version)
        self.on_disk = RulesReading(first, Disk.now, mistakes, notices)

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += 10
            self.watch.look()

    @property
    def told(self) -> list[str]:
        """The lines of the log without their times, since the last call."""
        told = [line.rstrip("\n").partition(" ")[2] for line in self.lines]
        self.lines.clear()
        return told


@pytest.fixture
def watched() -> Watched:
    return Watched(book("a"))


def test_nothing_is_read_while_nothing_changes(watched: Watched) -> None:
    watched.look(5)
    assert (watched.readings, watched.changes, watched.told) == (0, 0, [])


def test_a_change_is_taken_up_when_two_looks_have_seen_the_same(watched: Watched) -> None:
    watched.write(2, book("b", "1.toml:1", "1.toml:5", "2.toml:1"))
    watched.look()
    assert (watched.readings, watched.told) == (0, [])
    watched.look()
    assert watched.rules.book is watched.on_disk.book
    assert watched.told == ['rules text="3 rules in 2 files are in force" digest=b']
    watched.look(5)
    assert (watched.readings, watched.changes) == (1, 1)


def test_files_that_are_being_written_are_not_read(watched: Watched) -> None:
    for version in (2, 3, 4):
        watched.write(version, book("b"))
        watched.look()
    assert watched.readings == 0
    watched.look()
    assert watched.readings == 1


def test_sighup_reads_at_once_and_tells_the_rules_though_they_are_the_same(watched: Watched) -> None:
    watched.watch.reload()
    assert (watched.changes, watched.told) == (0, ['rules text="1 rule in 1 file is in force" digest=a'])
    watched.write(2, book("b"))
    watched.watch.reload()
    assert (watched.changes, watched.told) == (1, ['rules text="1 rule in 1 file is in force" digest=b'])
    watched.look(3)
    assert watched.readings == 2


def test_a_mistake_changes_nothing_and_is_told_once_for_each_change(watched: Watched) -> None:
    old = watched.rules.book
    watched.write(2, None, "/rules.d/1.toml:2: wrong", "/rules.d/1.toml:3: wrong")
    watched.look(5)
    assert (watched.rules.book, watched.changes, watched.readings) == (old, 0, 1)
    assert watched.told == [
        'trouble text="the new rules are not taken up: 2 mistakes; those of 12:00:00 stay"',
        'trouble text="/rules.d/1.toml:2: wrong"',
        'trouble text="/rules.d/1.toml:3: wrong"',
    ]
    watched.write(3, None, "/rules.d/1.toml:2: wrong")
    watched.look(2)
    assert watched.told[0] == 'trouble text="the new rules are not taken up: 1 mistake; those of 12:00:00 stay"'
    watched.watch.reload()
    assert len(watched.told) == 2
    watched.write(4, book("b"))
    watched.look(2)
    assert watched.told == ['rules text="1 rule in 1 file is in force" digest=b']
    watched.now += 86400
    watched.write(5, None, "x")
    watched.look(2)
    assert watched.told[0].endswith('1 mistake; those of 2026-11-22 12:01:30 stay"')


def test_every_mistake_is_told(watched: Watched) -> None:
    watched.write(2, None, *(f"/rules.d/1.toml:{line}: wrong" for line in range(90)))
    watched.watch.reload()
    assert len(watched.told) == 91


def test_a_relay_without_rules_stays_without() -> None:
    watched = Watched(None)
    watched.watch.reload()
    assert watched.told == []
    watched.write(2, None, "x")
    watched.look(2)
    assert "1 mistake; the relay stays without rules" in watched.told[0]
    watched.write(3, book("b", "ALLOWED_SENDERS"))
    watched.look(2)
    assert watched.told == ['rules text="1 rule of variables is in force" digest=b']
    watched.write(4, None)
    watched.look(2)
    assert (watched.rules.book, watched.told) == (None, ['rules text="no rules are in force"'])


def test_rules_of_files_and_variables_are_counted_apart(watched: Watched) -> None:
    watched.write(2, book("b", "1.toml:1", "1.toml:2", "BCC_TO", "ALLOWED_SENDERS"))
    watched.watch.reload()
    assert watched.told == ['rules text="2 rules in 1 file and 2 rules of variables are in force" digest=b']


def test_notices_are_told_when_rules_are_taken_up(watched: Watched) -> None:
    watched.write(2, book("b"), notices=("/rules.d: not read: README",))
    watched.look(3)
    assert watched.told[0] == 'notice text="/rules.d: not read: README"'


def test_a_changed_file_with_the_same_rules_replaces_them_because_a_password_may_be_another(watched: Watched) -> None:
    watched.write(2, book("a"))
    watched.look(2)
    assert (watched.changes, len(watched.told)) == (1, 1)


def test_a_change_of_the_directory_alone_is_not_told(watched: Watched) -> None:
    Disk.now = states(1, directory=5)
    watched.on_disk = RulesReading(book("a"), Disk.now)
    watched.look(5)
    assert (watched.readings, watched.changes, watched.told) == (1, 0, [])


def test_one_reading_at_a_time_and_a_signal_meanwhile_is_not_forgotten(watched: Watched) -> None:
    watched.slow = []
    watched.watch.reload()
    watched.watch.reload()
    watched.look(3)
    assert len(watched.slow) == 1
    watched.write(2, book("b"))
    watched.slow.pop()()
    (second,) = watched.slow
    watched.slow.clear()
    second()
    assert (watched.readings, watched.slow) == (2, [])
    watched.look()
    assert len(watched.slow) == 1


def test_the_usual_directory_may_appear_after_the_start(tmp_path: Path) -> None:
    lines: list[str] = []
    rules = CurrentRules()
    first = read_again({}, tmp_path)
    assert first.files.all_absent
    watch = RulesWatch(
        rules,
        first.files,
        lambda: read_again({}, tmp_path),
        run=execute,
        wall_clock=lambda: NOON,
        event_log=EventLog(lines.append, lambda: NOON),
    )
    watch.look()
    directory = tmp_path / "etc/smtprelay/rules.d"
    directory.mkdir(parents=True)
    for _ in range(3):
        watch.look()
    assert (rules.book, lines) == (None, [])
    (directory / "1.toml").write_text("[[acl]]\nhold = true\n")
    for _ in range(2):
        watch.look()
    assert rules.book
    assert rules.book.acl
    (line,) = lines
    assert 'rules text="1 rule in 1 file is in force"' in line
    (directory / "1.toml").unlink()
    for _ in range(2):
        watch.look()
    assert rules.book is None


def test_a_relay_without_files_looks_without_a_thread() -> None:
    watched = Watched(None)
    ran: list[object] = []

    def run(work: Callable[[], T]) -> "Deferred[T]":
        ran.append(work)
        return execute(work)

    event_log = EventLog(watched.lines.append, lambda: NOON)
    files = FileStates({"/nowhere/rules.d": 2})
    watch = RulesWatch(watched.rules, files, watched._read, run=run, wall_clock=lambda: NOON, event_log=event_log)
    for _ in range(3):
        watch.look()
    assert (ran, watched.readings) == ([], 0)
