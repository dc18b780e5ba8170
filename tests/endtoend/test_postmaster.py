"""The mail to POSTMASTER: copies of reports that fail, without a loop, and the daily digest."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from harness.sink import Sink
from harness.sink_rules import Message, Rule
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received

POSTMASTER = "root@example.test"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_report_that_cannot_be_delivered_is_copied_to_the_postmaster(world, workers):
    sink = world.sink(
        Rule("RCPT", "550 5.1.1 no such user", match="someone"),
        Rule("RCPT", "550 5.7.1 go away", match="sender"),
    )
    relay = world.relay(sink, POSTMASTER=POSTMASTER, WORKERS=workers)
    relay.submit(mail("one"), TO)
    (copy,) = received(sink)
    assert copy.recipients == (POSTMASTER,)
    assert b"Subject: Postmaster Copy: Undelivered Mail" in copy.content
    assert b"550 5.7.1 go away" in copy.content
    assert b"550 5.1.1 no such user" in copy.content, "it has the report"
    kinds = [event["kind"] for event in relay.wait_for_events("reported", 2)]
    assert kinds == ["failure", "postmaster"]
    assert len(relay.wait_for_events("unreported")) == 1


def test_a_copy_that_fails_is_the_last_message(world):
    sink = world.sink(Rule("RCPT", "550 5.1.1 no"))
    relay = world.relay(sink, POSTMASTER=POSTMASTER)
    relay.submit(mail("one"), TO)
    until(lambda: len(relay.events("unreported")) == 2, what="the failures of report and copy")
    relay.wait_until_empty()
    assert [event["kind"] for event in relay.events("reported")] == ["failure", "postmaster"]
    assert relay.events("fault") == []


def age_failures(queue_dir: Path) -> None:
    """Set the times of all failures into the last day that has ended, as if they were that old."""
    ended = (time.time() - 6 * 3600) // 86400 * 86400 + 6 * 3600
    for file in queue_dir.glob("**/queue.sqlite"):
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE recipient SET finished = ? WHERE status = 'failed'", (ended - 3600,))
            connection.execute("UPDATE message SET finished = ? WHERE finished IS NOT NULL", (ended - 3600,))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_digest_tells_once_of_the_failures_of_a_day(world, workers):
    sink = world.sink(Rule("RCPT", "550 5.1.1 no such user", match="someone"))
    relay = world.relay(sink, POSTMASTER=POSTMASTER, WORKERS=workers)
    for number in range(4):
        relay.submit(mail(f"{number}"), TO)
    relay.wait_for_events("failed", 4)
    relay.wait_until_empty()
    relay.stop()
    age_failures(relay.queue_dir)
    relay.start()
    until(lambda: digests(sink), what="the digest")
    (digest,) = digests(sink)
    assert digest.recipients == (POSTMASTER,)
    assert b"550 5.1.1 no such user" in digest.content
    note = relay.queue_dir / "digest.json"
    until(note.exists, what="the note of the digest")
    # A kill before the result of a delivery is on disk would repeat it.
    relay.wait_until_empty()
    relay.kill()
    note.unlink()
    relay.start()
    until(note.exists, what="a look for a digest")
    relay.wait_until_empty()
    assert len(digests(sink)) == 1


def digests(sink: Sink) -> list[Message]:
    return [each for each in sink.messages if "failed until" in (each.header("Subject") or "")]
