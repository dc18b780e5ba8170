"""Leave to send, in turn, and never more than the rates of rules allow."""

from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from mta.delivery.rates.broker import MAX_REMEMBERED, RateBroker
from mta.delivery.rates.journal import Counted, NoJournal, Used

NOW = 1000.0


def key(rate: str, place: str = "30-pace.toml:1", destination: str = "") -> str:
    return f"{place}\t{rate}\t{destination}"


TWO = key("2 messages / 10 seconds")


class SlowJournal(NoJournal):
    """Remembers what it is to write, and says that it is on disk when the test wants it."""

    def __init__(self) -> None:
        self.written: list[list[Used]] = []
        self.writing: list[Deferred[None]] = []
        self.closed: list[tuple[dict[str, list[Counted]], list[Used]]] = []

    def append(self, blocks: list[Used]) -> "Deferred[None]":
        if not blocks:
            return succeed(None)
        self.written.append(blocks)
        self.writing.append(Deferred())
        return self.writing[-1]

    def write(self) -> None:
        self.writing.pop(0).callback(None)

    def close(self, counted: Any, given: Any) -> None:
        self.closed.append((counted, list(given)))


class Office:
    """A broker with destinations that remember what they were told."""

    def __init__(self, journal: NoJournal | None = None) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.broker = RateBroker(self.clock, self._hear, journal or NoJournal())
        #: The destinations that got leave, in order, and the seconds that the others were told to wait.
        self.leave: list[str] = []
        self.waits: dict[str, float] = {}

    def _hear(self, worker: int, verb: str, /, *words: Any) -> None:
        name = str(words[0]) if worker == 0 else f"{worker}:{words[0]}"
        if verb == "rate_leave":
            self.leave.append(name)
        else:
            self.waits[name] = words[2]

    def ask(self, *names: str, keys: tuple[str, ...] = (TWO,), recipients: int = 1, worker: int = 0) -> None:
        for name in names:
            self.broker.ask(worker, name, keys, recipients)

    def end(self, name: str, keys: tuple[str, ...] = (TWO,), recipients: int = 1, worker: int = 0) -> None:
        self.broker.ended(worker, name, keys, recipients)


def test_leave_is_given_at_once_as_long_as_there_is_room() -> None:
    office = Office()
    office.ask("a", "b", "c")
    assert office.leave == ["a", "b"]


def test_a_transaction_is_counted_at_its_end_however_long_it_takes() -> None:
    office = Office()
    office.ask("a", "b", "c")
    office.clock.advance(100)
    assert office.leave == ["a", "b"]
    office.end("a")
    office.clock.advance(9)
    assert office.leave == ["a", "b"]
    office.clock.advance(1)
    assert office.leave == ["a", "b", "c"]


def test_destinations_take_turns() -> None:
    office = Office()
    office.ask("a", "b")
    office.ask("a", "c", "b")
    for name in ("a", "b"):
        office.end(name)
    office.ask("d")
    office.clock.advance(10)
    assert office.leave == ["a", "b", "a", "c"]


def test_a_destination_is_told_how_long_it_will_wait() -> None:
    office = Office()
    office.ask("a", "b")
    office.end("a")
    office.end("b")
    office.clock.advance(4)
    office.ask("c", "d", "e")
    # One message each 5 seconds, once the first place is free.
    assert office.waits == {"c": 6.0, "d": 11.0, "e": 16.0}


def test_leave_that_is_not_used_goes_to_the_next() -> None:
    office = Office()
    office.ask("a", "b", "c")
    office.broker.unused(0, "a", (TWO,), 1)
    assert office.leave == ["a", "b", "c"]


def test_a_request_that_is_withdrawn_is_passed_over() -> None:
    office = Office()
    office.ask("a", "b", "c", "d")
    office.broker.withdraw(0, "c")
    office.broker.unused(0, "a", (TWO,), 1)
    assert office.leave == ["a", "b", "d"]


def test_a_worker_that_ends_has_sent_what_it_had_leave_for() -> None:
    office = Office()
    office.ask("a", "b", worker=1)
    office.ask("c", worker=2)
    office.ask("d", worker=1)
    office.broker.left(1)
    office.clock.advance(9)
    assert office.leave == ["1:a", "1:b"]
    office.clock.advance(1)
    assert office.leave == ["1:a", "1:b", "2:c"]
    # A line that was on its way changes nothing.
    office.end("a", worker=1)


def test_all_rates_of_a_destination_must_have_room() -> None:
    office = Office()
    slow = key("1 message / 60 seconds", destination="a")
    office.ask("a", keys=(TWO, slow))
    office.end("a", (TWO, slow))
    office.ask("a", keys=(TWO, slow))
    office.ask("b")
    # The one that waits for its own rate does not hold up the other.
    assert office.leave == ["a", "b"]
    office.clock.advance(60)
    assert office.leave == ["a", "b", "a"]


def test_recipients_are_counted_by_their_number() -> None:
    office, five = Office(), (key("5 recipients / 10 seconds"),)
    office.ask("a", keys=five, recipients=3)
    office.ask("b", keys=five, recipients=3)
    office.end("a", five, 3)
    office.clock.advance(9)
    assert office.leave == ["a"]
    office.clock.advance(1)
    assert office.leave == ["a", "b"]


def test_a_transaction_without_leave_counts_too() -> None:
    office = Office()
    office.broker.begun(0, "a", (TWO,), 1)
    office.ask("b", "c")
    assert office.leave == ["b"]


def test_leave_is_on_disk_before_it_is_given_and_several_share_a_write() -> None:
    journal = SlowJournal()
    office = Office(journal)
    office.ask("a", "b", "c", keys=(key("20 messages/minute"),))
    assert office.leave == []
    assert [[used.messages for used in blocks] for blocks in journal.written] == [[2]]
    journal.write()
    # The block of a tenth was for two; the third has waited for the next write.
    assert office.leave == ["a"]
    journal.write()
    assert office.leave == ["a", "b", "c"]
    office.ask("d")
    assert len(journal.written) == 3


def test_a_request_that_is_withdrawn_while_its_leave_is_written_gets_none() -> None:
    journal = SlowJournal()
    office = Office(journal)
    office.ask("a")
    office.broker.withdraw(0, "a")
    office.ask("b", "c", "d")
    while journal.writing:
        journal.write()
    assert office.leave == ["b", "c"]


def test_the_end_of_the_broker_writes_what_counts_and_what_is_out() -> None:
    journal = SlowJournal()
    office = Office(journal)
    office.ask("a", "b")
    while journal.writing:
        journal.write()
    office.end("a")
    office.ask("c")
    office.broker.close()
    ((counted, given),) = journal.closed
    assert counted == {TWO: [[(NOW, 1)]]}
    assert [used.messages for used in given] == [1]
    assert office.clock.getDelayedCalls() == []


def test_windows_in_which_nothing_counts_are_forgotten() -> None:
    office = Office()
    for number in range(3 * MAX_REMEMBERED):
        one = (key("1 message/second", destination=f"mx{number}.test"),)
        office.ask(f"mx{number}.test", keys=one)
        office.end(f"mx{number}.test", one)
        office.clock.advance(0.01)
    assert len(office.broker._limits) <= 2 * MAX_REMEMBERED


STEPS = st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0.0, 7.0), st.floats(0.0, 7.0)), max_size=40)


@given(STEPS)
def test_in_no_span_more_transactions_end_than_a_rate_says(steps: list[tuple[str, float, float]]) -> None:
    office, ended, numbers = Office(), list[float](), count()
    seen = 0
    for name, pause, length in steps:
        office.ask(f"{name}{next(numbers)}")
        office.clock.advance(pause)
        for granted in office.leave[seen:]:
            office.clock.callLater(length, _end, office, ended, granted)
        seen = len(office.leave)
    office.clock.pump([1.0] * 500)
    for granted in office.leave[seen:]:
        _end(office, ended, granted)
    for at in ended:
        assert sum(at <= other < at + 10 for other in ended) <= 2


def _end(office: Office, ended: list[float], name: str) -> None:
    ended.append(office.clock.seconds())
    office.end(name)


def test_a_request_that_has_waited_for_one_rate_waits_for_the_next_and_holds_up_no_other() -> None:
    office = Office()
    slow = key("1 message / 60 seconds", destination="a")
    office.ask("a", keys=(TWO, slow))
    office.ask("b")
    # It waits for the rate of all mail first, and after that for its own, which is full for longer.
    office.ask("a", keys=(TWO, slow))
    office.ask("c")
    office.end("b")
    office.clock.advance(5)
    office.end("a", (TWO, slow))
    office.clock.advance(5)
    assert office.leave == ["a", "b", "c"]
    assert office.waits["a"] == 55.0
    office.clock.advance(54.9)
    assert office.leave == ["a", "b", "c"]
    office.clock.advance(0.1)
    assert office.leave == ["a", "b", "c", "a"]
