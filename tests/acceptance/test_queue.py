"""D7 to D13: waiting messages, their retry times, and reports to their senders. The test sets the clock."""

import datetime as dt
import email
import email.policy
import itertools

import pytest

from harness.processes import free_port, greets
from harness.shifted_clock import WallClock
from harness.sink_rules import Rule
from harness.waiting import until
from tests.acceptance.stage import (
    advance,
    arrived,
    awaited,
    clock_settings,
    events,
    settled,
    smarthost,
)
from tests.endtoend.mails import HARD, mail

MINUTE = 60.0
HOUR = 60 * MINUTE
BUSY = "450 4.2.1 come back later"


@pytest.fixture
def clock(tmp_path):
    """Return the clock of the relays that are started with its settings."""
    return WallClock(tmp_path / "ahead")


def when(event):
    """Return the time of an event in seconds."""
    return dt.datetime.fromisoformat(event["time"]).timestamp()


def next_event(relay, clock, name, number, **fields):
    """Let the relay's clock stand where it is until there are this many events; return the last."""

    def found():
        assert greets(relay.port)
        return len(events(relay, name, **fields)) >= number

    until(found, what=f"{number} x {name} with {fields}")
    return events(relay, name, **fields)[-1]


def pass_until(relay, clock, due):
    """Set the relay's clock to a time that the event log named."""
    now = dt.datetime.now(dt.UTC).timestamp() + clock.ahead
    advance(clock, dt.datetime.fromisoformat(due).timestamp() - now)


def test_d7_a_recipient_with_a_temporary_reply_is_tried_again_alone_after_15_minutes(stage, clock):
    sink = stage.sink(Rule("RCPT", BUSY, match="busy@"))
    relay = stage.relay(**smarthost(sink), **clock_settings(clock))
    relay.submit(mail(), ["busy@any.test", "free@any.test"])
    first = awaited(relay, "deferred", to="<busy@any.test>")
    assert arrived(sink, "free@any.test").recipients == ("free@any.test",)
    sink.rules.clear()
    advance(clock, 14.5 * MINUTE)
    pass_until(relay, clock, first["next"])
    delivered = next_event(relay, clock, "delivered", 1, to="<busy@any.test>")
    assert when(delivered) - when(first) >= 15 * MINUTE - 1
    assert arrived(sink, "busy@any.test").recipients == ("busy@any.test",)
    assert len(sink.messages) == 2


def test_d8_a_refused_recipient_makes_one_report_to_the_sender(through):
    through.sink.rules.append(Rule("RCPT", "550 5.1.1 no such user", match="gone@"))
    original = mail("d8-original")
    through.relay.submit(original, ["gone@any.test", "here@any.test"], sender="d8@sender.test")
    report = arrived(through.sink, "d8@sender.test")
    arrived(through.sink, "here@any.test")
    settled(through.relay)
    assert len(through.sink.messages) == 2
    assert (report.sender, report.recipients) == ("", ("d8@sender.test",))
    parsed = email.message_from_bytes(report.content, policy=email.policy.default)
    assert parsed.get_content_type() == "multipart/report"
    assert parsed["X-Failed-Recipients"] == "gone@any.test"
    text, status, _ = parsed.iter_parts()
    assert status.get_content_type() == "message/delivery-status"
    assert "no such user" in text.get_content()
    assert b"d8-original@sender.test" in report.content


def test_d10_accepted_mail_survives_a_kill_and_is_sent_at_the_next_start(stage):
    port = free_port()
    relay = stage.relay(SMARTHOST_ADDRESS="127.0.0.1", SMARTHOST_PORT=str(port))
    for number in range(5):
        relay.submit(HARD, f"d10-{number}@any.test")
    relay.kill()
    sink = stage.sink(port=port)
    relay.start()
    messages = [arrived(sink, f"d10-{number}@any.test") for number in range(5)]
    # The last events may have died with the process, so the queue itself is asked.
    relay.wait_until_empty()
    assert [message.without_trace for message in messages] == [HARD] * 5
    assert len(sink.messages) == 5


def exims_attempts():
    """Return the ages, in hours, at which Exim tries: every 15 minutes, then growing, then 6-hourly, for 4 days."""
    ages = [quarter / 4 for quarter in range(9)]
    wait = 1.0
    while ages[-1] < 16:
        ages.append(ages[-1] + wait)
        wait *= 1.5
    while ages[-1] < 96:
        ages.append(ages[-1] + 6)
    return ages


def gaps(ages):
    return [later - earlier for earlier, later in itertools.pairwise(ages)]


def test_d12_a_failing_host_is_tried_as_exim_tries_it_and_after_4_days_the_sender_is_told(stage, clock):
    sink = stage.sink(Rule("RCPT", BUSY, match="d12@any.test"))
    relay = stage.relay(**smarthost(sink), **clock_settings(clock))
    relay.submit(mail(), "d12@any.test", sender="d12@sender.test")
    expected = exims_attempts()
    for number in range(1, len(expected)):
        pass_until(relay, clock, next_event(relay, clock, "deferred", number)["next"])
    attempts = [*relay.events("deferred"), next_event(relay, clock, "failed", 1)]
    ages = [(when(attempt) - when(attempts[0])) / HOUR for attempt in attempts]
    # Each attempt is some seconds late, because the relay has to notice the clock, and growing waits grow from there.
    assert gaps(ages) == pytest.approx(gaps(expected), rel=0.01, abs=0.01)
    next_event(relay, clock, "delivered", 2)
    assert [event["kind"] for event in relay.events("reported")] == ["delay", "failure"]
    assert [(message.sender, message.recipients) for message in sink.messages] == [("", ("d12@sender.test",))] * 2


def test_d13_after_a_day_the_sender_is_told_once_unless_a_machine_sent_it(stage, clock):
    sink = stage.sink(Rule("RCPT", BUSY, match="@any.test"))
    relay = stage.relay(**smarthost(sink), **clock_settings(clock))
    relay.submit(mail(), "human@any.test", sender="human@sender.test")
    relay.submit(b"Auto-Submitted: auto-generated\r\n" + mail(), "machine@any.test", sender="machine@sender.test")
    for number, (hours, told) in enumerate(
        [(0, []), (23, []), (25, ["<human@sender.test>"]), (31, ["<human@sender.test>"])]
    ):
        if hours:
            clock.ahead = hours * HOUR
            relay.start()
        until(lambda number=number: len(relay.events("deferred")) == 2 * number + 2, what="an attempt for each")
        relay.stop()
        assert [event["to"] for event in relay.events("reported")] == told, f"after {hours} h"
    assert "delay" in (arrived(sink, "human@sender.test").header("Subject") or "").lower()
