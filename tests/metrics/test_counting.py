"""The event log that counts: each event is counted and logged as by the plain one."""

import inspect

import pytest

from mta.event_log.log import EventLog
from mta.event_log.stages import Stages
from mta.message.envelope import Envelope, Origin, Recipient
from mta.message.outcome import Delivered, Failed, TryLater
from mta.metrics.counters import Counters, commit_timer
from mta.metrics.counting import CountingEventLog
from mta.metrics.labels import end_of, version_of
from mta.metrics.metric import Samples
from mta.queue.interface import QueueId
from mta.smtp.address import Address
from mta.smtp.replies import reply

NOON = 1_795_348_800.25
ID = QueueId("0123456789abc")
BOB = Address("bob", "b.test")
COUNTED_ALONE = (
    "alarms",
    "destinations_went_down",
    "faults",
    "leases_lost",
    "possible_duplicates",
    "throttles",
    "troubles",
    "unreported",
)
REPLY = reply(550, "5.7.1", "no")
ENVELOPE = Envelope(BOB, (Recipient(BOB), Recipient(BOB)), Origin("192.0.2.1", "c.test", "ESMTP"))


def every_event(log: EventLog) -> None:
    """Have a log take each event that is counted."""
    log.accepted(ID, ENVELOPE, 5000, "user", held=True, tls="TLSv1.2 X")
    log.delivered(ID, BOB, Delivered("250 ok", "mx"), Stages(3.0, 2.0, 0.2, 0.3), "TLSv1.3 X verified", attempts=2)
    log.delivered(ID, BOB, Delivered("250 ok", "mx", "nonsense"), Stages(3.0, 2.0, 0.2, 0.3), "")
    log.deferred(ID, BOB, TryLater("421 4.7.0 slow", "mx", "4.7.0"), NOON)
    log.failed(ID, BOB, Failed("550 5.1.1 no", "mx", "5.1.1"), rule="10.toml:1")
    log.discarded(ID, BOB, "10.toml:1")
    log.refused("192.0.2.1", "c", "a@b.test", None, REPLY)
    log.refused("192.0.2.1", "c", "a@b.test", "x@b.test", REPLY, rule="10.toml:1")
    log.refused_command("192.0.2.1", "c", "XYZ", reply(500, "5.5.1", "no"))
    log.session_ended("192.0.2.1", "c", "421 4.4.2 Too slow, closing the connection")
    log.login("192.0.2.1", "u", "PLAIN", "")
    log.login_failed("192.0.2.1", "u", "INVENTED", "", REPLY)
    log.reported(ID, ID, "failure", BOB)
    log.unreported(ID, "null sender")
    log.possible_duplicate(ID, BOB)
    log.lease_lost(ID)
    log.destination_down("mx", TryLater("refused"), NOON)
    log.destination_throttled("mx", "slow", "1/s", None, NOON)
    log.trouble("it hurts")
    log.fault("a bug", "traceback")
    log.alarm("lost")


def test_each_event_is_counted_once() -> None:
    counters = Counters()
    every_event(CountingEventLog(lambda _: None, lambda: NOON, counters=counters))
    samples = {key: value for key, value in counters.samples().items() if value and not isinstance(value, tuple)}
    expected: Samples = {
        ("accepted_messages", ()): 1,
        ("accepted_bytes", ()): 5000,
        ("accepted_recipients", ()): 2,
        ("recipients", ("delivered",)): 2,
        ("recipients", ("failed",)): 1,
        ("recipients", ("discarded",)): 1,
        ("attempts", ("delivered", "2.0")): 2,
        ("attempts", ("deferred", "4.7")): 1,
        ("attempts", ("failed", "5.1")): 1,
        ("tls_accepted", ("TLSv1.2",)): 1,
        ("tls_deliveries", ("TLSv1.3",)): 1,
        ("tls_deliveries", ("none",)): 1,
        ("refusals", ("policy", "550")): 1,
        ("refusals", ("rule", "550")): 1,
        ("refusals", ("protocol", "500")): 1,
        ("sessions_ended", ("timeout",)): 1,
        ("logins", ("ok", "PLAIN")): 1,
        ("logins", ("failed", "other")): 1,
        ("reports", ("failure",)): 1,
    }
    expected.update({(name, ()): 1 for name in COUNTED_ALONE})
    assert samples == expected
    assert counters.delivery_attempts.counts == [1, 1, 0, 0, 0, 0, 0]
    assert counters.connection_seconds.sum == pytest.approx(0.4)
    assert counters.transaction_seconds.sum == pytest.approx(0.6)
    assert counters.delivery_seconds.sum == 6.0


def test_messages_are_counted_while_nobody_asks_for_figures() -> None:
    counters = Counters()
    log = CountingEventLog(lambda _: None, lambda: NOON, counters=counters)
    for _ in range(1200):
        log.accepted(ID, ENVELOPE, 5000)
        log.delivered(ID, BOB, Delivered("250 ok", "mx"), Stages(3.0, 2.0, 0.2, 0.3), "")
    assert (counters.accepted_messages, len(counters.accepted)) == (1000, 200 * 3)
    assert (counters.recipients["delivered",], len(counters.delivered)) == (1000, 200 * 6)
    samples = counters.samples()
    assert samples["accepted_messages", ()] == samples["recipients", ("delivered",)] == 1200
    assert counters.samples() == samples


def test_the_lines_are_those_of_the_plain_log() -> None:
    plain: list[str] = []
    counted: list[str] = []
    every_event(EventLog(plain.append, lambda: NOON))
    every_event(CountingEventLog(counted.append, lambda: NOON, counters=Counters()))
    assert counted == plain


def test_events_that_the_log_leaves_out_are_counted_too() -> None:
    lines: list[str] = []
    counters = Counters()
    log = CountingEventLog(lines.append, lambda: NOON, counters=counters)
    for _ in range(1000):
        log.refused_command("192.0.2.1", "c", "XYZ", REPLY)
    assert counters.refusals["protocol", "550"] == 1000
    assert len(lines) < 1000


@pytest.mark.parametrize(
    ("reason", "end"),
    [
        ("421 4.4.2 Too slow", "timeout"),
        ("421 4.3.2 The service is stopping", "stopping"),
        ("550 5.5.0 not SMTP", "error"),
        ("it does not read the replies", "unread"),
        ("the TLS handshake did not come to its end", "tls"),
        ("TLS failed: no shared cipher", "tls"),
        ("the connection was lost", "lost"),
    ],
)
def test_the_end_of_a_session_is_one_of_few(reason: str, end: str) -> None:
    assert end_of(reason) == end


@pytest.mark.parametrize(
    ("security", "version"),
    [("TLSv1.2 X", "TLSv1.2"), ("TLSv9 X", "other"), ("none (not offered)", "none"), ("", "none")],
)
def test_the_version_of_tls_is_one_of_few(security: str, version: str) -> None:
    assert version_of(security) == version


def test_each_method_that_counts_is_one_of_the_plain_log() -> None:
    own = {
        name for name, _ in inspect.getmembers(CountingEventLog, inspect.isfunction) if name in vars(CountingEventLog)
    }
    assert own - {"__init__"} <= set(vars(EventLog))


def test_a_commit_takes_from_its_step_to_the_answer() -> None:
    counters, times = Counters(), iter([1.0, 1.25, 5.0, 5.5])
    step = commit_timer(counters, lambda: next(times))
    for name in ("add message", "commit", "answer", "settle message", "commit", "answer"):
        step(name)
    assert counters.commit_seconds.sum == 0.75
    assert sum(counters.commit_seconds.counts) == 2
