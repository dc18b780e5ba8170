"""`smtprelay explain` says of any mail, under any rules, what a whole relay then does with it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from harness.zone import Zone, ZoneResolver
from mta.config.schedule import read_schedule
from mta.config.settings import Settings, read_settings
from mta.delivery.remote.interface import DeliveryRequest
from mta.explain.acl_stage import decide_acl
from mta.explain.mail import decide
from mta.explain.parts import DecidingParts, Sources, deciding_parts
from mta.explain.rewrite_stage import decide_rewrite
from mta.explain.values import Explanation, Moment, Question, RouteKind, RouteVerdict
from mta.message.dates import timestamp
from mta.message.envelope import Envelope
from mta.message.outcome import Delivered, ErrorKind, Failed, Outcome, TryLater
from mta.queue.entries import Entry, Status
from mta.routing.route import Plan
from mta.rules.book import RuleBook
from mta.rules.conditions import Rule, RulePlace
from mta.rules.transport import TransportRule
from mta.users.users_file import read_users
from tests.drivers.listener import STRANGER
from tests.drivers.whole_relay import ZONE, WholeRelay, environment
from tests.explain.random_mail import MAILS, USERS, Mail, book_of, logs_in, replies
from tests.explain.random_rules import rule_sets

#: The results of the first attempt: of each transaction, or of opening the connection.
TAKEN = Delivered("250 2.0.0 Ok", "mx.test[192.0.2.1]:25")
ANSWERS = (
    TAKEN,
    Failed("550 5.1.1 no such user", "mx.test[192.0.2.1]:25", "5.1.1"),
    TryLater("450 4.2.2 mailbox full", "mx.test[192.0.2.1]:25", "4.2.2"),
    TryLater("451 4.3.0 later", "mx.test[192.0.2.1]:25", "4.3.0"),
)
TROUBLES = tuple(
    TryLater(f"no connection: {kind.value}", "mx.test[192.0.2.1]:25", "4.4.1", kind=kind)
    for kind in (ErrorKind.CONNECT, ErrorKind.TLS, ErrorKind.LOGIN)
)
NOWHERE = Path("/nowhere")
# A rule without conditions, because settings are shown as those of a rule.
ANY = Rule(RulePlace("", 1))


@dataclass(frozen=True)
class Fate:
    """The decisions on a recipient of an accepted message, and the end of the first attempt."""

    recipient: str
    #: local, discarded, failed, undecided, waits (without a host) or sent.
    way: str
    rule: str = ""
    #: The hosts in their order, the smarthost and the settings of the carriage with the places of their rules.
    hosts: tuple[str, ...] = ()
    smarthost: str = ""
    carriage: tuple[tuple[str, str], ...] = ()
    places: tuple[str, ...] = ()
    #: The time of the next attempt, as it stands in the log; "" if there is none.
    next: str = ""


#: The settings of trust, of local and relayed domains, and of routes: each with some values, "" for its default.
CONFIGURATIONS = st.fixed_dictionaries(
    {
        "RELAY_NETWORKS": st.sampled_from(
            ("", "203.0.113.0/24", "!203.0.113.9:203.0.113.0/24", "203.0.113.9:10.0.0.0/8")
        ),
        "RELAY_DOMAINS": st.sampled_from(("relay.test", "relay.test:other.test", "*.other.test")),
        "OTHER_HOSTNAMES": st.sampled_from(("here.test", "here.test:a.test")),
        "SMARTHOST_ADDRESS": st.sampled_from(("", "smart.test::2587")),
        "SMTPPORTOUT": st.sampled_from(("", "2525")),
        "DISABLE_IPV6": st.sampled_from(("", "true")),
        "RETRY_SCHEDULE": st.sampled_from(("", "F,1h,7m", "G,2h,1m,2; F,8h,1h")),
    }
)


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the mailboxes."""
    return tmp_path_factory.mktemp("boxes")


@pytest.fixture(scope="module")
def relays(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Settings]:
    """The settings without and with a smarthost."""
    boxes = tmp_path_factory.mktemp("boxes")
    mx, smarthost = environment(boxes), environment(boxes, SMARTHOST_ADDRESS="smart.test::2587")
    return {False: read_settings(mx, root=NOWHERE), True: read_settings(smarthost, root=NOWHERE)}


def explained(relay: Settings, book: RuleBook, mail: Mail) -> tuple[Explanation, Envelope | None]:
    """Return the decisions that the command tells, with its look-ups, and the envelope after the rules."""
    (user,), _ = read_users(USERS)
    resolver = ZoneResolver(Zone(ZONE), suffix="test")
    sources = Sources(book, user if logs_in(mail) else None, resolver=resolver, lookups=mail.lookups)
    parts = deciding_parts(relay, sources, print)
    question = Question(mail.sender, mail.recipients, mail.client, helo=mail.helo, header=mail.header, size=mail.size)
    results: list[tuple[Explanation, Envelope | None]] = []
    Deferred.fromCoroutine(_decide(question, parts)).addCallback(results.append)
    return results[0]


async def _decide(question: Question, parts: DecidingParts) -> tuple[Explanation, Envelope | None]:
    verdicts, _ = decide_rewrite(await decide_acl(question, parts), parts.book)
    return await decide(question, parts), verdicts.envelope


def promised(told: Explanation, envelope: Envelope, created: float, answer: Outcome) -> Iterator[Fate]:
    """Yield the fates that the command promises, if the hosts give this answer."""
    transport = {each.recipient: each for each in told.transport}
    for route, recipient in zip(told.router, envelope.recipients, strict=True):
        assert route.recipient == str(recipient.address)
        parts = transport[route.recipient].parts if route.recipient in transport else ()
        carriage = tuple(sorted({key: value for _, shown in parts for key, value in shown.items()}.items()))
        way, outcome = way_of(route), answer
        hosts = route.hosts if way == "sent" else ()
        if way == "waits":
            # The look-up failed, or found no host for the domain that a rule names.
            by_dns = "broken.test" in route.words or "correct mx in the rule" in route.words
            kind = ErrorKind.DNS if by_dns else None
            outcome = TryLater(route.words.removeprefix("waits: "), status="4.4.3", kind=kind)
        elif way != "sent":
            outcome = TAKEN
        yield Fate(
            route.recipient,
            way,
            place(route.rule),
            hosts,
            {"default": "smarthost"}.get(route.smarthost, route.smarthost) if way == "sent" else "",
            carriage if way == "sent" else (),
            tuple(place(rule) for rule, _ in parts) if way == "sent" else (),
            next_attempt(told, route.recipient, created, outcome),
        )


def way_of(route: RouteVerdict) -> str:
    """Return the way of a fate."""
    by_kind = {RouteKind.LOCAL: "local", RouteKind.UNDECIDED: "undecided"}
    if route.failed:
        return "failed"
    if route.words.startswith("discarded"):
        return "discarded"
    return "waits" if route.words.startswith("waits: ") else by_kind.get(route.kind, "sent")


def place(rule: str) -> str:
    return rule.partition(" ")[0]


def next_attempt(told: Explanation, recipient: str, created: float, outcome: Outcome) -> str:
    """Return the time of the second attempt by the first term that the outcome meets."""
    if not isinstance(outcome, TryLater):
        return ""
    terms = next(each for each in told.retry if each.recipient == recipient and meets(outcome, each.errors))
    due = read_schedule(terms.schedule).next_due(created, 1, created)
    assert due is not None
    return timestamp(due)


def meets(error: TryLater, words: str) -> bool:
    """Return whether an error is one of those that a term of the command names."""
    wanted, _, excepted = words.partition(" except ")

    def named(listed: str) -> bool:
        kind = "" if error.kind is None else error.kind.value
        return any(each == kind or fnmatchcase(error.status, each) for each in listed.split(", "))

    applies = wanted in {"", "any error", "any other error"} or named(wanted)
    return applies and not (excepted and named(excepted))


def seen(relay: WholeRelay, entry: Entry) -> Iterator[Fate]:
    """Yield the fates of the recipients of a message as log, queue and hosts have them."""
    carried = {
        pending.index: plan
        for plan, request in relay.connector.carried
        if request.id == entry.id
        for pending in request.recipients
    }
    for index, state in enumerate(entry.recipients):
        event, words = event_of(relay, entry, state.address)
        rule = value(words, "rule")
        following = value(words, "next")
        plan = carried.get(index)
        if plan is not None:
            yield Fate(state.address, "sent", rule, *carriage_of(plan), following)
        elif not event:
            assert (state.status, state.attempts) == (Status.WAITING, 0)
            yield Fate(state.address, "undecided")
        else:
            ways = {"delivered": "local", "discarded": "discarded", "failed": "failed", "deferred": "waits"}
            yield Fate(state.address, ways[event], rule, next=following)


def carriage_of(plan: Plan) -> tuple[tuple[str, ...], str, tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Return the hosts, the smarthost, the settings of the carriage, and their places."""
    hosts = tuple(route.label for route in plan.routes)
    smarthost = "" if plan.smarthost is None else plan.smarthost.name
    if plan.carriage is None:
        return hosts, smarthost, (), ()
    return hosts, smarthost, tuple(sorted(TransportRule(ANY, plan.carriage).shown.items())), plan.carriage.places


def event_of(relay: WholeRelay, entry: Entry, address: str) -> tuple[str, str]:
    """Return the name and the rest of the event that tells of the first attempt for a recipient."""
    names = "delivered|discarded|failed|deferred"
    found = [
        (match[1], match[2])
        for line in relay.lines
        if (match := re.match(rf"\S+ ({names}) id={entry.id} to=<{re.escape(address)}> ?(.*)", line))
    ]
    return found[0] if found else ("", "")


def value(words: str, name: str) -> str:
    found = re.search(rf"(?:^| ){name}=(\S+)", words)
    return found[1] if found else ""


def run(relay: WholeRelay, mail: Mail, answer: Outcome) -> list[tuple[Moment, str]]:
    """Send a message through a relay whose hosts give this answer; return the replies to the client."""
    if answer in TROUBLES:
        assert isinstance(answer, TryLater)
        relay.connector.down = answer
    else:
        relay.connector.answer = lambda request: answers(request, answer)
    said = list(replies(relay.connect(mail.client), mail))
    for entry in relay.entries():
        if entry.held:
            assert relay.connector.plans == []
            relay.release(entry)
    relay.clock.advance(0)
    return said


def answers(request: DeliveryRequest, answer: Outcome) -> dict[int, Outcome]:
    """Return an answer for all recipients; reports are taken."""
    return {each.index: answer if request.envelope.origin.client else TAKEN for each in request.recipients}


def whole(settings: Settings, book: RuleBook, mail: Mail) -> WholeRelay:
    return WholeRelay(settings, book, users=USERS, host_addresses=mail.lookups.get)


# A rule may name a domain without mail, which is an error of the DNS to rules about retries.
_NULL_MX = """\
[[router]]
mx = "null.test"
[[retry]]
error = "dns"
schedule = "F,2h,30m"
"""
_BOB = Mail(
    client="127.0.0.1",
    login=False,
    helo="app.test",
    sender="app@a.test",
    recipients=("bob@a.test",),
    subject="hello",
    large=False,
    looked_up=False,
)


@given(rule_sets(), MAILS, CONFIGURATIONS, st.sampled_from((*ANSWERS, *TROUBLES)))
@example(_NULL_MX, _BOB, {}, TAKEN)
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_relay_does_as_explain_says(
    boxes: Path, text: str, mail: Mail, environ: dict[str, str], answer: Outcome
) -> None:
    note(text)
    book = book_of(text)
    set_ones = {name: value for name, value in environ.items() if value}
    configuration = read_settings(environment(boxes, **set_ones), root=NOWHERE)
    told, envelope = explained(configuration, book, mail)
    relay = whole(configuration, book, mail)
    said = run(relay, mail, answer)
    entries = relay.entries()
    note("".join(relay.lines))
    assert len(entries) == (envelope is not None)
    if envelope is None:
        assert not any(reply.startswith("250") for moment, reply in said if moment is Moment.DATA)
        assert relay.connector.plans == []
        return
    (entry,) = entries
    assert entry.sender == str(envelope.sender or "")
    assert any(each.held for each in told.acl) == (" held=" in "".join(relay.lines))
    expected = list(promised(told, envelope, entry.created, answer))
    if answer in TROUBLES:
        opened = {carriage_of(plan) for plan in relay.connector.plans}
        sent = [each for each in expected if each.way == "sent"]
        wanted = {(each.hosts, each.smarthost, each.carriage, each.places) for each in sent}
        # A report on a recipient that failed goes its own way.
        assert wanted <= opened if any(" reported " in line for line in relay.lines) else wanted == opened
        expected = [
            replace(each, way="waits", hosts=(), smarthost="", carriage=(), places=()) if each in sent else each
            for each in expected
        ]
    assert list(seen(relay, entry)) == expected


@given(rule_sets(), MAILS, st.booleans())
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_rules_make_an_open_relay(relays: dict[bool, Settings], text: str, mail: Mail, smarthost: bool) -> None:
    note(text)
    mail = replace(mail, client=STRANGER)
    relay = whole(relays[smarthost], book_of(text), mail)
    said = run(relay, mail, TAKEN)
    for recipient, (_, reply) in zip(mail.recipients, said[1:], strict=False):
        if recipient not in {"bob@here.test", "ann@relay.test"}:
            assert reply.startswith("5")
    if not {"bob@here.test", "ann@relay.test"} & set(mail.recipients):
        assert relay.connector.plans == []
        assert relay.entries() == []
