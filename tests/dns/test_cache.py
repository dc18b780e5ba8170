"""The TTL cache: expiry, limits of entries and memory, and one running call for each key."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mta.dns import answers
from mta.dns.answers import Found, LookupFailed, MxRecord, NoSuchName
from mta.dns.cache import MAX_OCTETS, SingleFlight, TtlCache
from mta.dns.dnssec.answer_cache import validated_size
from mta.dns.dnssec.authenticity import Security, ValidatedAnswer
from mta.dns.message import MAX_EXCHANGERS, MAX_RECORDS
from mta.message.outcome import Failed
from mta.routing import route
from mta.routing.route import Plan, Route


class TestTtlCache(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.cache: TtlCache[str, int] = TtlCache(2, self.clock.seconds, lambda _: 8)

    def test_a_value_is_good_until_its_time_is_over(self) -> None:
        self.cache.put("a", 1, 10)
        self.clock.advance(9.5)
        assert self.cache.get("a") == 1
        assert self.cache.remaining("a") == 0.5
        self.clock.advance(0.5)
        assert self.cache.get("a") is None
        assert self.cache.remaining("a") == 0
        assert len(self.cache) == 0

    def test_the_oldest_makes_room_and_a_renewed_one_is_not_the_oldest(self) -> None:
        self.cache.put("a", 1, 10)
        self.cache.put("b", 2, 10)
        self.cache.put("a", 3, 10)
        self.cache.put("c", 4, 10)
        assert [self.cache.get(key) for key in "abc"] == [3, None, 4]

    def test_a_full_cache_holds_so_many_octets_the_newest_ones(self) -> None:
        cache: TtlCache[int, int] = TtlCache(10_000, self.clock.seconds, lambda value: value)
        megabyte = 1024 * 1024
        for number in range(100):
            cache.put(number, megabyte, 10)
            assert len(cache) * megabyte < MAX_OCTETS
        assert len(cache) == MAX_OCTETS // megabyte - 1
        assert [cache.get(number) is None for number in (84, 85, 99)] == [True, False, False]
        for number in range(200):
            cache.put(99, number, 10)
        for number in range(1000):
            cache.put(number, 8, 10)
        assert len(cache) == 1000

    def test_expired_entries_are_discarded_without_being_asked_for(self) -> None:
        cache: TtlCache[int, int] = TtlCache(10_000, self.clock.seconds, lambda _: 8)
        for number in range(1000):
            cache.put(number, 1, 10 if number % 2 else 1000)
        self.clock.advance(10)
        for number in range(1000, 1300):
            cache.put(number, 1, 10)
        assert len(cache) == 800
        assert cache.get(0) == 1


LONG = ".".join(["x" * 60] * 4)


def hosts(number: int, count: int, length: int = 250) -> list[str]:
    return [f"mx{number:05}{each:03}{LONG}"[:length] for each in range(count)]


def exchangers(number: int, count: int, length: int) -> Found[MxRecord]:
    return Found(tuple(MxRecord(10, host) for host in hosts(number, count, length)), 60.0, f"{number}.test")


def plan(number: int, count: int, length: int) -> Plan:
    routes = (Route(host, f"192.0.2.{at}", 25) for at, host in enumerate(hosts(number, count, length)))
    return Plan("x" * 300 + str(number), tuple(routes))


MADE: dict[str, tuple[Callable[[int], Any], Callable[[Any], int]]] = {
    "most MX": (lambda number: exchangers(number, MAX_EXCHANGERS, 250), answers.memory_size),
    "one MX": (lambda number: exchangers(number, 1, 20), answers.memory_size),
    "most addresses": (
        lambda number: Found(
            tuple(f"2001:db8:{number:x}:1111:2222:3333:4444:{each:x}" for each in range(MAX_RECORDS)),
            60.0,
            f"{number}.test",
        ),
        answers.memory_size,
    ),
    "most TLSA": (
        lambda number: Found(
            tuple(answers.TlsaRecord(3, 1, 1, b"%032d" % (number * 1000 + each)) for each in range(MAX_RECORDS)),
            60.0,
            f"{number}.test",
        ),
        answers.memory_size,
    ),
    "validated": (
        lambda number: ValidatedAnswer(NoSuchName(60.0 + number), Security.INSECURE, f"{number} is not signed"),
        validated_size,
    ),
    "bogus": (
        lambda number: ValidatedAnswer(LookupFailed(f"failure <{number}>"), Security.BOGUS, f"failure <{number}>" * 5),
        validated_size,
    ),
    "no such name": (lambda number: NoSuchName(60.0 + number), answers.memory_size),
    "failure": (lambda number: LookupFailed(f"SERVFAIL from 192.0.2.1:53, {number}"), answers.memory_size),
    "most routes": (lambda number: plan(number, 10, 250), route.memory_size),
    "one route": (lambda number: plan(number, 1, 20), route.memory_size),
    "no route": (lambda number: Failed(f"tried {LONG} {number}", status="5.4.4"), route.memory_size),
}


@pytest.mark.parametrize("kind", MADE)
def test_no_value_takes_more_memory_than_is_counted(kind: str) -> None:
    make, memory_size = MADE[kind]
    cache: TtlCache[str, Any] = TtlCache(10_000, lambda: 0.0, memory_size)
    counted = 0
    tracemalloc.start()
    try:
        for number in range(500):
            value = make(number)
            counted += memory_size(value) + 500
            cache.put(f"{number:05}{LONG}", value, 60.0)
        held, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < min(counted, MAX_OCTETS) * 1.05


class TestShared(SynchronousTestCase):
    def setUp(self) -> None:
        self.shared: SingleFlight[str, int] = SingleFlight()
        self.source: Deferred[int] = Deferred()
        self.asked = 0

    def _ask(self) -> "Deferred[int]":
        def question() -> "Deferred[int]":
            self.asked += 1
            return self.source

        return self.shared.run("key", question)

    def test_all_callers_get_the_result_of_one_call(self) -> None:
        asking = [self._ask() for _ in range(3)]
        self.source.callback(7)
        assert [self.successResultOf(answer) for answer in asking] == [7, 7, 7]
        assert self.asked == 1

    def test_a_later_question_is_asked_anew(self) -> None:
        self.source.callback(7)
        self.successResultOf(self._ask())
        self.source = Deferred()
        self.assertNoResult(self._ask())
        assert self.asked == 2

    def test_an_error_reaches_all(self) -> None:
        asking = [self._ask(), self._ask()]
        self.source.errback(ValueError("bug"))
        for answer in asking:
            self.failureResultOf(answer, ValueError)

    def test_a_cancelled_caller_leaves_the_others_waiting(self) -> None:
        first, second = self._ask(), self._ask()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.source.callback(7)
        assert self.successResultOf(second) == 7
