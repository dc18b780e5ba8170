"""The page about a destination: route, MX hosts, TLS, waiting mail, live limits, replies, next attempt and choices."""

from dataclasses import replace
from pathlib import Path

from mta.admin.state import DestinationState
from mta.cli.explain.destination.render import as_lines
from mta.explain.destination.facts import DestinationFacts, TlsFact, Ways
from mta.explain.destination.mx_hosts import MxHost, MxHosts
from mta.explain.destination.objects import page_object
from mta.explain.destination.view import page_of
from mta.explain.message.page import NextAttempt
from mta.explain.values import RouteKind, RouteVerdict
from mta.queue.interface import AttemptRecord, DomainShape, Entry, QueueId, RecipientState, Status
from mta.routing.route import Smarthost, TlsRule

DOCS = Path(__file__).parents[3] / "docs" / "operating.md"
CREATED = 1_800_000_000.0
NOW = CREATED + 3600
ROUTE = RouteVerdict("postmaster@b.test", RouteKind.MX, "the MX hosts of b.test, port 25", names=("mx1.b.test",))
MX = MxHosts(
    (
        MxHost("mx1.b.test", 10, ("192.0.2.1",)),
        MxHost("mx2.b.test", 20, ("10.0.0.9",), "all its addresses are private (PRIVATE_DESTINATIONS)"),
    )
)
TLS = TlsFact(("mx1.b.test",), TlsRule.OPPORTUNISTIC, False, "")
SHAPE = DomainShape("b.test", 3, 1, 1, CREATED, (0, 3, 1, 0, 0), "451 4.3.0 busy", "mx1.b.test[192.0.2.1]:25")
FIRST = AttemptRecord(CREATED + 1, "mx1.b.test[192.0.2.1]:25", "451 4.3.0 busy", "4.3.0")
BUSY = RecipientState(
    "bob@b.test", Status.WAITING, 1, NOW + 900, "451 4.3.0 busy", "mx1.b.test[192.0.2.1]:25", None, "", (FIRST,)
)
DONE = RecipientState("eve@b.test", Status.DELIVERED, 1, None, "250 2.0.0 Ok", "mx1.b.test[192.0.2.1]:25", NOW - 60)
LIVE = DestinationState("mx1.b.test", 2, 3, 1, 5, hosts=("mx1.b.test",))
FACTS = DestinationFacts("b.test", NOW, running=True, ways=Ways(ROUTE, None, MX, (TLS,), ("mx1.b.test",)))


def entry(number: int, *states: RecipientState, held: bool = False) -> Entry:
    return Entry(QueueId(f"0gqw5z6cn4j{number:02}"), "app@a.test", 900, CREATED, "10.0.3.7", held, False, states)


def lines(facts: DestinationFacts) -> list[str]:
    return list(as_lines(page_of(facts)))


def test_the_page_is_as_the_docs_show_it() -> None:
    slow = replace(LIVE, pace=2 / 60, throttled=True, throttled_because="451 4.3.0 busy", most_recipients=10)
    facts = replace(FACTS, shape=SHAPE, live=(slow,), entries=(entry(1, BUSY), entry(2, DONE)))
    shown = DOCS.read_text().partition("$ smtprelay explain b.test\n")[2].partition("```")[0]
    assert lines(facts) == shown.splitlines()


def test_a_destination_that_is_down_tells_the_failure_and_the_probe() -> None:
    down = replace(
        LIVE,
        connections=0,
        busy=0,
        window=1,
        blocked_until=NOW + 120,
        blocked_because="connection timed out",
        failures=4,
    )
    facts = replace(FACTS, shape=SHAPE, live=(down,), entries=(entry(1, BUSY),))
    assert (
        "down       no connection until the probe at 2027-01-15T09:02:00Z: connection timed out; 4 failures in a row"
        in lines(facts)
    )
    assert page_of(facts).next == NextAttempt(NOW + 120, "one probe for all its mail, because it is down")
    assert page_of(replace(facts, live=(down, LIVE))).next == NextAttempt(
        NOW + 900, "the earliest message by its schedule"
    )


def test_the_limits_that_were_learned_are_told() -> None:
    slow = replace(
        LIVE,
        pace=2 / 60,
        throttled=True,
        throttled_because="421 4.7.0 slow down",
        most_recipients=10,
        most_messages=20,
        passed_over=("mx1.b.test[192.0.2.1]:25",),
    )
    told = lines(replace(FACTS, live=(slow,)))
    for line in (
        "pace       2 a minute, because it said: 421 4.7.0 slow down",
        "learned    its hosts take at most 10 recipients in a transaction and 20 messages over a connection",
        "avoids     mx1.b.test[192.0.2.1]:25, which failed or throttled within the last minute",
    ):
        assert line in told
    told = lines(replace(FACTS, live=(replace(LIVE, throttled=True, throttled_because="421 too many"),)))
    assert "limit      it has refused more connections: 421 too many" in told


def test_equal_replies_are_told_once_with_their_number() -> None:
    entries = tuple(entry(number, BUSY) for number in range(30))
    (reply,) = page_of(replace(FACTS, shape=SHAPE, entries=entries)).replies
    assert (reply.recipients, reply.status) == (30, Status.WAITING)
    assert reply.meaning is not None
    different = tuple(
        entry(number, replace(BUSY, reply=f"451 {number}", attempts_made=(replace(FIRST, reply=f"451 {number}"),)))
        for number in range(30)
    )
    assert len(page_of(replace(FACTS, entries=different)).replies) == 8


def test_other_recipients_of_its_messages_have_no_say() -> None:
    other = replace(BUSY, address="eve@c.test", host="mx.c.test[192.0.2.3]:25", reply="550 no")
    page = page_of(replace(FACTS, shape=SHAPE, entries=(entry(1, other),)))
    assert (page.replies, page.next) == ((), None)


def test_mail_in_delivery_has_no_time_of_a_next_attempt() -> None:
    # The API tells no due time of mail that is in delivery.
    claimed = replace(entry(1, replace(BUSY, due=None)), claimed=True)
    page = page_of(replace(FACTS, shape=SHAPE, entries=(claimed,)))
    assert page.next == NextAttempt(None, "an attempt is running")


def test_held_mail_and_a_stopped_relay_are_told() -> None:
    shape = replace(SHAPE, waiting=0, held=1)
    held = replace(FACTS, shape=shape, entries=(entry(1, BUSY, held=True),))
    assert page_of(held).next == NextAttempt(None, "none while all its mail is held")
    stopped = replace(FACTS, running=False, shape=SHAPE, entries=(entry(1, BUSY),))
    assert page_of(stopped).next == NextAttempt(None, "as soon as a relay runs")
    assert page_of(stopped).notes[0].startswith("no relay is running")


def test_a_smarthost_tells_the_domains_that_wait_for_it() -> None:
    smarthost = Smarthost((("smart.test", 587),), TlsRule.VERIFY)
    live = DestinationState("smarthost", 0, 1, 0, 5, hosts=("smart.test",))
    facts = DestinationFacts("smart.test", NOW, True, smarthost=smarthost, by_host=(SHAPE,), live=(live,))
    told = lines(facts)
    assert told[:3] == [
        "host       smart.test",
        "smarthost  smarthost (SMARTHOST_ADDRESS)",
        "mail for   b.test: 4 recipients, 1 held, 1 in delivery; the oldest for 1h (3 up to 1h, 1 up to 6h)",
    ]
    assert "open       smarthost: 1 of 5 connections, 0 with a transaction" in told
    assert any("smtprelay queue find --host smart.test --status waiting" in line for line in told)


def test_the_same_facts_are_one_json_object() -> None:
    facts = replace(FACTS, shape=SHAPE, live=(LIVE,), entries=(entry(1, BUSY),))
    found = page_object(page_of(facts))
    assert found["mx"] == {
        "hosts": [
            {"name": "mx1.b.test", "preference": 10, "addresses": ["192.0.2.1"], "left_out": None},
            {
                "name": "mx2.b.test",
                "preference": 20,
                "addresses": ["10.0.0.9"],
                "left_out": "all its addresses are private (PRIVATE_DESTINATIONS)",
            },
        ],
        "problem": None,
        "implicit": False,
    }
    assert found["next"] == {"time": "2027-01-15T09:15:00Z", "reason": "the earliest message by its schedule"}
