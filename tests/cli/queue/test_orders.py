"""Orders on messages that conditions find, and `queue bounce`, on real queue files."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.mail import mail
from mta.cli.main import main
from mta.cli.queue.orders import EXAMPLES, LINES
from mta.cli.state.stopped import StoppedState
from mta.message.outcome import Delivered, TryLater
from mta.queue.interface import Query, QueueId, Settlement, Status, Verdict
from tests.cli.queue.test_command import NOW, opened, result, run

LATER = TryLater("451 later", "mx")


def fill(directory: Path, count: int) -> list[QueueId]:
    queue = opened(directory)
    mails = [mail(f"r{number}@b.test") for number in range(count)] + [mail("other@c.test")]
    for new in mails:
        result(queue.add(new, NOW, due=NOW + 900))
    result(queue.close())
    return [new.id for new in mails]


def asked(directory: Path, answer: str, *words: str) -> Result:
    return CliRunner().invoke(main, ["queue", *words], env={"QUEUE_DIR": str(directory)}, input=answer)


def held(directory: Path) -> list[QueueId]:
    queue = opened(directory)
    entries = result(queue.find(Query()))
    result(queue.close())
    return [entry.id for entry in entries if entry.held]


def test_an_order_shows_the_count_and_ten_examples_and_asks(tmp_path: Path) -> None:
    ids = fill(tmp_path, 12)
    refused = asked(tmp_path, "n\n", "hold", "--to", "*@b.test")
    assert refused.exit_code == 1
    lines = refused.stdout.splitlines()
    assert lines[0] == "hold: 12 messages"
    assert [line.split()[0] for line in lines[1 : EXAMPLES + 1]] == ids[:EXAMPLES]
    assert lines[EXAMPLES + 1] == "  and 2 more"
    assert lines[EXAMPLES + 2].startswith("hold these 12 messages? [y/N]")
    assert refused.stderr.endswith("smtprelay: nothing is changed\n")
    assert held(tmp_path) == []
    assert asked(tmp_path, "y\n", "hold", "--to", "*@b.test").stdout.endswith("12 messages: held\n")
    assert held(tmp_path) == ids[:12]


def test_a_dry_run_changes_nothing_and_yes_does_not_ask(tmp_path: Path) -> None:
    ids = fill(tmp_path, 3)
    dry = run(tmp_path, "queue", "remove", "--domain", "b.test", "--dry-run")
    assert (dry.exit_code, dry.stdout.splitlines()[0], len(dry.stdout.splitlines())) == (0, "remove: 3 messages", 4)
    assert run(tmp_path, "queue", "remove", ids[0], "--dry-run").stdout.startswith("remove: 1 message\n")
    assert held(tmp_path) == []
    done = run(tmp_path, "queue", "hold", "--domain", "c.test", "--yes")
    assert (done.exit_code, done.stdout.splitlines()[-2:]) == (0, [f"{ids[3]} held", "1 message: held"])
    assert run(tmp_path, "queue", "release", "--status", "failed").stdout == "release: 0 messages\n"


def test_an_order_is_for_waiting_recipients_and_a_retry_leaves_held_mail_alone(tmp_path: Path) -> None:
    ids = fill(tmp_path, 3)
    run(tmp_path, "queue", "hold", ids[1])
    for words, count in (
        (["retry", "--domain", "b.test"], 2),
        (["retry", "--all"], 3),
        (["release", "--domain", "b.test"], 1),
        (["release", "--all"], 1),
        (["hold", "--domain", "b.test"], 3),
        (["bounce", "--domain", "b.test"], 3),
        (["retry", "--domain", "b.test", "--status", "held"], 1),
    ):
        shown = run(tmp_path, "queue", *words, "--dry-run").stdout.splitlines()
        assert shown[0] in {f"{words[0]}: {count} messages", f"{words[0]}: {count} message"}, words
    queue = opened(tmp_path)
    half = mail("done@d.test", "late@e.test")
    claim = result(queue.add(half, NOW, lease=60.0))
    result(queue.settle(Settlement(claim, [Verdict(0, Delivered("250 Ok", "mx")), Verdict(1, LATER, NOW)], NOW)))
    result(queue.close())
    assert run(tmp_path, "queue", "bounce", "--to", "done@d.test", "--dry-run").stdout == "bounce: 0 messages\n"
    assert run(tmp_path, "queue", "bounce", "--to", "late@e.test", "--dry-run").stdout.startswith("bounce: 1 message")


def test_many_messages_are_told_by_their_count(tmp_path: Path) -> None:
    fill(tmp_path, LINES + 5)
    lines = run(tmp_path, "queue", "retry", "--domain", "b.test", "--yes").stdout.splitlines()
    assert sum(line.endswith(" is due now") for line in lines) == LINES
    assert lines[-1] == f"{LINES + 5} messages: are due now"


def test_mail_that_comes_after_the_count_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = fill(tmp_path, 2)
    more: list[QueueId] = []

    def answer(_question: str) -> bool:
        more.extend(fill(tmp_path, 1))
        run(tmp_path, "queue", "remove", ids[0])
        return True

    monkeypatch.setattr("click.confirm", answer)
    done = run(tmp_path, "queue", "hold", "--domain", "b.test")
    assert done.exit_code == 0
    assert done.stderr == f"{StoppedState.told}\nsmtprelay: 1 message had left the queue meanwhile\n"
    assert held(tmp_path) == [ids[1]]


@pytest.mark.parametrize("words", [[], ["0gqw5z6cn4j0y", "--to", "x"], ["--all", "--to", "x"]])
def test_an_order_without_a_clear_aim_is_refused(tmp_path: Path, words: list[str]) -> None:
    fill(tmp_path, 1)
    for order in ("retry", "hold", "release"):
        assert run(tmp_path, "queue", order, *words).exit_code == 2
    assert run(tmp_path, "queue", "bounce").exit_code == 2
    assert run(tmp_path, "queue", "remove", "--all").exit_code == 2


def test_a_message_is_returned_to_its_sender_with_a_report(tmp_path: Path) -> None:
    ids = fill(tmp_path, 1)
    queue = opened(tmp_path)
    silent = mail("nobody@b.test", sender=None)
    result(queue.add(silent, NOW))
    result(queue.close())
    done = run(tmp_path, "queue", "bounce", ids[0], silent.id)
    assert (done.exit_code, done.stdout.count(" returned to its sender")) == (0, 2)
    assert done.stderr == f"{StoppedState.told}\nsmtprelay: no report: 1 message without a sender that wants one\n"
    queue = opened(tmp_path)
    (entry,) = result(queue.find(Query([ids[0]], finished=True, details=True)))
    (report,) = result(queue.find(Query(entry.reports)))
    text = result(queue.content(report.id)).decode()
    result(queue.close())
    assert [state.status for state in entry.recipients] == [Status.FAILED]
    assert (report.sender, [state.address for state in report.recipients]) == ("", ["alice@a.test"])
    assert "returned to the sender by the operator of this relay" in " ".join(text.split())
    assert (report.report_of, entry.unreported) == (ids[0], False)


def test_an_order_may_be_for_one_recipient(tmp_path: Path) -> None:
    queue = opened(tmp_path)
    both, other = mail("r1@b.test", "r2@b.test"), mail("r2@b.test")
    for new in (both, other):
        result(queue.add(new, NOW))
    result(queue.close())
    dry = run(tmp_path, "queue", "remove", "--domain", "b.test", "--recipient", "R1@b.test", "--dry-run")
    assert dry.stdout.startswith("remove: 1 message\n")
    words = ("queue", "remove", "--recipient", "r1@b.test", both.id, other.id)
    assert run(tmp_path, *words, "--dry-run").stdout.startswith("remove: 1 message\n")
    done = run(tmp_path, *words)
    assert (done.exit_code, done.stdout) == (1, f"{both.id} <r1@b.test> removed\n")
    assert done.stderr == f"{StoppedState.told}\nsmtprelay: no message {other.id} is in the queue for <r1@b.test>\n"
    queue = opened(tmp_path)
    states = [[one.status for one in entry.recipients] for entry in result(queue.find(Query()))]
    result(queue.close())
    assert states == [[Status.REMOVED, Status.WAITING], [Status.WAITING]]
    refused = run(tmp_path, "queue", "hold", "--recipient", "nobody at all", both.id)
    assert (refused.exit_code, "Invalid value for '--recipient'" in refused.stderr) == (2, True)
    assert run(tmp_path, "queue", "hold", "--recipient", "r1@b.test").exit_code == 2


def ways(directory: Path) -> list[list[str]]:
    queue = opened(directory)
    entries = result(queue.find(Query()))
    result(queue.close())
    return [[state.way for state in entry.recipients] for entry in entries]


def test_messages_are_sent_another_way_by_ids_or_conditions(tmp_path: Path) -> None:
    ids = fill(tmp_path, 2)
    done = run(tmp_path, "queue", "reroute", ids[0], "--to", "MX")
    assert (done.exit_code, done.stdout) == (0, f"{ids[0]} goes another way at its next attempt\n")
    some = run(tmp_path, "queue", "reroute", "--to", "r1@b.test", "--to", "mail.c.test:2525", "--yes")
    assert some.stdout.splitlines()[-1] == "1 message: goes another way at its next attempt"
    assert ways(tmp_path) == [["mx"], ["mail.c.test:2525"], [""]]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["0gqw5z6cn4j0y"], "give one way: --to mx"),
        (["0gqw5z6cn4j0y", "--to", "mx", "--to", "smarthost"], "give one way: --to mx"),
        (["--to", "mx"], "give either message ids or conditions"),
        (["0gqw5z6cn4j0y", "--to", "nonsense"], "--to: "),
    ],
)
def test_a_reroute_without_a_clear_way_or_aim_is_refused(tmp_path: Path, words: list[str], reason: str) -> None:
    fill(tmp_path, 1)
    refused = run(tmp_path, "queue", "reroute", *words)
    assert (refused.exit_code, reason in refused.stderr) == (2, True), refused.stderr
    assert ways(tmp_path) == [[""], [""]]
