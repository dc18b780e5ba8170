"""The first view: whether all is well, and the figures that tell it. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mta.admin.state import About, DestinationState, DoctorRun, LoggedEvent, TrafficMinute
from mta.admin.views.failures import Reason, failure_reasons
from mta.admin.views.text import counted, duration, number
from mta.admin.views.traffic_plot import TrafficPlot, traffic_plot
from mta.admin.views.waiting import (
    AGES,
    Share,
    WaitingDomain,
    age_shares,
    all_ages,
    destination_finder,
    waiting_domains,
)
from mta.doctor.findings import Finding, Level
from mta.queue.interface import DomainShape, Entry

DAY = 86400.0
#: Domains, alarms, destinations in trouble and findings that the view names.
MAX_DOMAINS, MAX_ALARMS, MAX_TROUBLES, MAX_FINDINGS = 8, 8, 4, 8
#: Seconds after which the oldest message is worth a look.
_LATE = 4 * 3600.0
# Fewer failures than this, or a smaller part of all mail, are everyday.
_FEW_FAILURES, _FAILURES_PART = 10, 0.05


@dataclass(frozen=True, slots=True)
class OverviewFacts:
    """The facts of which the view is made; `failed` are messages with a failed recipient, newest first."""

    now: float
    about: About
    #: Messages that wait, held ones too, and those that are held.
    waiting: int
    held: int
    shapes: Sequence[DomainShape] = ()
    destinations: Sequence[DestinationState] = ()
    traffic: Sequence[TrafficMinute] = ()
    alarms: Sequence[LoggedEvent] = ()
    failed: Sequence[Entry] = ()
    #: Whether there are more of them.
    more_failed: bool = False
    doctor: DoctorRun | None = None


@dataclass(frozen=True, slots=True)
class Concern:
    """A matter that an operator should look at."""

    #: `failed` or `deferred`, the name of its colour.
    kind: str
    text: str
    href: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """An error that the relay logged."""

    time: float
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class DoctorPart:
    """The last findings of doctor: those that need something to be done, and the number of the others by level."""

    time: float
    ago: str
    findings: tuple[Finding, ...]
    fine: int
    skipped: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The data of the first view."""

    now: float
    about: About
    #: Messages that wait, held ones too, and those that are held.
    waiting: int
    held: int
    #: `delivered`, `deferred` or `failed`.
    kind: str
    verdict: str
    concerns: tuple[Concern, ...]
    plot: TrafficPlot
    ages: tuple[tuple[str, int], ...]
    age_bar: tuple[Share, ...]
    domains: tuple[WaitingDomain, ...]
    more_domains: int
    reasons: tuple[Reason, ...]
    more_failed: bool
    alarms: tuple[Alarm, ...]
    #: None if doctor has not run.
    doctor: DoctorPart | None
    uptime: str
    oldest: str


def overview(facts: OverviewFacts) -> Overview:
    """Return the data of the first view."""
    reasons = failure_reasons(facts.failed, facts.now - DAY)
    plot = traffic_plot(facts.traffic, facts.now)
    concerns = tuple(_concerns(facts, plot))
    ages = all_ages(facts.shapes)
    domains = waiting_domains(facts.shapes[:MAX_DOMAINS], facts.destinations, facts.now)
    about, oldest = facts.about, _oldest(facts)
    return Overview(
        facts.now,
        about,
        facts.waiting,
        facts.held,
        _kind(concerns),
        _verdict(concerns),
        concerns,
        plot,
        tuple(zip(AGES, ages, strict=True)),
        age_shares(ages, sum(ages)),
        tuple(domains),
        max(0, len(facts.shapes) - MAX_DOMAINS),
        reasons,
        facts.more_failed,
        tuple(map(alarm, facts.alarms[:MAX_ALARMS])),
        None if facts.doctor is None else _doctor(facts.doctor, facts.now),
        "" if about.started is None else duration(facts.now - about.started),
        "" if oldest is None else duration(facts.now - oldest),
    )


def _doctor(run: DoctorRun, now: float) -> DoctorPart:
    """Return the findings that need something to be done, failures first."""
    bad = [each for level in (Level.FAILURE, Level.WARNING) for each in run.findings if each.level is level]
    fine = sum(each.level is Level.OK for each in run.findings)
    skipped = sum(each.level is Level.SKIPPED for each in run.findings)
    return DoctorPart(run.time, duration(now - run.time), tuple(bad[:MAX_FINDINGS]), fine, skipped)


def alarm(event: LoggedEvent) -> Alarm:
    """Return an error with its text; the fields of an event without one are written out."""
    fields = dict(event.fields)
    text = str(fields.pop("text", "") or fields.pop("reason", ""))
    rest = ", ".join(f"{name} {value}" for name, value in fields.items() if name not in ("level", "event"))
    return Alarm(event.time, event.name, text or rest)


def _kind(concerns: Sequence[Concern]) -> str:
    kinds = {each.kind for each in concerns}
    return "failed" if "failed" in kinds else "deferred" if kinds else "delivered"


def _verdict(concerns: Sequence[Concern]) -> str:
    if not concerns:
        return "All is well"
    return "One thing needs a look" if len(concerns) == 1 else f"{len(concerns)} things need a look"


def _concerns(facts: OverviewFacts, plot: TrafficPlot) -> Iterator[Concern]:
    recent = [each for each in facts.alarms if facts.now - each.time < DAY]
    if recent:
        last = alarm(recent[0])
        text = f"{counted(len(recent), 'error')} logged in the last day; the last one {_ago(facts.now - last.time)}"
        yield Concern("failed", f"{text}: {last.text}" if last.text else text, "#alarms")
    yield from _troubles(facts)
    failures = [] if facts.doctor is None else [each for each in facts.doctor.findings if each.level is Level.FAILURE]
    if failures:
        yield Concern("failed", f"Doctor found {counted(len(failures), 'failure')}: {failures[0].seen}", "#doctor")
    oldest = _oldest(facts)
    if oldest is not None and facts.now - oldest >= _LATE:
        text = f"The oldest message has waited for {duration(facts.now - oldest)}"
        yield Concern("deferred", text, "/messages?status=waiting&status=held&older=4h")
    yield from _failures(plot)
    if facts.held:
        text = f"{counted(facts.held, 'message')} {'is' if facts.held == 1 else 'are'} held until released"
        yield Concern("deferred", text, "/messages?status=held")
    unreported = sum(each.unreported for each in facts.failed)
    if unreported:
        text = f"{counted(unreported, 'report')} could not be delivered, so a sender was not told"
        yield Concern("deferred", text, "/messages?from=%3C%3E&status=failed")


def _troubles(facts: OverviewFacts) -> Iterator[Concern]:
    """Yield the destinations that are down and have mail, most first."""
    down = [each for each in facts.destinations if each.blocked_until is not None and each.blocked_until > facts.now]
    number_of = {each.name: each.waiting for each in down}
    find = destination_finder(facts.destinations)
    for shape in facts.shapes:
        destination = find(shape)
        if destination is not None and destination.name in number_of:
            number_of[destination.name] += sum(shape.ages)
    waiting = sorted((each for each in down if number_of[each.name]), key=lambda each: -number_of[each.name])
    for each in waiting[:MAX_TROUBLES]:
        why = f": {each.blocked_because}" if each.blocked_because else ""
        yield Concern("deferred", f"{each.name} is down{why}", "/destinations")
    if len(waiting) > MAX_TROUBLES:
        yield Concern("deferred", f"{counted(len(waiting) - MAX_TROUBLES, 'more destination')} down", "/destinations")


def _failures(plot: TrafficPlot) -> Iterator[Concern]:
    _, delivered, failed = plot.totals
    if failed >= _FEW_FAILURES and failed > _FAILURES_PART * (delivered + failed):
        share = round(100 * failed / (delivered + failed))
        yield Concern("deferred", f"{number(failed)} recipients failed in the last day, {share} %", "#failures")


def _oldest(facts: OverviewFacts) -> float | None:
    return min((each.oldest for each in facts.shapes), default=None)


def _ago(seconds: float) -> str:
    return f"{duration(seconds)} ago"
