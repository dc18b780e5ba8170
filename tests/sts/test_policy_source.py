"""The policies of domains over time: found, kept, renewed, doubted, and done without when they cannot be had."""

import json
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from harness.zone import Zone, ZoneResolver
from mta.blocking import run_inline
from mta.event_log.lines import render_json
from mta.event_log.log import EventLog
from mta.sts.fetches import LONGEST_RETRY, RETRY, TELL_AGAIN, FetchParts
from mta.sts.fetching import PolicyFetchError
from mta.sts.https_port import CLOSED_SECONDS
from mta.sts.interface import PATIENCE
from mta.sts.kept import RENEWAL, UNUSED
from mta.sts.policy import StsMode, StsPolicy
from mta.sts.policy_file import FILE_NAME, PolicyFile
from mta.sts.policy_source import MAX_RENEWALS, RENEWAL_PATIENCE, WORK_INTERVAL, PolicySourceParts, StsPolicySource

NOW = 1_800_000_000.0
DAY = 86_400.0
ENFORCE = StsPolicy(StsMode.ENFORCE, ("mx.a.test",), 7 * 86_400)
TESTING = StsPolicy(StsMode.TESTING, ("mx.a.test",), 7 * 86_400)
NONE = StsPolicy(StsMode.NONE, (), 86_400)
MISSING = PolicyFetchError("mta-sts.a.test: the answer has status 404")


def unreachable(domain: str) -> PolicyFetchError:
    return PolicyFetchError(f"mta-sts.{domain}: connection timed out", reached=False)


class FakeFetcher:
    """Answers at once with the policy or error of a domain; a domain without one is silent until its time is over."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.answers: dict[str, StsPolicy | Exception] = {}
        self.asked: list[tuple[str, float]] = []
        self.waiting: deque[Deferred[StsPolicy]] = deque()

    async def fetch(self, domain: str, patience: float) -> StsPolicy:
        self.asked.append((domain, patience))
        given = self.answers.get(domain)
        if given is None:
            waiting: Deferred[StsPolicy] = Deferred()
            timer = self.clock.callLater(patience, waiting.errback, PolicyFetchError(f"mta-sts.{domain}: no answer"))
            self.waiting.append(waiting)
            try:
                return await waiting
            finally:
                if timer.active():
                    timer.cancel()
        if isinstance(given, Exception):
            raise given
        return given


@dataclass
class World:
    """The DNS, the policy hosts and the directory of a relay, which may start again and again."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    zone: Zone = field(default_factory=Zone)
    lines: list[str] = field(default_factory=list)
    #: Seconds by which the wall clock is wrong.
    ahead: float = 0.0

    def __post_init__(self) -> None:
        self.fetcher = FakeFetcher(self.clock)
        self.resolver: Any = ZoneResolver(self.zone)
        self.source = self.start()

    def now(self) -> float:
        return NOW + self.ahead + self.clock.seconds()

    def start(self) -> StsPolicySource:
        log = EventLog(self.lines.append, self.now, render_json)
        parts = FetchParts(self.fetcher, self.clock, self.now, log)
        self.source = StsPolicySource(PolicySourceParts(self.resolver, parts, PolicyFile(self.folder), run_inline))
        self.source.start()
        return self.source

    def restart(self) -> StsPolicySource:
        assert self.source.stop().called
        return self.start()

    def publish(self, domain: str, id: str | None, policy: StsPolicy | Exception | None) -> None:
        """Publish a record and a policy, each unless it is None; a policy host without a policy is silent."""
        name = f"_mta-sts.{domain}"
        self.zone.records.pop(name, None)
        if id is not None:
            self.zone.add(name, TXT=[f"v=STSv1; id={id};"])
        self.fetcher.answers.pop(domain, None)
        if policy is not None:
            self.fetcher.answers[domain] = policy

    def ask(self, domain: str = "a.test") -> "Deferred[StsPolicy | None]":
        return Deferred.fromCoroutine(self.source.policy(domain))

    def get(self, domain: str = "a.test") -> StsPolicy | None:
        """Return the policy of a domain, which must be there at once."""
        return result(self.ask(domain))

    @property
    def fetches(self) -> int:
        return len(self.fetcher.asked)

    def events(self) -> list[dict[str, Any]]:
        """Return the events since the last call."""
        events = [json.loads(line) for line in self.lines]
        self.lines.clear()
        return events

    def told(self) -> list[str]:
        """Return the text of each notice and failure since the last call."""
        return [event.get("reason") or event["text"] for event in self.events() if event["event"] != "policy"]

    def run(self, seconds: float) -> None:
        """Let the relay work for some time."""
        for _ in range(int(seconds / WORK_INTERVAL)):
            self.clock.advance(WORK_INTERVAL)
            self.source.work()


def result(asked: "Deferred[StsPolicy | None]") -> StsPolicy | None:
    results: list[Any] = []
    asked.addBoth(results.append)
    (found,) = results
    assert found is None or isinstance(found, StsPolicy)
    return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_domain_without_a_record_has_no_policy_and_is_not_asked(world: World) -> None:
    assert world.get() is None
    assert world.fetches == 0
    assert world.lines == []


def test_a_published_policy_is_fetched_once_and_told(world: World) -> None:
    world.publish("a.test", "1", ENFORCE)
    assert [world.get() for _ in range(3)] == [ENFORCE] * 3
    assert world.fetcher.asked == [("a.test", PATIENCE)]
    (event,) = world.events()
    assert (event["event"], event["domain"], event["kind"], event["mode"]) == ("policy", "a.test", "sts", "enforce")
    assert (event["mx"], event["until"]) == ("mx.a.test", "2027-01-22T08:00:00.000Z")


def test_a_policy_of_mode_none_counts_as_none_and_is_kept(world: World) -> None:
    world.publish("a.test", "1", NONE)
    assert [world.get(), world.get()] == [None, None]
    assert world.fetches == 1
    assert world.lines == []
    known = world.source.known("a.test")
    assert known is not None
    assert known.policy == NONE


def test_a_new_id_has_the_policy_fetched_at_once(world: World) -> None:
    world.publish("a.test", "1", ENFORCE)
    world.get()
    world.publish("a.test", "2", TESTING)
    assert world.get() == TESTING
    world.publish("a.test", "3", NONE)
    assert world.get() is None
    assert [event["mode"] for event in world.events()] == ["enforce", "testing", "none"]


def test_a_new_id_with_the_same_policy_is_not_told(world: World) -> None:
    world.publish("a.test", "1", ENFORCE)
    world.get()
    world.publish("a.test", "2", ENFORCE)
    world.clock.advance(DAY)
    world.get()
    assert world.fetches == 2
    assert len(world.events()) == 1


def test_an_unchanged_id_does_not_prolong_a_policy(world: World) -> None:
    world.publish("a.test", "1", ENFORCE)
    world.get()
    world.publish("a.test", "1", MISSING)
    for _ in range(6):
        world.clock.advance(DAY)
        assert world.get() == ENFORCE
    world.clock.advance(DAY)
    assert world.get() is None
    assert world.fetches == 2


@pytest.mark.parametrize("change", ["gone", "servfail", "malformed", "twice"])
def test_a_policy_holds_although_its_record_cannot_be_had(world: World, change: str) -> None:
    world.publish("a.test", "1", ENFORCE)
    world.get()
    world.publish("a.test", None, None)
    if change == "servfail":
        world.zone.fail("_mta-sts.a.test")
    elif change == "malformed":
        world.zone.add("_mta-sts.a.test", TXT=["v=STSv1; id=;"])
    elif change == "twice":
        world.zone.add("_mta-sts.a.test", TXT=["v=STSv1; id=1;", "v=STSv1; id=2"])
    assert [world.get(), world.get()] == [ENFORCE, ENFORCE]
    world.clock.advance(7 * DAY)
    assert world.get() is None
    assert world.fetches == 1
    told = world.told()
    if change in {"gone", "servfail"}:
        assert told == []
    else:
        assert "_mta-sts.a.test: " in told[0]
        assert "the last one holds to 2027-01-22T08:00:00.000Z" in told[0]


def test_a_malformed_record_is_told_once_and_counts_as_none(world: World) -> None:
    world.zone.add("_mta-sts.a.test", TXT=["v=STSv1; id=a-b"])
    assert [world.get(), world.get()] == [None, None]
    assert world.told() == [
        "_mta-sts.a.test: the id of the record must have 1 to 32 letters and digits; mail goes as without a policy"
    ]
    world.publish("a.test", "1", ENFORCE)
    assert world.get() == ENFORCE


def test_a_policy_that_cannot_be_fetched_is_none_told_once_and_tried_again_after_five_minutes(world: World) -> None:
    world.publish("a.test", "1", MISSING)
    assert [world.get(), world.get()] == [None, None]
    world.clock.advance(RETRY - 1)
    assert world.get() is None
    assert world.fetches == 1
    world.clock.advance(1)
    assert world.get() is None
    assert world.fetches == 2
    assert world.told() == ["mta-sts.a.test: the answer has status 404; mail goes as without a policy"]
    world.clock.advance(RETRY)
    world.publish("a.test", "1", ENFORCE)
    assert world.get() == ENFORCE
    world.publish("a.test", "2", MISSING)
    world.get()
    assert len(world.told()) == 1


def test_a_failure_that_lasts_is_told_again_after_a_day(world: World) -> None:
    world.publish("a.test", "1", MISSING)
    world.get()
    world.clock.advance(TELL_AGAIN)
    world.get()
    assert len(world.told()) == 2


def test_a_new_policy_that_cannot_be_fetched_leaves_the_old_one(world: World) -> None:
    world.publish("a.test", "1", ENFORCE)
    world.get()
    world.publish("a.test", "2", MISSING)
    assert [world.get(), world.get()] == [ENFORCE, ENFORCE]
    assert world.fetches == 2
    assert world.told()[0].endswith("status 404; the last one holds to 2027-01-22T08:00:00.000Z")
    world.clock.advance(RETRY)
    world.publish("a.test", "2", TESTING)
    assert world.get() == TESTING


def test_a_silent_policy_host_delays_its_own_domain_only_and_that_by_15_seconds(world: World) -> None:
    world.publish("a.test", "1", None)
    world.publish("b.test", "1", ENFORCE)
    first, second = world.ask(), world.ask()
    assert world.get("b.test") == ENFORCE
    world.clock.advance(PATIENCE - 0.1)
    late = world.ask()
    assert [each.called for each in (first, second, late)] == [False] * 3
    world.clock.advance(0.1)
    assert [result(each) for each in (first, second, late)] == [None] * 3
    assert world.fetcher.asked == [("a.test", PATIENCE), ("b.test", PATIENCE)]
    assert world.get() is None


def test_all_mail_waits_for_one_fetch(world: World) -> None:
    world.publish("a.test", "1", None)
    asked = [world.ask() for _ in range(100)]
    given_up: list[Any] = []
    asked[0].addErrback(lambda failure: given_up.append(failure.trap(CancelledError)))
    asked[0].cancel()
    assert given_up == [CancelledError]
    world.fetcher.waiting[0].callback(ENFORCE)
    assert [result(each) for each in asked[1:]] == [ENFORCE] * 99
    assert world.fetches == 1


def test_a_record_that_does_not_come_takes_15_seconds(world: World) -> None:
    class Silent:
        async def txt(self, name: str) -> Any:
            await Deferred()

    world.resolver = Silent()
    world.start()
    asked = world.ask()
    world.clock.advance(PATIENCE)
    assert result(asked) is None


def test_a_slow_record_leaves_the_fetch_the_rest_of_the_time(world: World) -> None:
    record: Deferred[None] = Deferred()
    zone = ZoneResolver(world.zone)

    class Slow:
        async def txt(self, name: str) -> Any:
            await record
            return await zone.txt(name)

    world.resolver = Slow()
    world.start()
    world.publish("a.test", "1", None)
    asked = world.ask()
    world.clock.advance(10)
    record.callback(None)
    assert world.fetcher.asked == [("a.test", 5.0)]
    world.clock.advance(5)
    assert result(asked) is None


def test_a_name_too_long_for_a_record_has_no_policy(world: World) -> None:
    assert world.get("a" * 250) is None
    assert world.resolver.asked == []


def test_policies_are_fetched_again_daily(world: World) -> None:
    world.publish("a.test", "1", ENFORCE)
    world.get()
    world.run(RENEWAL)
    assert world.fetcher.asked[1:] == [("a.test", RENEWAL_PATIENCE)]
    world.run(20 * RENEWAL)
    assert 20 <= world.fetches <= 30
    assert world.get() == ENFORCE
    assert len(world.events()) == 1


def test_renewals_run_a_few_at_a_time(world: World) -> None:
    for number in range(20):
        world.publish(f"{number}.test", "1", ENFORCE)
        world.get(f"{number}.test")
    world.fetcher.answers.clear()
    world.clock.advance(RENEWAL)
    for _ in range(4):
        world.source.work()
    assert world.fetches == 20 + MAX_RENEWALS
    world.run(RENEWAL_PATIENCE)
    assert world.fetches == 20 + 2 * MAX_RENEWALS


def test_a_renewal_that_fails_is_tried_again_ever_more_rarely(world: World) -> None:
    world.publish("a.test", "1", ENFORCE)
    world.get()
    world.publish("a.test", "1", MISSING)
    world.run(RENEWAL)
    begun = world.fetches
    world.run(6 * DAY)
    assert 6 * DAY / LONGEST_RETRY <= world.fetches - begun < 40
    assert world.get() is None
    assert 6 <= len(world.told()) <= 8


def test_an_id_that_changes_is_looked_at_although_renewals_fail(world: World) -> None:
    world.publish("a.test", "1", ENFORCE)
    world.get()
    world.publish("a.test", "1", MISSING)
    world.run(3 * DAY)
    world.publish("a.test", "2", NONE)
    world.clock.advance(RETRY)
    assert world.get() is None


def test_a_policy_that_failed_mail_is_fetched_again_at_the_next_attempt(world: World) -> None:
    world.publish("a.test", "1", ENFORCE)
    world.get()
    world.publish("a.test", None, NONE)
    world.clock.advance(1)
    assert world.get() == ENFORCE
    world.source.look_again("a.test")
    assert world.get() is None
    world.clock.advance(RETRY)
    assert world.get() is None
    assert world.fetches == 2


def test_a_domain_is_not_asked_again_more_often_than_every_five_minutes(world: World) -> None:
    world.publish("a.test", "1", ENFORCE)
    world.get()
    for _ in range(100):
        world.source.look_again("a.test")
        assert world.get() == ENFORCE
        world.clock.advance(9)
    assert world.fetches == 4
    world.publish("a.test", "1", MISSING)
    for _ in range(100):
        world.source.look_again("a.test")
        assert world.get() == ENFORCE
        world.clock.advance(9)
    assert 6 <= world.fetches <= 8


def test_looking_again_without_a_policy_is_nothing(world: World) -> None:
    world.source.look_again("a.test")
    assert world.get() is None
    world.publish("a.test", "1", ENFORCE)
    world.get()
    world.source.work()
    assert world.fetches == 1


def test_no_mail_waits_for_five_minutes_once_three_policy_hosts_took_no_connection(world: World) -> None:
    for name in "abc":
        world.publish(f"{name}.test", "1", unreachable(f"{name}.test"))
        world.get(f"{name}.test")
    world.publish("d.test", "1", None)
    assert world.get("d.test") is None
    assert world.fetcher.asked[-1] == ("d.test", RENEWAL_PATIENCE)
    notices = [event["text"] for event in world.events() if event["event"] == "notice"]
    assert len(notices) == 1
    assert notices[0].startswith("3 policy hosts in a row took no connection: port 443")
    world.clock.advance(CLOSED_SECONDS)
    world.publish("e.test", "1", None)
    waiting = world.ask("e.test")
    assert not waiting.called
    world.clock.advance(PATIENCE)
    assert result(waiting) is None


def test_a_policy_host_that_takes_a_connection_ends_that(world: World) -> None:
    for name in "abc":
        world.publish(f"{name}.test", "1", unreachable(f"{name}.test"))
        world.get(f"{name}.test")
    world.publish("d.test", "1", MISSING)
    assert world.get("d.test") is None
    world.publish("e.test", "1", None)
    assert not world.ask("e.test").called


def test_failures_without_a_connection_that_was_tried_say_nothing_about_the_port(world: World) -> None:
    for name, reached in {"a": False, "b": None, "c": None, "d": False, "e": None}.items():
        world.publish(f"{name}.test", "1", PolicyFetchError("no such host", reached=reached))
        world.get(f"{name}.test")
    assert [event for event in world.events() if event["event"] == "notice"] == []
    world.publish("f.test", "1", unreachable("f.test"))
    world.get("f.test")
    assert len([event for event in world.events() if event["event"] == "notice"]) == 1


def test_a_reload_lets_each_policy_host_be_asked_again(world: World) -> None:
    world.publish("a.test", "1", MISSING)
    world.get()
    world.publish("a.test", "1", ENFORCE)
    world.source.reload()
    assert world.get() == ENFORCE


def test_a_restart_forgets_no_policy(world: World) -> None:
    world.publish("a.test", "1", ENFORCE)
    world.get()
    world.publish("a.test", None, MISSING)
    world.restart()
    assert world.get() == ENFORCE
    assert world.fetches == 1
    world.clock.advance(7 * DAY)
    world.restart()
    assert world.get() is None


def test_a_kill_forgets_only_the_policies_of_the_last_seconds(world: World) -> None:
    world.publish("a.test", "1", ENFORCE)
    world.get()
    world.run(WORK_INTERVAL)
    world.start()
    world.publish("a.test", None, None)
    assert world.get() == ENFORCE


def test_policies_that_mail_has_not_used_for_long_are_dropped_from_the_file(world: World) -> None:
    world.publish("a.test", "1", ENFORCE)
    world.get()
    world.restart()
    for _ in range(int(UNUSED / DAY) + 1):
        world.clock.advance(DAY)
        world.source.work()
    assert PolicyFile(world.folder).read() == {}


def test_a_damaged_file_is_told_once_and_made_anew(world: World) -> None:
    (world.folder / FILE_NAME).write_bytes(b"no database" * 100)
    world.start()
    world.publish("a.test", "1", ENFORCE)
    assert world.get() == ENFORCE
    world.restart()
    (told,) = world.told()
    assert told.startswith("the file mta-sts.sqlite in QUEUE_DIR was damaged (file is not a database) and is made anew")
    assert PolicyFile(world.folder).read().keys() == {"a.test"}


def test_a_file_that_is_damaged_at_a_write_gets_all_policies(world: World) -> None:
    for name in "ab":
        world.publish(f"{name}.test", "1", ENFORCE)
        world.get(f"{name}.test")
        world.run(WORK_INTERVAL)
        if name == "a":
            (world.folder / FILE_NAME).write_bytes(b"no database" * 100)
    world.run(WORK_INTERVAL)
    assert PolicyFile(world.folder).read().keys() == {"a.test", "b.test"}
    assert len(world.told()) == 1


def test_a_file_that_cannot_be_written_is_told_once_and_written_later(world: World) -> None:
    (world.folder / FILE_NAME).mkdir()
    world.start()
    world.publish("a.test", "1", ENFORCE)
    assert world.get() == ENFORCE
    world.run(3 * WORK_INTERVAL)
    told = world.told()
    assert [text.partition(" (")[0] for text in told] == [
        "the file mta-sts.sqlite in QUEUE_DIR cannot be read",
        "the file mta-sts.sqlite in QUEUE_DIR cannot be written",
    ]
    (world.folder / FILE_NAME).rmdir()
    world.run(WORK_INTERVAL)
    assert PolicyFile(world.folder).read().keys() == {"a.test"}


def test_mail_that_comes_before_the_file_is_read_waits_for_it(world: World) -> None:
    world.publish("a.test", "1", ENFORCE)
    world.get()
    world.restart()
    parts = world.source._parts
    reading: Deferred[Any] = Deferred()
    source = StsPolicySource(
        PolicySourceParts(
            parts.resolver, parts.fetching, parts.file, lambda work: reading.addCallback(lambda _: work())
        )
    )
    source.start()
    asked = Deferred.fromCoroutine(source.policy("a.test"))
    assert not asked.called
    reading.callback(None)
    assert result(asked) == ENFORCE
    assert world.fetches == 1


def test_a_stop_ends_the_fetches(world: World) -> None:
    world.publish("a.test", "1", None)
    asked = world.ask()
    assert world.source.stop().called
    assert result(asked) is None
    assert world.clock.getDelayedCalls() == []
    assert world.told() == []


def test_a_bug_in_a_fetch_stops_no_mail_and_causes_no_flood(world: World) -> None:
    world.publish("a.test", "1", RuntimeError("a bug"))
    assert [world.get(), world.get()] == [None, None]
    assert world.fetches == 1


def test_a_renewal_that_fails_is_tried_again_although_mail_uses_the_policy_meanwhile(world: World) -> None:
    world.publish("a.test", "1", ENFORCE)
    world.get()
    world.publish("a.test", "1", None)
    world.clock.advance(RENEWAL)
    world.source.work()
    # A use more than a day after the last one changes the entry while its renewal runs.
    assert world.get() == ENFORCE
    world.publish("a.test", "1", TESTING)
    world.run(RENEWAL_PATIENCE + 2 * RETRY)
    assert world.get() == TESTING


def test_a_clock_that_is_wrong_at_the_start_drops_no_policy(world: World) -> None:
    world.publish("a.test", "1", ENFORCE)
    world.get()
    world.source.stop()
    world.ahead = 10 * 365 * DAY
    world.start()
    world.run(60)
    world.ahead = 0.0
    world.publish("a.test", None, TESTING)
    assert world.get() == ENFORCE
    world.run(RENEWAL)
    assert world.get() == TESTING


def test_an_operators_retry_looks_at_a_policy_that_failed_mail_at_once(world: World) -> None:
    world.publish("a.test", "1", ENFORCE)
    world.get()
    for answer in (ENFORCE, NONE):
        world.publish("a.test", "1", answer)
        world.clock.advance(1)
        world.source.look_again("a.test")
        world.source.reload()
        world.get()
    assert world.fetches == 3
    assert world.get() is None
