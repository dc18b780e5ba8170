"""`smtprelay queue` on real queue files."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from twisted.internet.defer import Deferred

from harness.mail import mail
from mta.admin.socket_path import SOCKET_NAME
from mta.blocking import run_inline
from mta.cli.main import main
from mta.cli.state.opening import queue_directory
from mta.cli.state.stopped import StoppedState
from mta.config.setting import SettingsError
from mta.message.outcome import Delivered, TryLater
from mta.queue.disk.queue_dir import FILE_NAME, worker_home
from mta.queue.ids import IdSource
from mta.queue.interface import Claim, NewMail, QueueId, Settlement, Verdict
from mta.queue.sqlite.queue import SqliteQueue, open_queue

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
    result(queue.settle(Settlement(claims[0], [Verdict(0, later, due=NOW + 900), Verdict(1, done)], NOW)))
    result(queue.release(claims[1], NOW))
    result(queue.settle(Settlement(claims[2], [Verdict(0, done)], NOW)))
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


def test_a_list_shows_the_recipients_and_their_last_replies(tmp_path: Path, ids: list[QueueId]) -> None:
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
        "dkim": None,
        "finished": None,
        "attempts_made": [],
        "reroute": None,
    }


def test_the_history_is_listed_when_asked_for(tmp_path: Path, ids: list[QueueId]) -> None:
    assert [entry["id"] for entry in listed(tmp_path, "--all")] == ids
    assert "<gone@b.test> delivered, 1 attempt, on" in run(tmp_path, "queue", "list", "--all").stdout


def test_an_empty_queue_says_so(tmp_path: Path) -> None:
    result(opened(tmp_path).close())
    assert run(tmp_path, "queue", "list").stdout == ("Nothing is waiting. 0 messages finished in the last 7 days.\n")
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


def test_an_empty_queue_reports_the_finished_messages(tmp_path: Path, ids: list[QueueId]) -> None:
    run(tmp_path, "queue", "remove", *ids[:2])
    assert run(tmp_path, "queue", "list").stdout == (
        "Nothing is waiting. 3 messages finished in the last 7 days (0 failed): smtprelay queue list --all\n"
    )


def test_a_retry_of_all_skips_held_messages_and_one_by_id_does_not(tmp_path: Path, ids: list[QueueId]) -> None:
    run(tmp_path, "queue", "hold", ids[0])
    retried = run(tmp_path, "queue", "retry", "--all")
    assert retried.stdout == f"{ids[1]} is due now\n"
    assert retried.stderr == f"{StoppedState.told}\nsmtprelay: not tried: 1 held message (queue release --all)\n"
    assert [entry["held"] for entry in listed(tmp_path)] == [True, False]
    assert run(tmp_path, "queue", "retry", ids[0]).stdout == f"{ids[0]} is due now\n"
    assert [entry["held"] for entry in listed(tmp_path)] == [False, False]


def test_all_that_is_held_is_released_together(tmp_path: Path, ids: list[QueueId]) -> None:
    run(tmp_path, "queue", "hold", ids[1])
    assert run(tmp_path, "queue", "release", "--all").stdout == f"{ids[1]} released\n"
    assert [entry["held"] for entry in listed(tmp_path)] == [False, False]


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
    assert held.stderr == f"{StoppedState.told}\nsmtprelay: no message {missing} is in the queue\n"
    shown = run(tmp_path, "queue", "show", missing)
    assert (shown.exit_code, shown.stderr) == (1, f"smtprelay: no message {missing} is in the queue or its history\n")


def test_a_malformed_id_is_an_error(tmp_path: Path, ids: list[QueueId]) -> None:
    refused = run(tmp_path, "queue", "remove", ids[0], "xyz")
    assert (refused.exit_code, refused.stderr) == (1, "smtprelay: not a queue id: 'xyz'\n")
    assert len(listed(tmp_path)) == 2


def test_the_queue_directory_is_found_if_other_settings_are_wrong() -> None:
    assert queue_directory({"QUEUE_DIR": "/q", "PORT": "x"}) == Path("/q")
    assert queue_directory({}) == Path("/var/spool/smtprelay")
    with pytest.raises(SettingsError, match="QUEUE_DIR"):
        queue_directory({"QUEUE_DIR": "\0"})


@pytest.mark.parametrize("words", [["retry"], ["retry", "--all", "0000000000001"], ["hold"], ["show"], ["nonsense"]])
def test_a_command_that_makes_no_sense_exits_with_2(tmp_path: Path, words: list[str]) -> None:
    assert run(tmp_path, "queue", *words).exit_code == 2


def test_a_missing_queue_is_one_line_and_is_not_created(tmp_path: Path) -> None:
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
def test_a_queue_of_another_user_is_refused_with_advice(tmp_path: Path, ids: list[QueueId], closed: str) -> None:
    (tmp_path / closed).chmod(0)
    with somebody_else():
        refused = run(tmp_path, "queue", "list")
    (tmp_path / closed).chmod(0o700)
    assert refused.exit_code == 1
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.endswith(": run this as the relay's own user\n")


def test_a_socket_that_cannot_be_reached_is_one_line(tmp_path: Path, ids: list[QueueId]) -> None:
    (tmp_path / SOCKET_NAME).symlink_to(SOCKET_NAME)
    shown = run(tmp_path, "queue", "list")
    assert (shown.exit_code, shown.stdout) == (1, "")
    path = tmp_path / SOCKET_NAME
    assert shown.stderr == f"smtprelay: the relay at {path} cannot be reached: Too many levels of symbolic links\n"


def deal(directory: Path, workers: int, mails: Sequence[NewMail]) -> None:
    """Give each worker of a relay its share of these messages, the second of all of them delivered."""
    for number in range(workers):
        queue = opened(worker_home(directory, number + 1))
        for new in mails[number::workers]:
            claim = result(queue.add(new, NOW, lease=60.0))
            if new is mails[1]:
                result(queue.settle(Settlement(claim, [Verdict(0, Delivered("250 2.0.0 Ok", "mx.c.test"))], NOW)))
            else:
                result(queue.release(claim, NOW + 60))
        result(queue.close())


def undated(text: str) -> str:
    """Return the output of a command without the time at which a command before it ran."""
    return re.sub(r"held since \S+", "held since then", text)


def test_a_relay_with_several_workers_looks_like_one_with_a_single_queue(tmp_path: Path) -> None:
    mails = [mail(f"r{number}@b.test") for number in range(8)]
    ids = [new.id for new in mails]
    deal(tmp_path / "one", 1, mails)
    deal(tmp_path / "three", 3, mails)
    for words in (
        ["list"],
        ["list", "--json", "--all"],
        ["show", ids[1]],
        ["show", IdSource(1).new(1.0)],
        ["hold", ids[7], ids[2], ids[0], IdSource(1).new(1.0), ids[1]],
        ["summary"],
        ["list"],
        ["release", ids[7], ids[2]],
        ["retry", ids[5]],
        ["retry", "--all"],
        ["remove", *ids[3:]],
        ["summary"],
    ):
        one, three = (run(tmp_path / each, "queue", *words) for each in ("one", "three"))
        assert undated(three.stdout) == undated(one.stdout)
        assert (three.exit_code, three.stderr) == (one.exit_code, one.stderr)
    assert "messages: 2 (1 held, 0 in delivery)" in three.stdout


def test_the_changes_of_other_queues_are_printed_if_one_queue_fails(tmp_path: Path) -> None:
    mails = [mail("bob@b.test") for _ in range(6)]
    deal(tmp_path, 3, mails)
    with sqlite3.connect(tmp_path / "worker-2" / FILE_NAME) as connection:
        connection.execute("CREATE TRIGGER stop BEFORE UPDATE ON message BEGIN SELECT raise(ABORT, 'stopped'); END")
    held = run(tmp_path, "queue", "hold", *(new.id for new in mails))
    assert (held.exit_code, held.stdout) == (1, f"{mails[2].id} held\n{mails[5].id} held\n")
    assert held.stderr == f"smtprelay: in {tmp_path}/worker-2: the queue request failed: stopped\n"


def test_a_command_that_asks_a_relay_imports_neither_twisted_nor_sqlite() -> None:
    program = "import sys, mta.cli.queue.command; print(sorted({'twisted', 'sqlite3'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"
