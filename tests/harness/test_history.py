"""Made-up mail of past days: the same for the same seed, and a queue in which all of it is accounted for."""

import time
from pathlib import Path

import pytest

from harness.history import words
from harness.history.days import DAY, HELD, HOUR, Sent, days, minutes
from harness.history.million import fill
from harness.history.writing import write, write_traffic
from harness.showcase import Showcase
from mta.admin.traffic import Traffic
from mta.blocking import run_inline
from mta.cli.results import result
from mta.queue.interface import Query
from mta.queue.search.conditions import Conditions, State
from mta.queue.sqlite.queue import SqliteQueue, open_queue

# A Wednesday, 14:20 UTC.
NOW = 1_795_616_400.0


@pytest.fixture(scope="module")
def mails() -> list[Sent]:
    return days(NOW, messages=3000)


@pytest.fixture(scope="module")
def queue(mails: list[Sent], tmp_path_factory: pytest.TempPathFactory) -> SqliteQueue:
    directory = tmp_path_factory.mktemp("past") / "queue"
    write(directory, mails, NOW)
    return open_queue(directory, run=run_inline, now=NOW, create=False, recover=False)


def test_the_mail_is_the_same_for_the_same_seed(mails: list[Sent]) -> None:
    assert days(NOW, messages=3000) == mails
    assert days(NOW, messages=3000, seed=2) != mails
    assert [mail.created for mail in mails] == sorted(mail.created for mail in mails)
    assert mails[0].created >= NOW - 3 * DAY
    assert mails[-1].created <= NOW


def test_the_mail_follows_the_hours_of_business(mails: list[Sent]) -> None:
    hours = [int(mail.created // HOUR) % 24 for mail in mails]
    assert sum(hour in range(8, 16) for hour in hours) > 5 * sum(hour in range(20, 24) for hour in hours)


def test_each_recipient_of_the_mail_is_accounted_for(queue: SqliteQueue, mails: list[Sent]) -> None:
    summary = result(queue.summary())
    ledger = summary.ledger
    assert ledger.missing == 0
    assert ledger.accepted == sum(len(mail.to) for mail in mails)
    assert min(ledger.delivered, ledger.failed, ledger.removed, ledger.waiting) > 0
    counted = list(zip(*minutes(mails, 0.0).values(), strict=True))
    assert [sum(column) for column in counted] == [ledger.accepted, ledger.delivered, ledger.failed, ledger.removed]


def test_two_destinations_are_in_trouble_and_a_batch_is_held(queue: SqliteQueue) -> None:
    shapes = result(queue.domains(NOW))
    most = sorted(shapes, key=lambda shape: shape.waiting, reverse=True)
    assert {shape.domain for shape in most[:2]} == {words.DOWN, words.THROTTLING}
    assert result(queue.count(Conditions(states=(State.HELD,)))) == HELD


def test_the_attempts_of_waiting_mail_are_kept(queue: SqliteQueue) -> None:
    waiting = result(queue.find(Query(conditions=Conditions(domain=words.DOWN), details=True)))
    tried = [recipient for entry in waiting for recipient in entry.recipients if recipient.due and recipient.attempts]
    assert max(recipient.attempts for recipient in tried) > 5
    for recipient in tried:
        assert len(recipient.attempts_made) == recipient.attempts
        assert recipient.due is not None
        assert recipient.attempts_made[-1].time <= NOW < recipient.due


def test_reports_name_the_message_that_failed(queue: SqliteQueue) -> None:
    failed = Query(finished=True, conditions=Conditions(states=(State.FAILED,)), details=True)
    assert all(entry.reports for entry in result(queue.find(failed)))


def test_the_minutes_of_the_last_day_are_on_disk(mails: list[Sent], tmp_path: Path) -> None:
    write_traffic(tmp_path, mails, NOW)
    read = Traffic(tmp_path, lambda: NOW).since(NOW - DAY)
    wanted = minutes(mails, NOW - DAY)
    for minute in read[1:]:
        assert (minute.accepted, minute.delivered, minute.failed, minute.removed) == wanted[int(minute.time)]
    assert len(read) >= len(wanted) - 3


@pytest.mark.endtoend
def test_a_relay_goes_on_with_such_a_queue(tmp_path: Path) -> None:
    with Showcase(tmp_path, time.time(), messages=1000) as showcase:
        showcase.send(20)
        showcase.relay.wait_for_events("delivered", 10)
        showcase.relay.wait_for_events("deferred")
        assert showcase.relay.events("alarm") == []
        assert "not accounted for" not in showcase.relay.tool("queue", "summary").stdout


def test_a_long_history_is_made_fast(tmp_path: Path) -> None:
    fill(tmp_path / "queue", 5000, 2, NOW)
    queue = open_queue(tmp_path / "queue", run=run_inline, now=NOW)
    assert result(queue.count(Conditions(), finished=True)) == 5000
    assert result(queue.summary()).ledger.missing == 0
    assert result(queue.count(Conditions(states=(State.FAILED,)), finished=True)) == 5000 // 101
    queue.close()
