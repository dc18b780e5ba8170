"""Sends the reports of the days that are over: to each target once, spread over some hours, also after a restart."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from mta.blocking import RunBlocking
from mta.dns.answers import LookupFailed, Resolver
from mta.https.interface import HttpsError, HttpsRequester
from mta.smtp.address import Address
from mta.tls_reports.day_file import DAY, DayFiles
from mta.tls_reports.record import ReportTargets
from mta.tls_reports.report import MEDIA_TYPE, TlsReport
from mta.tls_reports.tally import Tally
from mta.tls_reports.targets import wanted_targets

#: Seconds after midnight at which the first report goes, because all processes have written their counts by then, and
#: at which the last one goes.
FIRST, LAST = 300, 4 * 3600
#: Seconds after a day for which its reports are tried.
PATIENCE = 2 * DAY
#: Octets of the answer to a report.
_MAX_ANSWER = 64 * 1024


class ReportNotSent(Exception):
    """A report cannot be sent now; the text is the reason on one line."""


class ReportMailer(Protocol):
    """Puts reports into the queue as mail."""

    def send(self, report: TlsReport, to: tuple[Address, ...]) -> Awaitable[None]:
        """Send a report to these addresses. Raises ReportNotSent."""


@dataclass(frozen=True, slots=True)
class SenderParts:
    """The dependencies of a ReportSender."""

    files: DayFiles
    resolver: Resolver
    #: Returns a requester, which must refuse private addresses.
    https: Callable[[], HttpsRequester]
    mailer: ReportMailer
    run: RunBlocking
    wall_clock: Callable[[], float]
    #: Takes a report that was sent, and the target.
    sent: Callable[[TlsReport, str], object]
    notice: Callable[[str], object]


@dataclass(slots=True)
class _Day:
    begin: int
    tally: Tally
    #: The domains and targets whose report was sent; the target "" stands for all.
    sent: set[tuple[str, str]]
    #: The domains of which was told that their report cannot be sent.
    told: set[str] = field(default_factory=set)


class ReportSender:
    """Sends the reports of the relay in the name of `contact`; `relay` tells it apart from others of its domain."""

    def __init__(self, parts: SenderParts, contact: Address, relay: str) -> None:
        self._parts = parts
        self._contact = contact
        self._relay = relay
        # The days that are over and have reports to send.
        self._days: dict[int, _Day] = {}

    async def work(self) -> None:
        """Send the reports that are due. Never fails."""
        parts, now = self._parts, self._parts.wall_clock()
        try:
            for begin in await parts.run(parts.files.days):
                if begin + DAY + FIRST <= now:
                    await self._work_on(begin, now - begin - DAY)
        except OSError as error:
            parts.notice(f"TLS reports cannot be made now: {error}")

    async def _work_on(self, begin: int, over: float) -> None:
        """Send the reports of a day that has been over for so many seconds; remove its files after the last one."""
        parts, day = self._parts, self._days.get(begin)
        if day is None:
            try:
                tally, sent = await parts.run(lambda: (parts.files.read_all(begin), parts.files.sent(begin)))
            except ValueError as error:
                parts.notice(f"the TLS reports of a day are not made: {error}")
                await parts.run(lambda: parts.files.remove(begin))
                return
            day = self._days[begin] = _Day(begin, tally, sent)
        if over < PATIENCE:
            for domain in list(_due(day, over)):
                await self._report(day, domain)
        if over >= PATIENCE or (over >= LAST and not any(_due(day, over))):
            await parts.run(lambda: parts.files.remove(begin))
            del self._days[begin]

    async def _report(self, day: _Day, domain: str) -> None:
        """Send the report for a domain to its targets that have not got it."""
        targets = await wanted_targets(self._parts.resolver, domain) or ReportTargets()
        if isinstance(targets, LookupFailed):
            return
        report = TlsReport(domain, self._contact, day.begin, self._relay, day.tally.domains[domain])
        all_sent = True
        for target in _targets_of(targets):
            if (domain, target) in day.sent:
                continue
            try:
                await self._send(report, target, targets)
            except ReportNotSent as error:
                all_sent = False
                if domain not in day.told:
                    day.told.add(domain)
                    text = f"the TLS report for {domain} cannot be sent to {target}: {error}"
                    self._parts.notice(f"{text}; it is tried for two days")
                continue
            await self._note(day, domain, target)
            self._parts.sent(report, target)
        if all_sent:
            await self._note(day, domain, "")

    async def _note(self, day: _Day, domain: str, target: str) -> None:
        day.sent.add((domain, target))
        await self._parts.run(lambda: self._parts.files.note_sent(day.begin, domain, target))

    async def _send(self, report: TlsReport, target: str, targets: ReportTargets) -> None:
        if not target.startswith("https:"):
            await self._parts.mailer.send(report, targets.mail)
            return
        try:
            answer = await self._parts.https().request(
                "POST", target, {"Content-Type": MEDIA_TYPE}, report.octets(), limit=_MAX_ANSWER
            )
        except HttpsError as error:
            raise ReportNotSent(str(error)) from error
        if not 200 <= answer.status < 300:  # noqa: PLR2004  RFC 9110 section 15.3
            raise ReportNotSent(f"the answer is {answer.status}")


def _due(day: _Day, over: float) -> Iterator[str]:
    """Yield the domains whose report is due and not finished; `over` is the number of seconds since the day ended."""
    for domain in day.tally.domains:
        if (domain, "") not in day.sent and _offset(domain) <= over:
            yield domain


def _offset(domain: str) -> int:
    """Return the seconds after midnight at which the report for a domain is due, so that not all go at once."""
    number = int.from_bytes(sha256(domain.encode()).digest()[:4], "big")
    return FIRST + number % (LAST - FIRST)


def _targets_of(targets: ReportTargets) -> Iterator[str]:
    """Yield the targets as the log names them; all addresses get one mail."""
    if targets.mail:
        yield ", ".join(map(str, targets.mail))
    yield from targets.urls
