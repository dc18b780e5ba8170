"""A destination's requests for leave, and the answers that come late."""

from typing import Any

from mta.delivery.rates.leave import Leave, Leaves

KEY = "30-pace.toml:1\t10 messages/minute\t"
NOW = 1000.0


class Lines:
    """The lines that go to the broker."""

    def __init__(self, *keys: str) -> None:
        self.sent: list[tuple[Any, ...]] = []
        self.changes = 0
        self.now = NOW
        self.leaves = Leaves(self._send, lambda: self.now)
        self.keys = keys or (KEY,)
        self.leave: Leave = self.leaves.new("mx.test", {key: key.split("\t")[0] for key in self.keys}, self._changed)

    def _send(self, verb: str, /, *words: Any) -> None:
        self.sent.append((verb, *words))

    def _changed(self) -> None:
        self.changes += 1

    def take_sent(self) -> list[tuple[Any, ...]]:
        sent, self.sent = self.sent, []
        return sent

    def hear(self, verb: str, *words: Any) -> None:
        self.leaves.handlers()[verb]("mx.test", *words)


def test_one_request_is_out_until_its_answer() -> None:
    lines = Lines()
    assert not lines.leave.may_start(1)
    assert not lines.leave.may_start(1)
    assert lines.take_sent() == [("rate_ask", "mx.test", (KEY,), 1)]
    assert lines.leave.pending
    lines.hear("rate_leave", [KEY], 1, 9)
    assert lines.changes == 1
    assert lines.leave.may_start(1)
    lines.leave.started()
    begun = lines.leave.begin(1)
    lines.leave.end(begun)
    assert lines.take_sent() == [("rate_ended", "mx.test", (KEY,), 1)]


def test_leave_for_fewer_recipients_is_given_back_for_more() -> None:
    lines = Lines()
    lines.leave.may_start(2)
    lines.hear("rate_leave", [KEY], 2, 0)
    assert not lines.leave.may_start(3)
    assert [line[0] for line in lines.take_sent()] == ["rate_ask", "rate_unused", "rate_ask"]


def test_leave_that_no_transaction_needs_goes_back() -> None:
    lines = Lines()
    lines.leave.may_start(1)
    lines.leave.give_back()
    # It was on its way.
    lines.hear("rate_leave", [KEY], 1, 0)
    assert [line[0] for line in lines.take_sent()] == ["rate_ask", "rate_withdraw", "rate_unused"]
    assert not lines.leave.pending


def test_leave_by_rates_that_hold_no_more_goes_back() -> None:
    lines = Lines()
    lines.leave.may_start(1)
    lines.hear("rate_leave", ["another"], 1, 0)
    assert lines.leave.pending
    assert lines.take_sent()[-1] == ("rate_unused", "mx.test", ["another"], 1)


def test_a_transaction_on_the_way_to_another_host_needs_no_leave_and_is_counted() -> None:
    lines = Lines()
    lines.leave.end(lines.leave.begin(4))
    assert lines.take_sent() == [("rate_begun", "mx.test", (KEY,), 4), ("rate_ended", "mx.test", (KEY,), 4)]


def test_a_long_wait_is_known_with_its_rule() -> None:
    lines = Lines(KEY, "SEND_RATE\t5 messages/day\t")
    lines.leave.may_start(1)
    lines.hear("rate_wait", "SEND_RATE\t5 messages/day\t", 3600.0)
    assert (lines.leave.place, lines.leave.not_before, lines.changes) == ("SEND_RATE", NOW + 3600.0, 1)


def test_a_clock_that_is_set_back_makes_no_mail_wait_for_longer() -> None:
    lines = Lines()
    lines.leave.may_start(1)
    lines.hear("rate_wait", KEY, 50.0)
    lines.now -= 3600
    assert lines.leave.not_before == 0.0


def test_the_messages_of_a_minute_are_those_that_may_begin_at_once_and_those_that_come_then() -> None:
    lines = Lines()
    assert lines.leave.rate * 60 == 20
    lines.leave.may_start(1)
    lines.hear("rate_wait", KEY, 5.0)
    assert lines.leave.rate * 60 == 10
