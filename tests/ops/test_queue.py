import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from click.testing import CliRunner, Result
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorUNIX
from twisted.trial.unittest import TestCase

from mta.config.setting import SettingsError
from mta.message.outcome import Delivered, TryLater
from mta.ops.cli import main
from mta.ops.control import SOCKET_NAME, ControlService
from mta.ops.queue import queue_directory
from mta.queue.home import FILE_NAME
from mta.queue.ids import IdSource
from mta.queue.interface import Change, Claim, QueueId, Verdict
from mta.queue.runner import run_inline
from mta.queue.sqlite import SqliteQueue, open_queue
from tests.fakes.mail import mail

# The commands read the real clock: the queue's times are beyond it.
NOW = 4_102_488_000.0
NOON = "2100-01-01T12:00:00Z"


def opened(directory: Path) -> SqliteQueue:
    return open_queue(directory, run=run_inline, now=NOW)


def result(waiting: "Deferred[Any]") -> Any:
    results: list[Any] = []
    waiting.addCallback(results.append)
    return results[0]


def fill(directory: Path) -> list[QueueId]:
    """Make a queue with a message that waits for one of two, one that is new, and one that is done."""
    queue = opened(directory)
    mails = [mail("bob@b.test", "zoe@c.test"), mail("eve@b.test", sender=None), mail("gone@b.test")]
    claims: list[Claim] = [result(queue.add(each, NOW, lease=60.0)) for each in mails]
    later, done = TryLater("450 4.2.0 later", "mx.b.test[192.0.2.1]:25"), Delivered("250 2.0.0 Ok", "mx.c.test")
    result(queue.settle(claims[0], [Verdict(0, later, due=NOW + 900), Verdict(1, done)], NOW))
    result(queue.release(claims[1], NOW))
    result(queue.settle(claims[2], [Verdict(0, done)], NOW))
    result(queue.close())
    return [claim.id for claim in claims]


def run(directory: Path, *words: str) -> Result:
    return CliRunner().invoke(main, words, env={"QUEUE_DIR": str(directory)})


def listed(directory: Path, *words: str) -> Any:
    shown = run(directory, "queue", "list", "--json", *words)
    assert shown.exit_code == 0
    return json.loads(shown.stdout)


@pytest.fixture
def ids(tmp_path: Path) -> list[QueueId]:
    return fill(tmp_path)


def test_a_list_for_people_says_who_waits_and_why(tmp_path: Path, ids: list[QueueId]) -> None:
    shown = run(tmp_path, "queue", "list")
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert lines[0].startswith(ids[0])
    assert lines[0].endswith("<alice@a.test>")
    assert lines[1].endswith("1 attempt, next 2100-01-01T12:15:00Z; mx.b.test[192.0.2.1]:25: 450 4.2.0 later")
    assert lines[2].startswith(ids[1])
    assert lines[3] == f"    <eve@b.test> waiting, next {NOON}"
    assert len(lines) == 4


def test_a_list_for_programs_is_one_json_array(tmp_path: Path, ids: list[QueueId]) -> None:
    entries = listed(tmp_path)
    assert [entry["id"] for entry in entries] == ids[:2]
    assert entries[0]["sender"] == "alice@a.test"
    assert entries[1]["sender"] == ""
    bob = next(each for each in entries[0]["recipients"] if each["address"] == "bob@b.test")
    assert bob == {
        "address": "bob@b.test",
        "status": "waiting",
        "attempts": 1,
        "next_attempt": "2100-01-01T12:15:00Z",
        "last_reply": "450 4.2.0 later",
        "host": "mx.b.test[192.0.2.1]:25",
        "finished": None,
    }


def test_the_history_is_listed_when_asked_for(tmp_path: Path, ids: list[QueueId]) -> None:
    assert [entry["id"] for entry in listed(tmp_path, "--all")] == ids
    assert "<gone@b.test> delivered, 1 attempt, on" in run(tmp_path, "queue", "list", "--all").stdout


def test_an_empty_queue_says_so(tmp_path: Path) -> None:
    result(opened(tmp_path).close())
    assert run(tmp_path, "queue", "list").stdout == "The queue is empty.\n"
    assert listed(tmp_path) == []


def test_one_message_is_shown_waiting_or_finished(tmp_path: Path, ids: list[QueueId]) -> None:
    assert f"id: {ids[0]}\n" in run(tmp_path, "queue", "show", ids[0]).stdout
    shown = run(tmp_path, "queue", "show", "--json", ids[2])
    assert json.loads(shown.stdout)["recipients"][0]["status"] == "delivered"


def test_the_summary_counts(tmp_path: Path, ids: list[QueueId]) -> None:
    assert run(tmp_path, "queue", "summary").stdout.splitlines()[0] == "messages: 2 (0 held, 0 in delivery)"


def test_hold_release_retry_and_remove_change_the_queue(tmp_path: Path, ids: list[QueueId]) -> None:
    assert run(tmp_path, "queue", "hold", ids[0]).stdout == f"{ids[0]} held\n"
    assert [entry["held"] for entry in listed(tmp_path)] == [True, False]
    assert run(tmp_path, "queue", "release", ids[0]).stdout == f"{ids[0]} released\n"
    assert [entry["held"] for entry in listed(tmp_path)] == [False, False]
    assert run(tmp_path, "queue", "retry", ids[0]).stdout == f"{ids[0]} is due now\n"
    assert listed(tmp_path)[0]["recipients"][0]["next_attempt"] < NOON
    assert run(tmp_path, "queue", "remove", ids[0], ids[1]).stdout == f"{ids[0]} removed\n{ids[1]} removed\n"
    assert listed(tmp_path) == []
    assert listed(tmp_path, "--all")[1]["recipients"][0]["status"] == "removed"


def test_retry_all_takes_every_message(tmp_path: Path, ids: list[QueueId]) -> None:
    assert run(tmp_path, "queue", "retry", "--all").stdout.splitlines() == [f"{id} is due now" for id in ids[:2]]


def test_the_command_works_while_a_daemon_has_the_queue(tmp_path: Path, ids: list[QueueId]) -> None:
    daemon = opened(tmp_path)
    assert run(tmp_path, "queue", "hold", ids[1]).exit_code == 0
    assert [claim.id for claim in result(daemon.claim(NOW + 3600, 10, 60.0))] == [ids[0]]
    result(daemon.close())


def test_a_message_that_is_not_there_is_an_error_but_the_others_are_done(tmp_path: Path, ids: list[QueueId]) -> None:
    missing = IdSource(1).new(1.0)
    held = run(tmp_path, "queue", "hold", missing, ids[0])
    assert (held.exit_code, held.stdout) == (1, f"{ids[0]} held\n")
    assert held.stderr == f"smtprelay: no message {missing} waits in the queue\n"
    shown = run(tmp_path, "queue", "show", missing)
    assert (shown.exit_code, shown.stderr) == (1, f"smtprelay: no message {missing} is in the queue or remembered\n")


def test_what_is_no_id_is_an_error(tmp_path: Path, ids: list[QueueId]) -> None:
    refused = run(tmp_path, "queue", "remove", ids[0], "xyz")
    assert (refused.exit_code, refused.stderr) == (1, "smtprelay: not a queue id: 'xyz'\n")
    assert len(listed(tmp_path)) == 2


def test_the_queue_directory_is_found_whatever_else_is_wrong() -> None:
    assert queue_directory({"QUEUE_DIR": "/q", "PORT": "x"}) == Path("/q")
    assert queue_directory({}) == Path("/var/spool/smtprelay")
    with pytest.raises(SettingsError, match="QUEUE_DIR"):
        queue_directory({"QUEUE_DIR": "\0"})


@pytest.mark.parametrize("words", [["retry"], ["retry", "--all", "0000000000001"], ["hold"], ["show"], ["nonsense"]])
def test_a_command_that_makes_no_sense_exits_with_2(tmp_path: Path, words: list[str]) -> None:
    assert run(tmp_path, "queue", *words).exit_code == 2


def test_no_queue_is_one_line_and_nothing_is_made(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "none"):
        refused = run(directory, "queue", "list")
        assert refused.exit_code == 1
        assert refused.stderr.startswith("smtprelay: ")
        assert refused.stderr.count("\n") == 1
        assert str(directory) in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_queue_of_a_newer_version_is_refused(tmp_path: Path, ids: list[QueueId]) -> None:
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("UPDATE meta SET value = 99 WHERE name = 'oldest_compatible'")
    refused = run(tmp_path, "queue", "list")
    assert refused.exit_code == 1
    assert "made by a newer smtprelay" in refused.stderr


@contextmanager
def somebody_else() -> Iterator[None]:
    """Give up the rights of root, if these are ours."""
    us = os.geteuid()
    os.seteuid(us or 65534)
    try:
        yield
    finally:
        os.seteuid(us)


@pytest.mark.parametrize("closed", [".", FILE_NAME])
def test_a_queue_that_is_not_ours_is_refused_with_advice(tmp_path: Path, ids: list[QueueId], closed: str) -> None:
    (tmp_path / closed).chmod(0)
    with somebody_else():
        refused = run(tmp_path, "queue", "list")
    (tmp_path / closed).chmod(0o700)
    assert refused.exit_code == 1
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.endswith(": run this as the relay's own user\n")


def test_a_daemon_that_cannot_be_told_is_no_failure(tmp_path: Path, ids: list[QueueId]) -> None:
    (tmp_path / SOCKET_NAME).symlink_to(SOCKET_NAME)
    held = run(tmp_path, "queue", "hold", ids[0])
    assert (held.exit_code, held.stdout) == (0, f"{ids[0]} held\n")
    assert "done, but the running relay could not be told" in held.stderr
    assert listed(tmp_path)[0]["held"]


class DaemonTests(TestCase):
    async def test_the_running_daemon_is_told_at_once_what_was_changed(self) -> None:
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        directory = Path(temporary.name)
        ids = fill(directory)
        assert IReactorUNIX.providedBy(reactor)
        told: Deferred[tuple[Change, list[QueueId]]] = Deferred()
        service = ControlService(reactor, directory, lambda *change: told.callback(change), self.fail)
        service.startService()
        self.addCleanup(service.stopService)
        run(directory, "queue", "retry", "--all")
        self.assertEqual(await told, (Change.RETRY, ids[:2]))
