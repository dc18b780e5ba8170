"""The hosts of a destination in one delivery attempt, step by step: real machines over a network in memory."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from harness.mail import claim
from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.destination import Destination
from mta.delivery.destinations.window import LimitRefusal, WindowLimits, own_windows
from mta.delivery.job import Job, RecipientResult
from mta.delivery.remote.connector import ConnectorOptions, SmtpConnector
from mta.delivery.remote.in_flight import QueueInFlightLog
from mta.delivery.replies.throttle_table import LimitKind
from mta.event_log.log import EventLog
from mta.message.body import Body, MemoryBody
from mta.message.outcome import Delivered, Failed, Outcome, TryLater
from mta.queue.memory import MemoryQueue
from mta.routing.route import Plan, Route, TlsRule
from tests.fakes.memory_reactor import Net, Wire
from tests.fakes.sending import SentJobs

FIRST = Route("mx1.test", "192.0.2.1", 25, TlsRule.NONE, preference=10)
SECOND = Route("mx2.test", "192.0.2.2", 25, TlsRule.NONE, preference=20)
THIRD = Route("mx3.test", "192.0.2.3", 25, TlsRule.NONE, preference=30)
LARGE = MemoryBody((b"y" * 70 + b"\r\n") * 8000)
EHLO = ("250-mx.test", "250 8BITMIME")
# The steps of a session, each with the replies that lead to it and the code of its usual reply.
STEPS: dict[str, tuple[tuple[str, ...], str]] = {
    "greeting": ((), "220"),
    "EHLO": (("220 hi",), "250"),
    "MAIL": (("220 hi", *EHLO), "250"),
    "RCPT": (("220 hi", *EHLO, "250 ok"), "250"),
    "DATA": (("220 hi", *EHLO, "250 ok", "250 ok"), "354"),
    "body": (("220 hi", *EHLO, "250 ok", "250 ok", "354 go"), "250"),
    "dot": (("220 hi", *EHLO, "250 ok", "250 ok", "354 go"), "250"),
}
TAKES = ("220 hi", *EHLO, "250 ok", "250 ok", "354 go", "250 2.0.0 taken")


class Once(dict[int, RecipientResult]):
    """Results of which each recipient gets one."""

    def __setitem__(self, index: int, result: RecipientResult) -> None:
        assert index not in self
        super().__setitem__(index, result)

    def update(self, results: Any) -> None:  # type: ignore[override]
        for index, result in dict(results).items():
            self[index] = result


class Attempts:
    """A destination over a network in memory, and the outcomes of all that was given to it."""

    def __init__(self, *routes: Route) -> None:
        self.net = Net()
        self.lines: list[str] = []
        self.jobs: list[Job] = []
        self.sent = SentJobs()
        event_log = EventLog(self.lines.append, self.net.seconds)
        self.queue = MemoryQueue()
        parts = ConnectorOptions(
            self.net, "me.test", lambda route: f"options for {route.host}", QueueInFlightLog(self.queue, event_log)
        )  # type: ignore[arg-type,return-value]
        self.plan = Plan("mx.test", routes or (FIRST, SECOND))
        windows = own_windows(WindowLimits(start=2, most=4))
        connector = SmtpConnector(replace(parts, bdat=False))
        context = DeliveryContext(self.net, self.net.seconds, event_log)
        self.destination = Destination("mx.test", windows, connector, context)

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """The outcome of each recipient that has one, by address."""
        return {address: result.outcome for address, result in self._results().items()}

    @property
    def earlier(self) -> dict[str, TryLater | None]:
        """The answer of the host before, by address."""
        return {address: result.earlier for address, result in self._results().items()}

    def _results(self) -> dict[str, RecipientResult]:
        return {
            str(job.claim.envelope.recipients[index].address): result
            for job in self.jobs
            for index, result in job.results.items()
        }

    def send(self, *recipients: str, body: Body | None = None) -> Job:
        whole = claim(*(recipients or ("bob@b.test",)))
        job = Job(whole if body is None else replace(whole, body=body), 0.0)
        job.results = Once()
        self.jobs.append(job)
        self.sent.send(self.destination.send, job, self.plan, self.net.seconds())
        return job

    def accept(self, *replies: str) -> Wire:
        """Let the connection that was asked for last happen, and its server say these replies one by one."""
        wire = self.net.accept()
        says(wire, replies)
        return wire

    @property
    def hosts(self) -> list[str]:
        """The addresses that were connected to, in order."""
        return [address for address, _ in self.net.targets]


def says(wire: Wire, replies: Iterable[str], *, finish: bool = True) -> None:
    for reply in replies:
        stream(wire)
        wire.says(reply)
    if finish:
        stream(wire)


def stream(wire: Wire) -> None:
    """Take all of a body that is being sent."""
    while wire.producer is not None:
        wire.producer.resumeProducing()


def reply(code: str) -> Callable[[Attempts, Wire], None]:
    return lambda attempts, wire: wire.says(f"{code} 4.3.0 no" if code[0] == "4" else f"{code} 5.7.1 no")


def closes(attempts: Attempts, wire: Wire) -> None:
    wire.lost()


def falls_silent(attempts: Attempts, wire: Wire) -> None:
    for _ in range(12):
        attempts.net.advance(60)


KINDS: dict[str, Callable[[Attempts, Wire], None]] = {
    "4xx": reply("451"),
    "421": reply("421"),
    "close": closes,
    "time-out": falls_silent,
}


def answer(attempts: Attempts, step: str, kind: Callable[[Attempts, Wire], None]) -> None:
    """Have the host that is connected to now go as far as a step, and answer that step in this way."""
    wire = attempts.net.accept()
    says(wire, STEPS[step][0], finish=step != "body")
    kind(attempts, wire)
    attempts.net.advance(0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", STEPS)
def test_the_second_host_has_the_message_in_the_same_attempt_whatever_the_first_does(step: str, kind: str) -> None:
    attempts = Attempts()
    attempts.send(body=LARGE if step == "body" else None)
    answer(attempts, step, KINDS[kind])
    assert attempts.outcomes == {}
    assert attempts.hosts[:2] == ["192.0.2.1", "192.0.2.2"]
    attempts.accept(*TAKES)
    assert attempts.outcomes == {"bob@b.test": Delivered("250 2.0.0 taken", SECOND.label, "2.0.0")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", STEPS)
def test_when_the_last_host_has_answered_its_answer_is_the_outcome(step: str, kind: str) -> None:
    attempts = Attempts()
    attempts.send(body=LARGE if step == "body" else None)
    answer(attempts, step, KINDS[kind])
    answer(attempts, step, KINDS[kind])
    outcome = attempts.outcomes["bob@b.test"]
    assert isinstance(outcome, TryLater)
    assert outcome.host == SECOND.label


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "dot"])
def test_a_permanent_reply_is_final_and_no_other_host_is_asked(step: str) -> None:
    attempts = Attempts()
    attempts.send()
    answer(attempts, step, reply("550"))
    assert attempts.outcomes == {"bob@b.test": Failed("550 5.7.1 no", FIRST.label, "5.7.1")}
    assert attempts.hosts == ["192.0.2.1"]


def test_a_permanent_reply_to_the_session_leaves_the_message_to_the_second_host() -> None:
    attempts = Attempts()
    attempts.send()
    answer(attempts, "greeting", reply("554"))
    attempts.accept(*TAKES)
    assert isinstance(attempts.outcomes["bob@b.test"], Delivered)


def test_a_refused_starttls_that_is_required_leaves_the_message_to_the_second_host() -> None:
    for kind in (reply("454"), reply("421"), reply("554"), closes, falls_silent):
        attempts = Attempts(replace(FIRST, tls=TlsRule.REQUIRE), SECOND)
        attempts.send()
        wire = attempts.accept("220 hi", "250-mx.test", "250 STARTTLS")
        kind(attempts, wire)
        attempts.accept(*TAKES)
        assert isinstance(attempts.outcomes["bob@b.test"], Delivered)


def test_each_recipient_goes_as_far_as_its_own_answers_need() -> None:
    attempts = Attempts()
    attempts.send("ann@b.test", "bob@b.test", "eve@b.test")
    attempts.accept("220 hi", *EHLO, "250 ok", "250 ok", "451 4.3.0 later", "550 5.1.1 no", "354 go", "250 2.0.0 taken")
    assert attempts.outcomes == {
        "ann@b.test": Delivered("250 2.0.0 taken", FIRST.label, "2.0.0"),
        "eve@b.test": Failed("550 5.1.1 no", FIRST.label, "5.1.1"),
    }
    second = attempts.accept(*TAKES)
    assert second.heard().count(b"RCPT") == 1
    assert attempts.outcomes["bob@b.test"] == Delivered("250 2.0.0 taken", SECOND.label, "2.0.0")


def test_a_result_tells_the_answer_of_the_host_before() -> None:
    attempts = Attempts()
    attempts.send("ann@b.test", "bob@b.test")
    attempts.accept("220 hi", *EHLO, "250 ok", "250 ok", "451 4.2.0 not now", "354 go", "250 ok")
    attempts.accept(*TAKES)
    assert attempts.earlier["ann@b.test"] is None
    assert attempts.earlier["bob@b.test"] == TryLater("451 4.2.0 not now", "mx1.test[192.0.2.1]:25", "4.2.0")


def test_a_second_host_that_cannot_be_reached_leaves_the_answer_of_the_first_one_told() -> None:
    attempts = Attempts()
    attempts.send()
    attempts.accept("220 hi", *EHLO, "451 4.2.0 not now")
    attempts.net.refuse()
    outcome, earlier = attempts.outcomes["bob@b.test"], attempts.earlier["bob@b.test"]
    assert isinstance(outcome, TryLater)
    assert outcome.host == "mx2.test[192.0.2.2]:25"
    assert earlier is not None
    assert earlier.host == "mx1.test[192.0.2.1]:25"


def test_a_message_that_goes_on_is_not_overtaken_by_those_that_came_after_it() -> None:
    attempts = Attempts()
    for number in range(10):
        attempts.send(f"user{number}@b.test")
    assert attempts.hosts == ["192.0.2.1", "192.0.2.1"]
    attempts.accept("220 hi", *EHLO, "451 4.3.0 not now")
    assert attempts.hosts[2:] == ["192.0.2.2"]
    attempts.accept(*TAKES)
    assert isinstance(attempts.outcomes["user0@b.test"], Delivered)
    assert len(attempts.outcomes) == 1


def test_an_attempt_ends_after_two_sessions_past_ehlo() -> None:
    attempts = Attempts(FIRST, SECOND, THIRD)
    attempts.send()
    answer(attempts, "MAIL", reply("451"))
    answer(attempts, "RCPT", reply("452"))
    assert attempts.outcomes == {"bob@b.test": TryLater("452 4.3.0 no", SECOND.label, "4.3.0")}
    assert len(attempts.hosts) == 2


def test_an_attempt_ends_after_five_addresses() -> None:
    routes = [replace(FIRST, address=f"192.0.2.{number}") for number in range(1, 9)]
    attempts = Attempts(*routes)
    attempts.send()
    answer(attempts, "MAIL", reply("451"))
    for _ in range(4):
        attempts.net.refuse()
    assert isinstance(attempts.outcomes["bob@b.test"], TryLater)
    assert attempts.hosts == [route.address for route in routes[:5]]


def test_a_kept_connection_to_a_host_that_the_attempt_has_tried_is_not_used_again() -> None:
    attempts = Attempts()
    attempts.send("one@b.test")
    attempts.accept(*TAKES)
    attempts.send("two@b.test")
    says(attempts.net.wires[0], ("451 4.3.0 later",))
    assert attempts.hosts == ["192.0.2.1", "192.0.2.2"]
    attempts.accept(*TAKES)
    assert attempts.outcomes["two@b.test"] == Delivered("250 2.0.0 taken", SECOND.label, "2.0.0")


def test_a_kept_connection_to_another_host_is_used() -> None:
    attempts = Attempts()
    attempts.send("one@b.test")
    answer(attempts, "MAIL", reply("451"))
    attempts.accept(*TAKES)
    attempts.send("two@b.test")
    # The connection to the second host rested shorter, and the first host has not been asked for this message.
    first, second = attempts.net.wires
    says(second, ("452 4.3.1 full",))
    says(first, ("250 ok", "250 ok", "354 go", "250 2.0.0 taken"))
    assert len(attempts.hosts) == 2
    assert attempts.outcomes["two@b.test"] == Delivered("250 2.0.0 taken", FIRST.label, "2.0.0")


def test_a_second_host_that_cannot_be_reached_is_left_alone_for_a_minute() -> None:
    attempts = Attempts()
    attempts.send("one@b.test")
    wire = attempts.net.accept()
    says(wire, ("220 hi", *EHLO, "451 4.7.1 greylisted"))
    attempts.net.refuse()
    assert attempts.outcomes["one@b.test"].host == SECOND.label
    attempts.send("two@b.test")
    says(attempts.net.wires[-1], ("451 4.7.1 greylisted",))
    assert attempts.outcomes["two@b.test"] == TryLater("451 4.7.1 greylisted", FIRST.label, "4.7.1")
    assert len(attempts.hosts) == 2
    attempts.net.advance(60)
    attempts.send("three@b.test")
    attempts.accept("220 hi", *EHLO, "451 4.7.1 greylisted")
    assert attempts.hosts[2:] == ["192.0.2.1", "192.0.2.2"]


def test_a_host_that_answers_is_not_taken_for_down_because_the_one_after_it_is() -> None:
    attempts = Attempts()
    attempts.send("one@b.test")
    answer(attempts, "MAIL", reply("451"))
    attempts.net.refuse()
    assert not [line for line in attempts.lines if "destination-down" in line]
    attempts.net.advance(10)
    attempts.send("two@b.test")
    attempts.accept(*TAKES)
    assert isinstance(attempts.outcomes["two@b.test"], Delivered)


def test_a_destination_whose_hosts_all_fail_is_down() -> None:
    attempts = Attempts()
    attempts.send("one@b.test")
    answer(attempts, "MAIL", closes)
    attempts.net.refuse()
    hosts = len(attempts.hosts)
    attempts.send("two@b.test")
    assert isinstance(attempts.outcomes["two@b.test"], TryLater)
    assert len(attempts.hosts) == hosts


def test_a_copy_that_the_first_host_may_have_is_told_when_the_second_gets_it() -> None:
    for kind, told in ((closes, 1), (falls_silent, 1), (reply("451"), 0), (reply("421"), 0)):
        attempts = Attempts()
        attempts.send()
        answer(attempts, "dot", kind)
        attempts.accept(*TAKES)
        assert sum("possible-duplicate" in line for line in attempts.lines) == told


def test_only_the_recipients_that_the_first_host_had_accepted_may_be_duplicates() -> None:
    attempts = Attempts()
    attempts.send("ann@b.test", "bob@b.test")
    wire = attempts.accept("220 hi", *EHLO, "250 ok", "451 4.2.1 later", "250 ok", "354 go")
    wire.lost()
    attempts.accept("220 hi", *EHLO, "250 ok", "250 ok", "250 ok", "354 go", "250 2.0.0 taken")
    (line,) = (line for line in attempts.lines if "possible-duplicate" in line)
    assert "to=<bob@b.test>" in line


def test_a_message_that_cannot_be_noted_here_is_not_given_to_another_host() -> None:
    attempts = Attempts()
    attempts.queue.close()
    attempts.send()
    attempts.accept("220 hi", *EHLO)
    assert attempts.outcomes["bob@b.test"].host == ""
    assert attempts.hosts == ["192.0.2.1"]


def test_a_stop_records_the_answer_of_the_first_host() -> None:
    attempts = Attempts()
    attempts.send()
    answer(attempts, "MAIL", reply("451"))
    attempts.net.connectors[-1].stopConnecting = attempts.net.refuse  # type: ignore[method-assign]
    attempts.destination.close()
    assert attempts.outcomes == {"bob@b.test": TryLater("451 4.3.0 no", FIRST.label, "4.3.0")}


def test_a_message_that_an_operator_removed_goes_to_no_other_host() -> None:
    attempts = Attempts()
    job = attempts.send()
    answer(attempts, "MAIL", reply("451"))
    job.cancelled = True
    attempts.accept("220 hi", *EHLO)
    assert attempts.outcomes == {}
    assert attempts.sent.ended == [job]


RECIPIENTS = tuple(f"u{number}@b.test" for number in range(1, 6))
MANY = "452 4.5.3 Too many recipients"


@pytest.mark.parametrize(
    "refusal",
    [
        MANY,
        "452 too many recipients",
        "450 4.5.3 no",
        "552 5.5.3 too many",
        "552 Too many recipients received",
        "550 5.5.3 too many",
        "554 Too many recipients",
    ],
)
def test_recipients_beyond_the_limit_of_a_host_go_at_once_in_more_transactions(refusal: str) -> None:
    attempts = Attempts(FIRST)
    attempts.send(*RECIPIENTS)
    wire = attempts.accept("220 hi", *EHLO, "250 ok", "250 ok", "250 ok", refusal, refusal, refusal, "354 go", "250 ok")
    assert set(attempts.outcomes) == {"u1@b.test", "u2@b.test"}
    says(wire, ("250 ok", "250 ok", "250 ok", "354 go", "250 ok", "250 ok", "250 ok", "354 go", "250 ok"))
    assert {type(outcome) for outcome in attempts.outcomes.values()} == {Delivered}
    assert set(attempts.outcomes) == set(RECIPIENTS)
    assert len(attempts.net.wires) == 1
    assert not [line for line in attempts.lines if "possible-duplicate" in line]


def test_a_refusal_for_too_many_recipients_is_final_where_not_even_one_was_taken() -> None:
    attempts = Attempts(FIRST)
    attempts.send(*RECIPIENTS[:2])
    refusal = "550 5.5.3 Too many recipients"
    attempts.accept("220 hi", *EHLO, "250 ok", refusal, refusal, "554 no valid recipients")
    assert {type(outcome) for outcome in attempts.outcomes.values()} == {Failed}
    assert set(attempts.outcomes) == set(RECIPIENTS[:2])


def test_the_limit_of_a_host_is_kept_for_the_messages_after_it_and_forgotten_in_time() -> None:
    attempts = Attempts(FIRST)
    attempts.send(*RECIPIENTS[:3])
    wire = attempts.accept("220 hi", *EHLO, "250 ok", "250 ok", "250 ok", MANY, "354 go", "250 ok")
    says(wire, ("250 ok", "250 ok", "354 go", "250 ok"))
    wire.heard()
    attempts.send("a@b.test", "b@b.test", "c@b.test")
    says(wire, ("250 ok", "250 ok", "250 ok", "354 go"))
    assert wire.heard().count(b"RCPT") == 2
    says(wire, ("250 ok", "250 ok", "250 ok", "354 go", "250 ok"))
    assert len(attempts.outcomes) == 6
    attempts.net.advance(5 * 3600)
    attempts.send("d@b.test", "e@b.test", "f@b.test")
    again = attempts.accept("220 hi", *EHLO, "250 ok", "250 ok", "250 ok", "250 ok")
    assert again.heard().count(b"RCPT") == 3


def test_a_host_that_refuses_even_the_first_recipient_so_has_deferred_the_message() -> None:
    attempts = Attempts(FIRST)
    attempts.send("u1@b.test", "u2@b.test")
    attempts.accept("220 hi", *EHLO, "250 ok", MANY, MANY)
    assert {type(outcome) for outcome in attempts.outcomes.values()} == {TryLater}
    assert len(attempts.outcomes) == 2


def test_a_limit_by_time_is_no_limit_of_a_transaction() -> None:
    attempts = Attempts(FIRST)
    attempts.send("u1@b.test", "u2@b.test")
    attempts.accept("220 hi", *EHLO, "250 ok", "250 ok", "450 4.7.1 too many recipients per hour", "354 go", "250 ok")
    assert set(attempts.outcomes) == {"u1@b.test"}
    assert attempts.destination.waiting == 1


def test_recipients_beyond_the_limit_wait_with_the_others_if_the_only_host_went_away() -> None:
    attempts = Attempts(FIRST)
    attempts.send("u1@b.test", "u2@b.test")
    wire = attempts.accept("220 hi", *EHLO, "250 ok", "250 ok", MANY, "354 go")
    wire.lost()
    assert {type(outcome) for outcome in attempts.outcomes.values()} == {TryLater}
    assert len(attempts.outcomes) == 2


SLOW_DOWN = "454 4.7.0 Throttling failure: Maximum sending rate exceeded."


def test_a_host_that_throttles_is_passed_over_while_another_takes_the_mail() -> None:
    attempts = Attempts()
    attempts.send("one@b.test")
    attempts.accept("220 hi", *EHLO, "250 ok", "250 ok", "354 go", SLOW_DOWN)
    second = attempts.accept(*TAKES)
    assert isinstance(attempts.outcomes["one@b.test"], Delivered)
    attempts.net.advance(10)
    second.lost()
    attempts.send("two@b.test")
    assert attempts.hosts == ["192.0.2.1", "192.0.2.2", "192.0.2.2"]
    attempts.net.refuse()
    attempts.net.advance(60)
    attempts.send("three@b.test")
    assert attempts.hosts[3:] == ["192.0.2.1"]
    assert not [line for line in attempts.lines if "destination-throttled" in line]


def test_a_message_that_all_hosts_throttle_waits_and_is_no_failed_attempt() -> None:
    attempts = Attempts()
    attempts.send()
    for _ in range(2):
        attempts.accept("220 hi", *EHLO, "250 ok", "250 ok", "354 go", SLOW_DOWN)
    assert attempts.outcomes == {}
    assert attempts.destination.waiting == 1
    attempts.net.advance(2)
    says(attempts.net.wires[-1], ("250 reset", "250 ok", "250 ok", "354 go", "250 taken"))
    assert isinstance(attempts.outcomes["bob@b.test"], Delivered)
    assert not [line for line in attempts.lines if "possible-duplicate" in line]


def test_a_throttled_recipient_waits_though_the_other_host_could_not_be_reached() -> None:
    attempts = Attempts()
    attempts.send("ann@b.test", "bob@b.test")
    attempts.accept("220 hi", *EHLO, "250 ok", SLOW_DOWN, "250 ok", "354 go", "250 ok")
    assert set(attempts.outcomes) == {"bob@b.test"}
    attempts.net.refuse()
    assert set(attempts.outcomes) == {"bob@b.test"}
    assert attempts.destination.waiting == 1


@pytest.mark.parametrize("step", ["greeting", "EHLO"])
def test_a_session_that_is_refused_because_of_a_limit_is_no_failed_attempt(step: str) -> None:
    attempts = Attempts(FIRST)
    attempts.send()
    answer(attempts, step, lambda _, wire: wire.says("421 4.7.0 Too many connections, try again later"))
    assert attempts.outcomes == {}
    attempts.net.advance(1)
    attempts.accept(*TAKES)
    assert isinstance(attempts.outcomes["bob@b.test"], Delivered)


def test_a_limit_that_one_host_tells_counts_though_the_other_is_not_there() -> None:
    attempts = Attempts()
    attempts.send()
    answer(attempts, "greeting", lambda _, wire: wire.says("421 4.7.0 Too many connections, try again later"))
    attempts.net.refuse()
    assert attempts.outcomes == {}
    assert attempts.destination.waiting == 1


def test_a_limit_of_messages_opens_another_connection_at_once() -> None:
    attempts = Attempts(FIRST)
    attempts.send("one@b.test")
    wire = attempts.accept(*TAKES)
    attempts.send("two@b.test")
    says(wire, ("451 4.7.0 Too many messages on this connection",))
    attempts.accept(*TAKES)
    assert isinstance(attempts.outcomes["two@b.test"], Delivered)
    attempts.send("three@b.test")
    assert len(attempts.hosts) == 3


def paced() -> Attempts:
    """Return a destination with two hosts that throttled, and that is probed with the next message."""
    attempts = Attempts()
    attempts.destination._window.refused(0.0, LimitRefusal(LimitKind.RATE, None, 0.0, 0, 0, 5, 1.0))
    attempts.net.advance(2)
    return attempts


def test_a_probe_of_the_pace_that_no_host_answered_is_followed_by_another() -> None:
    attempts = paced()
    attempts.send("one@b.test")
    attempts.accept(*TAKES[:3], "421 4.3.0 try another time").lost()
    attempts.net.refuse()
    assert isinstance(attempts.outcomes["one@b.test"], TryLater)
    attempts.net.advance(60)
    attempts.send("two@b.test")
    attempts.accept(*TAKES)
    assert isinstance(attempts.outcomes["two@b.test"], Delivered)


def test_a_probe_of_the_pace_is_repeated_when_the_second_host_is_lost() -> None:
    attempts = paced()
    attempts.send()
    attempts.accept(*TAKES[:3], SLOW_DOWN)
    attempts.accept(*TAKES[:3]).lost()
    assert attempts.outcomes == {}
    attempts.net.advance(60)
    attempts.accept(*TAKES)
    assert isinstance(attempts.outcomes["bob@b.test"], Delivered)
