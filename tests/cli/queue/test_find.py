"""`smtprelay queue find` and `queue show` on real queue files."""

import json
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest

from harness.mail import mail
from mta.cli.queue.options import local_zone
from mta.message.outcome import Delivered, Failed
from mta.queue.disk.queue_dir import worker_home
from mta.queue.interface import AttemptRecord, Description, QueueId, Settlement, Verdict
from tests.cli.queue.test_command import NOW, fill, opened, result, run

TOOK, NO = Delivered("250 2.0.0 Ok", "mx.c.test"), Failed("550 5.1.1 no such user", "mx.b.test")


@pytest.fixture
def ids(tmp_path: Path) -> list[QueueId]:
    """Messages in the queues of two workers: those of `fill`, and one that failed, with its report."""
    ids = fill(tmp_path)
    queue = opened(worker_home(tmp_path, 2))
    description = Description("m1@shop.test", "Invoice 7", "Shop <shop@a.test>", "TLSv1.3 TLS_AES")
    failed = replace(mail("lost@b.test"), description=description)
    report = replace(mail("alice@a.test", sender=None), description=Description(report_of=failed.id))
    claim = result(queue.add(failed, NOW, lease=60.0))
    attempt = AttemptRecord(NOW + 1, NO.host, NO.text, "5.1.1", "TLSv1.3", 0.25, 1.5)
    result(queue.settle(Settlement(claim, [Verdict(0, NO, attempt=attempt)], NOW + 1, reports=[report])))
    result(queue.close())
    return [*ids, failed.id, report.id]


def found(directory: Path, *words: str) -> list[str]:
    shown = run(directory, "queue", "find", "--json", *words)
    assert shown.exit_code == 0, shown.output
    return [entry["id"] for entry in json.loads(shown.stdout)]


def test_all_messages_are_found_newest_first(tmp_path: Path, ids: list[QueueId]) -> None:
    assert found(tmp_path) == sorted(ids, reverse=True)
    assert run(tmp_path, "queue", "find", "--count").stdout == "5\n"


def test_conditions_and_bare_words_select(tmp_path: Path, ids: list[QueueId]) -> None:
    assert found(tmp_path, "--to", "*@b.test", "--status", "delivered") == [ids[2]]
    assert found(tmp_path, "--status", "waiting", "--status", "failed", "--domain", "b.test") == [
        ids[3],
        ids[1],
        ids[0],
    ]
    assert found(tmp_path, "--from", "shop@a.test", "--subject", "voice", "--message-id", "<m1@shop.test>") == [ids[3]]
    assert found(tmp_path, "zoe@c.test") == [ids[0]]
    assert found(tmp_path, "m1@shop", "lost") == [ids[3]]
    assert found(tmp_path, "--id", ids[1][:13]) == [ids[1]]
    assert run(tmp_path, "queue", "find", "--reply", "no such", "--count").stdout == "1\n"
    assert run(tmp_path, "queue", "find", "--larger", "1G").stdout == "No message matches.\n"


def test_a_long_list_goes_on_with_the_last_id(tmp_path: Path, ids: list[QueueId]) -> None:
    newest = sorted(ids, reverse=True)
    first = run(tmp_path, "queue", "find", "--limit", "2")
    assert [line.split()[0] for line in first.stdout.splitlines() if not line.startswith(" ")] == newest[:2]
    assert first.stderr == f"smtprelay: more messages match: add --before {newest[1]}, or a larger --limit\n"
    assert found(tmp_path, "--limit", "9", "--before", newest[1]) == newest[2:]


def test_a_line_has_the_subject_and_the_recipients_their_state(tmp_path: Path, ids: list[QueueId]) -> None:
    head, recipient = run(tmp_path, "queue", "find", "lost@b.test").stdout.splitlines()
    assert head.startswith(ids[3])
    assert head.endswith('<alice@a.test>  "Invoice 7"')
    assert recipient.startswith("    <lost@b.test> failed, 1 attempt, on ")


def test_a_mistake_names_the_option(tmp_path: Path, ids: list[QueueId]) -> None:
    refused = run(tmp_path, "queue", "find", "--since", "soon")
    assert refused.exit_code == 2
    assert "--since: 'soon' is not a time: write 10:00" in refused.stderr


def test_a_message_is_shown_with_its_attempts_and_reports(tmp_path: Path, ids: list[QueueId]) -> None:
    lines = run(tmp_path, "queue", "show", ids[3]).stdout.splitlines()
    assert "message-id: m1@shop.test" in lines
    assert "subject: Invoice 7" in lines
    assert "from: Shop <shop@a.test>" in lines
    assert "tls: TLSv1.3 TLS_AES" in lines
    assert f"reports: {ids[4]}" in lines
    assert lines[-1] == "    2100-01-01T12:00:01Z  mx.b.test: 550 5.1.1 no such user (1.8 s, TLSv1.3)"
    assert f"report of: {ids[3]}" in run(tmp_path, "queue", "show", ids[4]).stdout
    (attempt,) = json.loads(run(tmp_path, "queue", "show", "--json", ids[3]).stdout)["recipients"][0]["attempts_made"]
    assert (attempt["status"], attempt["waited"], attempt["transfer"]) == ("5.1.1", 0.25, 1.5)


def test_an_id_may_be_abbreviated_while_it_is_unique(tmp_path: Path, ids: list[QueueId]) -> None:
    several = run(tmp_path, "queue", "show", ids[0][:3])
    assert (several.exit_code, several.stderr) == (
        1,
        f"smtprelay: the ids of several messages begin with {ids[0][:3]}: give more of it\n",
    )
    only = next(ids[0][:length] for length in range(1, 14) if sum(id.startswith(ids[0][:length]) for id in ids) == 1)
    assert f"id: {ids[0]}\n" in run(tmp_path, "queue", "show", only.upper() if len(only) < 13 else only).stdout
    assert run(tmp_path, "queue", "show", "7zzz").stderr == "smtprelay: no message's id begins with 7zzz\n"


def test_the_time_zone_is_that_of_tz_or_of_the_system() -> None:
    assert str(local_zone({"TZ": "Europe/Berlin"})) == "Europe/Berlin"
    assert local_zone({"TZ": "No/Such"}) is UTC
    assert local_zone({}) is not None
