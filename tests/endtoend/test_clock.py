"""The host's clock is set while the relay runs, or before it starts: no message is lost, given up untried, or stuck."""

import sqlite3
import time

import pytest

from harness.daemon import ROOT
from harness.shifted_clock import WallClock
from harness.sink_rules import Rule
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received

DAY = 86400.0
SLOW = Rule("RCPT", "451 4.3.0 come back")


@pytest.fixture
def clock(tmp_path):
    """Return the clock of the relays that are started with its settings."""
    return WallClock(tmp_path / "ahead")


def relay_by(clock, world, sink, schedule="F,4d,1h"):
    """Return a running relay that goes by this clock."""
    return world.relay(sink, RETRY_SCHEDULE=schedule, **clock.settings(str(ROOT)))


def tokens(sink):
    """Return the sorted tokens of the messages that arrived."""
    return sorted(message.header("Message-ID")[1:].partition("@")[0] for message in sink.messages)


def ids(relay):
    """Return all ids of the queue and its history, in the order the messages came."""
    connection = sqlite3.connect(f"file:{relay.queue_dir}/queue.sqlite?mode=ro", uri=True)
    try:
        return [number for (number,) in connection.execute("SELECT id FROM message ORDER BY rowid")]
    finally:
        connection.close()


def test_a_clock_set_back_or_forward_cuts_no_session_short_and_holds_no_mail(world, clock):
    sink = world.sink(SLOW)
    relay = relay_by(clock, world, sink)
    relay.submit(mail("waiting"), TO)
    relay.wait_for_events("deferred")
    sink.rules.clear()
    with relay.client() as client:
        client.ehlo()
        for number, ahead in enumerate((366 * DAY, -time.time() + 1000, -DAY)):
            client.mail("a@sender.test")
            client.rcpt(TO)
            client.docmd("DATA")
            clock.ahead = ahead
            client.send(mail(f"{number}") + b".\r\n")
            assert client.getreply()[0] == 250
            received(sink, 1 + number)
    # The one that waits was due in an hour, by a clock that then stood elsewhere.
    received(sink, 4)
    relay.wait_until_empty()
    assert tokens(sink) == ["0", "1", "2", "waiting"]
    assert len(set(ids(relay))) == 4
    until(lambda: any("the clock was set back by" in event["text"] for event in relay.events("notice")))
    assert relay.events("failed") == relay.events("trouble") == relay.events("fault") == []
    assert relay.stop() == 0


@pytest.mark.parametrize("ahead", [-time.time() + 1000, 366 * DAY], ids=["1970", "a year ahead"])
def test_a_start_by_another_clock_tries_waiting_mail_at_once_and_gives_up_none_untried(world, clock, ahead):
    sink = world.sink(SLOW)
    relay = relay_by(clock, world, sink)
    for number in range(3):
        relay.submit(mail(f"{number}"), TO)
    relay.wait_for_events("deferred", 3)
    assert relay.stop() == 0
    clock.ahead = ahead
    sink.rules.clear()
    relay.start()
    relay.submit(mail("new"), TO)
    received(sink, 4)
    relay.wait_until_empty()
    assert tokens(sink) == ["0", "1", "2", "new"]
    assert relay.events("failed") == []


def test_a_clock_that_goes_forward_by_hours_again_and_again_has_no_message_sent_twice(world, clock):
    sink = world.sink(Rule("RCPT", "550 5.1.1 no such user", match="never"))
    relay = relay_by(clock, world, sink)
    number = 200
    with relay.client() as client:
        for count in range(number):
            # For the report of each failure the relay looks into the queue, where by now all leases have run out.
            client.sendmail("a@sender.test", "never@example.test" if count % 2 else TO, mail(f"{count}"))
            clock.ahead += 7200.0
    relay.wait_until_empty()
    assert len(set(tokens(sink))) == len(sink.messages) == number
