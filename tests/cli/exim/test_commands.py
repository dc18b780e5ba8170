"""Exim's commands as people type them, on a queue that no relay runs on."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness import mail as mails
from mta import __version__
from mta.blocking import run_inline
from mta.cli.exim.commands import exim_lines
from mta.cli.main import main
from mta.queue.interface import Entry, QueueId
from mta.queue.sqlite.queue import open_queue
from tests.cli.queue.test_command import fill, listed
from tests.cli.queue.test_render import DONE, FRESH, NOON


@pytest.fixture
def ids(tmp_path: Path) -> list[QueueId]:
    """Of two messages that wait, for bob@b.test and eve@b.test, and of one that is finished."""
    return fill(tmp_path)


def run(directory: Path, *words: str) -> Result:
    return CliRunner().invoke(main, words, env={"QUEUE_DIR": str(directory)})


@pytest.mark.parametrize(
    ("age", "size", "line"),
    [
        (0, 99, " 0m    99 0gqw5z6cn4j0y <alice@a.test>"),
        (90 * 60, 1024, "90m  1.0K 0gqw5z6cn4j0y <alice@a.test>"),
        (91 * 60, 10240, " 2h   10K 0gqw5z6cn4j0y <alice@a.test>"),
        (72.4 * 3600, 5 << 20, "72h  5.0M 0gqw5z6cn4j0y <alice@a.test>"),
        (4 * 86400, 50 << 20, " 4d   50M 0gqw5z6cn4j0y <alice@a.test>"),
    ],
)
def test_a_message_is_listed_as_exim_lists_it(age: float, size: int, line: str) -> None:
    entry = Entry(QueueId("0gqw5z6cn4j0y"), "alice@a.test", size, NOON, "", False, False, (FRESH, DONE))
    assert list(exim_lines(entry, NOON + age)) == [line, "          eve@b.test", "        D zoe@c.test", ""]


def test_the_list_the_count_and_the_version(tmp_path: Path, ids: list[QueueId]) -> None:
    for word in ("-bp", "-bpr"):
        shown = run(tmp_path, "exim", word).stdout
        assert [line.split()[2] for line in shown.splitlines() if "<" in line] == ids[:2]
        assert "          bob@b.test\n        D zoe@c.test\n\n" in shown
    assert run(tmp_path, "exim", "-bpc").stdout == "2\n"
    for word in ("-bV", "--version"):
        assert __version__ in run(tmp_path, "exim", word).stdout
    assert run(tmp_path, "mailq").stdout == run(tmp_path, "queue", "list").stdout
    assert run(tmp_path, "sendmail", "-bp").stdout == run(tmp_path, "queue", "list").stdout
    for words in (("newaliases",), ("exim", "-bi"), ("sendmail", "-bi")):
        assert (run(tmp_path, *words).exit_code, run(tmp_path, *words).output) == (0, "")


@pytest.mark.parametrize(("word", "held"), [("-q", True), ("-qf", True), ("-qff", False), ("-qqff", False)])
def test_a_queue_run_takes_frozen_messages_only_when_both_are_forced(
    tmp_path: Path, ids: list[QueueId], word: str, held: bool
) -> None:
    run(tmp_path, "exim", "-Mf", ids[0])
    assert "*** frozen ***" in run(tmp_path, "exim", "-bp").stdout
    done = run(tmp_path, "exim", word, "-v")
    assert done.stdout.count("is due now") == 2 - held
    assert done.stdout.count("released") == (not held)
    assert done.stderr.count("not tried: 1 held message") == held
    assert [entry["held"] for entry in listed(tmp_path)] == [held, False]


def test_sendmail_tries_the_queue_a_message_or_a_domain(tmp_path: Path, ids: list[QueueId]) -> None:
    assert run(tmp_path, "sendmail", "-q").stdout == f"{ids[0]} is due now\n{ids[1]} is due now\n"
    assert run(tmp_path, "sendmail", f"-qI{ids[1]}").stdout == f"{ids[1]} is due now\n"
    assert run(tmp_path, "sendmail", "-qRb.test").stdout.endswith("2 messages: are due now\n")
    missing = run(tmp_path, "sendmail", f"-qI{ids[2]}")
    assert (missing.exit_code, missing.stderr) == (69, f"smtprelay: no message {ids[2]} is in the queue\n")


def test_messages_are_frozen_thawed_tried_and_removed(tmp_path: Path, ids: list[QueueId]) -> None:
    for option, held in (("-Mf", True), ("-Mt", False), ("-Mf", True), ("-M", False)):
        assert run(tmp_path, "exim", option, ids[0]).exit_code == 0
        assert listed(tmp_path)[0]["held"] is held
    assert run(tmp_path, "exim", "-Mrm", *ids[:2]).stdout == f"{ids[0]} removed\n{ids[1]} removed\n"
    assert listed(tmp_path) == []
    assert run(tmp_path, "exim", "-Mrm", ids[0]).exit_code == 1


def test_a_message_is_shown_by_its_parts(tmp_path: Path, ids: list[QueueId]) -> None:
    header, _, body = mails.BODY.partition(b"\r\n\r\n")
    assert run(tmp_path, "queue", "show", "--header", ids[0]).stdout_bytes == header + b"\r\n\r\n"
    assert run(tmp_path, "exim", "-Mvh", ids[0]).stdout_bytes == header.replace(b"\r", b"") + b"\n\n"
    assert run(tmp_path, "exim", "-Mvb", ids[0]).stdout_bytes == body.replace(b"\r", b"")
    assert run(tmp_path, "exim", "-Mvc", ids[0]).stdout_bytes == mails.BODY.replace(b"\r", b"")
    assert run(tmp_path, "queue", "show", "--message", ids[0]).stdout_bytes == mails.BODY
    assert f"id: {ids[0]}\n" in run(tmp_path, "exim", "-Mvl", ids[0]).stdout
    gone = run(tmp_path, "exim", "-Mvh", ids[2])
    assert (gone.exit_code, gone.stderr) == (1, f"smtprelay: no message {ids[2]} is in the queue\n")


def test_a_large_message_is_shown_from_its_file(tmp_path: Path) -> None:
    queue = open_queue(tmp_path, run=run_inline, now=1.0)
    new = mails.mail("bob@b.test")
    writer = queue.writer(new.id)
    writer.write(b"Subject: x\r\n\r\n" + b"y" * 300_000 + b"\r\n")
    queue.add(mails.NewMail(new.id, new.envelope, writer.finish()), 1.0)
    queue.close()
    assert run(tmp_path, "exim", "-Mvh", new.id).stdout_bytes == b"Subject: x\n\n"
    assert len(run(tmp_path, "exim", "-Mvb", new.id).stdout_bytes) == 300_001


@pytest.mark.parametrize("words", [["-bd"], ["-bdf"], ["-bd", "-q15m", "-v"], ["-q15m"]])
def test_no_second_relay_is_started(tmp_path: Path, words: list[str]) -> None:
    refused = run(tmp_path, "exim", *words)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "the relay is already running" in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["-Mg", "x"], ["-bt", "a@b.test"], ["-M"], ["-Mes", "x", "a"], ["-bP"]])
def test_an_unsupported_option_is_refused_in_one_line(tmp_path: Path, words: list[str]) -> None:
    refused = run(tmp_path, "exim", *words)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("smtprelay: exim -")
    assert refused.stderr.count("\n") == 1


def test_exiqgrep_counts_and_finds(tmp_path: Path, ids: list[QueueId]) -> None:
    run(tmp_path, "exim", "-Mf", ids[1])

    def grep(*words: str) -> str:
        return run(tmp_path, "exiqgrep", *words).stdout

    assert grep("-c") == "2 matches out of 2 messages\n"
    assert grep("-i") == f"{ids[0]}\n{ids[1]}\n"
    assert grep("-iR") == f"{ids[1]}\n{ids[0]}\n"
    assert grep("-i", "-f", "ALICE") == grep("-i", "-r", "bob@") == grep("-ix") == f"{ids[0]}\n"
    assert grep("-zi") == grep("-i", "-f", "^<>$") == grep("-i", "-r", "eve") == f"{ids[1]}\n"
    assert grep("-c", "-r", "zoe") == "0 matches out of 2 messages\n"
    assert grep("-b", "-x") == f"{ids[0]} From: <alice@a.test> To: bob@b.test\n"
    assert "*** frozen ***" in grep("-z")
    assert grep("-c", "-o", "60") == "0 matches out of 2 messages\n"
    assert grep("-c", "-y60") == "2 matches out of 2 messages\n"
    for words in (["-q"], ["-f", "("], ["-o", "x"], ["bob"]):
        refused = run(tmp_path, "exiqgrep", *words)
        assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
