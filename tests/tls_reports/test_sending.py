"""Reports go once to each target, some hours after their day, again after a failure, and not again after a restart."""

import itertools
from pathlib import Path

from twisted.trial.unittest import TestCase

from harness.tls_report_receiver import report_of
from harness.zone import Zone, ZoneResolver
from mta.blocking import run_inline
from mta.https.interface import HttpAnswer, HttpsError
from mta.smtp.address import Address, parse_address
from mta.tls_reports.day_file import DAY, DayFiles, as_text
from mta.tls_reports.report import TlsReport
from mta.tls_reports.sending import FIRST, LAST, PATIENCE, ReportNotSent, ReportSender, SenderParts
from mta.tls_reports.tally import CountedPolicy, PolicyType, Tally

BEGIN = 20_787 * DAY
NONE = CountedPolicy(PolicyType.NONE)
URL = "https://in.b.test/tls"
ZONE = {
    "_smtp._tls.a.test": {"TXT": ["v=TLSRPTv1; rua=mailto:ann@a.test,mailto:bob@a.test"]},
    "_smtp._tls.b.test": {"TXT": [f"v=TLSRPTv1; rua={URL},mailto:bea@b.test"]},
    "_smtp._tls.broken.test": {"FAIL": "SERVFAIL"},
}


class ReportSink:
    """Takes reports by HTTPS and by mail. `failures` and `undeliverable` are the results of the next ones."""

    def __init__(self) -> None:
        self.failures: list[HttpsError | HttpAnswer] = []
        self.undeliverable: list[ReportNotSent] = []
        self.posted: list[str] = []
        self.mailed: list[tuple[str, tuple[Address, ...]]] = []

    async def request(self, method, url, headers, body=b"", *, limit, timeout=30.0) -> HttpAnswer:  # noqa: ASYNC109
        assert (method, url) == ("POST", URL)
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, HttpAnswer):
                return failure
            raise failure
        self.posted.append(report_of(headers["Content-Type"], body)["report-id"])
        return HttpAnswer(201)

    async def send(self, report: TlsReport, to: tuple[Address, ...]) -> None:
        if self.undeliverable:
            raise self.undeliverable.pop(0)
        self.mailed.append((report.id, to))


class SendingTests(TestCase):
    def setUp(self) -> None:
        self.home = Path(self.mktemp())
        self.home.mkdir()
        self.now = float(BEGIN + DAY)
        self.sink = ReportSink()
        self.told: list[str] = []
        self.sent: list[tuple[str, str]] = []
        self.files = DayFiles(self.home)
        self.zone = Zone({name: dict(records) for name, records in ZONE.items()})
        self.sender = self.new_sender()

    def new_sender(self) -> ReportSender:
        parts = SenderParts(
            self.files,
            ZoneResolver(self.zone),
            lambda: self.sink,
            self.sink,
            run_inline,
            lambda: self.now,
            lambda report, target: self.sent.append((report.domain, target)),
            self.told.append,
        )
        return ReportSender(parts, parse_address("tls@relay.test"), "0a1b2c3d")

    def counted(self, *domains: str) -> None:
        tally = Tally()
        for domain in domains:
            tally.count(domain, NONE, None)
        self.files.write(BEGIN, as_text(tally))

    async def at(self, seconds: float) -> None:
        """Have the sender work so many seconds after midnight."""
        self.now = BEGIN + DAY + seconds
        await self.sender.work()

    async def test_each_target_gets_the_report_once(self) -> None:
        self.counted("a.test", "b.test")
        await self.at(FIRST - 1)
        self.assertEqual(self.sent, [])
        await self.at(LAST)
        self.assertEqual(
            sorted(self.sent),
            [("a.test", "ann@a.test, bob@a.test"), ("b.test", "bea@b.test"), ("b.test", URL)],
        )
        self.assertEqual(self.sink.posted, ["2026-11-30.b.test.0a1b2c3d@relay.test"])
        self.assertEqual([len(to) for _, to in sorted(self.sink.mailed)], [2, 1])
        self.assertEqual(list(self.home.iterdir()), [])
        await self.at(LAST + 60)
        self.assertEqual(len(self.sent), 3)

    async def test_reports_are_spread_over_some_hours(self) -> None:
        domains = [f"d{number}.test" for number in range(50)]
        for domain in domains:
            self.zone.add(f"_smtp._tls.{domain}", TXT=["v=TLSRPTv1; rua=mailto:ann@a.test"])
        self.counted(*domains)
        numbers = []
        for hour in range(5):
            await self.at(hour * 3600.0)
            numbers.append(len(self.sent))
        self.assertEqual((numbers[0], numbers[-1]), (0, 50))
        self.assertTrue(all(4 <= after - before <= 25 for before, after in itertools.pairwise(numbers)))

    async def test_a_restart_sends_no_report_again(self) -> None:
        self.counted("b.test")
        self.sink.failures = [HttpsError("no")]
        await self.at(LAST)
        self.sender = self.new_sender()
        await self.at(LAST + 60)
        self.assertEqual(self.sent, [("b.test", "bea@b.test"), ("b.test", URL)])
        self.assertEqual(len(self.sink.mailed), 1)

    async def test_a_report_that_fails_is_told_once_and_tried_for_two_days(self) -> None:
        self.counted("b.test")
        self.zone.add("_smtp._tls.b.test", TXT=[f"v=TLSRPTv1; rua={URL}"])
        self.sink.failures = [HttpAnswer(503), HttpsError("it has a private address"), HttpAnswer(302)]
        for _ in range(3):
            await self.at(LAST)
        (line,) = self.told
        self.assertEqual(
            line, f"the TLS report for b.test cannot be sent to {URL}: the answer is 503; it is tried for two days"
        )
        await self.at(PATIENCE - 1)
        self.assertEqual(self.sent, [("b.test", URL)])

    async def test_a_report_is_given_up_after_two_days(self) -> None:
        self.counted("a.test")
        self.sink.undeliverable = [ReportNotSent("no report goes there"), ReportNotSent("x")]
        await self.at(LAST)
        self.assertIn("ann@a.test, bob@a.test: no report goes there", self.told[0])
        await self.at(PATIENCE)
        self.assertEqual((self.sent, list(self.home.iterdir())), ([], []))

    async def test_a_domain_whose_record_cannot_be_looked_up_waits_and_one_without_a_record_gets_none(self) -> None:
        self.counted("broken.test", "none.test")
        await self.at(LAST)
        self.assertEqual((self.sent, self.told), ([], []))
        self.assertEqual(self.files.sent(BEGIN), {("none.test", "")})
        self.zone.records["_smtp._tls.broken.test"] = {"TXT": ["v=TLSRPTv1; rua=mailto:ann@a.test"]}
        await self.at(LAST + 60)
        self.assertEqual(self.sent, [("broken.test", "ann@a.test")])

    async def test_a_damaged_file_is_told_once_and_holds_up_no_other_day(self) -> None:
        (self.home / "tls-reports-2026-11-29.json").write_text("{")
        self.counted("a.test")
        await self.at(LAST)
        await self.at(LAST)
        (line,) = self.told
        self.assertIn("the TLS reports of a day are not made", line)
        self.assertEqual(self.sent, [("a.test", "ann@a.test, bob@a.test")])
