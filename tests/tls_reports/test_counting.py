"""Sessions counted by day: kept over a restart, and forgotten for domains that want no report."""

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from harness.zone import Zone, ZoneResolver
from mta.blocking import run_inline
from mta.dns.answers import TxtAnswer
from mta.tls_reports.counting import SessionCounter
from mta.tls_reports.day_file import DAY, DayFiles
from mta.tls_reports.tally import CountedPolicy, FailedSession, PolicyType

NOON = 20_787 * DAY + DAY // 2
TODAY = 20_787 * DAY
NONE = CountedPolicy(PolicyType.NONE)
FAILED = FailedSession("starttls-not-supported")
ZONE = {
    "_smtp._tls.a.test": {"TXT": ["v=TLSRPTv1; rua=mailto:ann@a.test"]},
    "_smtp._tls.b.test": {"TXT": ["v=spf1 -all"]},
    "_smtp._tls.broken.test": {"FAIL": "SERVFAIL"},
}


class CountingTests(TestCase):
    def setUp(self) -> None:
        self.home = Path(self.mktemp())
        self.home.mkdir()
        self.now = float(NOON)
        self.told: list[str] = []
        self.resolver = ZoneResolver(Zone(ZONE))
        self.files = DayFiles(self.home)

    def counter(self) -> SessionCounter:
        return SessionCounter(self.files, self.resolver, run_inline, lambda: self.now, self.told.append)

    def kept(self, day: int = TODAY) -> dict[str, tuple[int, int]]:
        """Return the good and failed sessions in the file, by domain."""
        domains = self.files.read(day).domains
        return {
            domain: (sum(each.good for each in policies.values()), sum(each.failed for each in policies.values()))
            for domain, policies in domains.items()
        }

    async def test_sessions_are_kept_for_domains_that_want_a_report(self) -> None:
        counter = self.counter()
        await counter.load()
        for domain in ("a.test", "b.test", "c.test", "broken.test", "a.test"):
            counter.count(domain, NONE, None)
        counter.count("a.test", NONE, FAILED)
        await counter.look_up()
        await counter.save()
        self.assertEqual(self.kept(), {"a.test": (2, 1), "broken.test": (1, 0)})
        counter.count("b.test", NONE, None)
        await counter.look_up()
        await counter.save()
        self.assertEqual(set(self.kept()), {"a.test", "broken.test"})
        self.assertEqual([name for name, _ in self.resolver.asked].count("_smtp._tls.b.test"), 1)
        self.assertEqual(self.told, [])

    async def test_a_later_process_goes_on(self) -> None:
        first = self.counter()
        await first.load()
        first.count("a.test", NONE, None)
        await first.save()
        second = self.counter()
        second.count("a.test", NONE, None)
        await second.save()
        self.assertEqual(self.kept(), {"a.test": (1, 0)}, "it has not read the counts of the first one yet")
        await second.load()
        await second.save()
        self.assertEqual(self.kept(), {"a.test": (2, 0)})

    async def test_a_new_day_begins_with_a_file_of_its_own(self) -> None:
        counter = self.counter()
        await counter.load()
        counter.count("a.test", NONE, None)
        counter.count("b.test", NONE, None)
        await counter.look_up()
        self.now += DAY
        await counter.save()
        counter.count("a.test", NONE, FAILED)
        counter.count("b.test", NONE, FAILED)
        await counter.look_up()
        await counter.save()
        self.assertEqual((self.kept(), self.kept(TODAY + DAY)), ({"a.test": (1, 0)}, {"a.test": (0, 1)}))

    async def test_nothing_is_written_if_nothing_was_counted(self) -> None:
        counter = self.counter()
        await counter.load()
        await counter.save()
        self.assertEqual(list(self.home.iterdir()), [])

    async def test_a_damaged_file_is_told_and_counting_begins_anew(self) -> None:
        (self.home / "tls-reports-2026-11-30.json").write_text("{")
        counter = self.counter()
        await counter.load()
        counter.count("a.test", NONE, None)
        await counter.save()
        self.assertIn("cannot be read, and are counted anew", self.told[0])
        self.assertEqual(self.kept(), {"a.test": (1, 0)})

    async def test_a_disk_that_fails_is_told_and_the_counts_are_written_later(self) -> None:
        counter = self.counter()
        await counter.load()
        counter.count("a.test", NONE, None)
        self.home.rename(away := self.home.with_suffix(".away"))
        await counter.save()
        self.assertIn("cannot be kept", self.told[0])
        away.rename(self.home)
        await counter.save()
        self.assertEqual(self.kept(), {"a.test": (1, 0)})

    async def test_a_look_up_holds_up_no_writing(self) -> None:
        self.resolver = SilentTexts(Zone(ZONE))
        counter = self.counter()
        await counter.load()
        counter.count("a.test", NONE, None)
        looking = Deferred.fromCoroutine(counter.look_up())
        counter.count("b.test", NONE, None)
        await counter.save()
        self.assertEqual(set(self.kept()), {"a.test", "b.test"})
        self.assertNoResult(looking)


class SilentTexts(ZoneResolver):
    """A resolver whose look-ups of texts never end."""

    async def txt(self, name: str) -> TxtAnswer:  # noqa: ARG002
        never: Deferred[TxtAnswer] = Deferred()
        return await never
