"""The mail to POSTMASTER: copies of reports that fail, without a loop, and the daily digest."""

import pytest

from harness.sink_rules import Rule
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
