"""`find`, `count` and `select` by conditions, the attempts and reports of a message, and `bounce`."""

import math
from dataclasses import fields, replace
from itertools import combinations, product
from typing import Any

from mta.message.body import MemoryBody
from mta.message.outcome import Delivered, Failed, TryLater
from mta.queue.entries import FIRST_ATTEMPTS, LAST_ATTEMPTS
from mta.queue.ids import IdSource, created
from mta.queue.interface import (
    Action,
    AttemptRecord,
    Description,
    DomainShape,
    Entry,
    NewMail,
    Query,
    Status,
    Verdict,
)
from mta.queue.search.conditions import ANY, Conditions, State
from mta.queue.search.matching import matches
from mta.smtp.parameters import TlsDemand
from tests.length import choose
from tests.queue.contract.case import QueueCase
from tests.queue.messages import LATER, LEASE, NEVER, NOW, TOOK, envelope, mail

HOUR = 3600.0
GREY = TryLater("451 4.7.1 Greylisted, 100% sure", "mx2.other.test[192.0.2.9]:25")

#: Several conditions of each kind; some are met by every message, and some by none.
CONDITIONS = {
    "words": [("bob",), ("EXAMPLE.test", "m-1"), ("nowhere",), ("al*ce@",)],
    "sender": ["alice@example.org", "*@SHOP.test", "<>", "alice", "*"],
    "recipient": ["bob@example.test", "*@other.test", "a b@example.test", "*\\*", "postmaster"],
    "domain": ["example.test", "*.test", "example"],
    "subject": ["invoice", "100%", "in_oice", "für*1", "FÜR", "\\"],
    "message_id": ["m-1@shop.test", "m-*", "m-"],
    "client": ["192.0.2.7", "192.*", "10.*"],
    "login": ["alice", "ALICE", "bob"],
    "host": ["mx.example.test", "192.0.2.9", "mx_"],
    "reply": ["greylisted", "queued as", "100%", "no such user"],
    "states": [(state,) for state in State] + [(State.WAITING, State.HELD), (State.HELD, State.FAILED)],
    "since": [NOW, NOW + HOUR, NOW + 2.5 * HOUR],
    "until": [NOW, NOW + HOUR, NOW + 2.5 * HOUR],
    "larger": [0, 10, 1_000_000, 1 << 70],
    "released": [NOW, NOW + HOUR, NOW + 2.5 * HOUR],
}


class SearchContract(QueueCase):
    """Each condition alone and in pairs, against the list of all messages."""

    def keep(self, hour: float, *recipients: str, **parts: Any) -> NewMail:
        names = {field.name for field in fields(Description)}
        description = Description(**{name: parts.pop(name) for name in names.intersection(parts)})
        body = MemoryBody(bytes(parts.pop("size", 5)))
        held = parts.pop("held", False)
        return NewMail(self.ids.new(NOW + hour * HOUR), envelope(*recipients, **parts), body, held, description)

    def fill(self) -> list[Entry]:
        """Add messages of each kind, and return all entries, oldest first."""
        self.ids = IdSource(9)
        waiting = self.keep(
            0, "bob@example.test", '"a b"@example.test', login="alice", subject="Invoice 100% für No. 1"
        )
        held = self.keep(1, "eve@other.test", sender=None, held=True, size=11, message_id="m-1@shop.test")
        self.now(self.queue.add(waiting, NOW))
        self.now(self.queue.add(held, NOW + HOUR))
        for number, outcomes in enumerate([(TOOK,), (NEVER, TOOK), (GREY, TOOK), (LATER,), (TOOK, TOOK)]):
            names = ("bob@example.test", "carol@other.test")[: len(outcomes)]
            author = "Shop <orders@shop.test>" if number % 2 else "alice@example.org"
            new = self.keep(
                2 + number / 4,
                *names,
                message_id=f"m-{number}@shop.test",
                author=author,
                subject="a\\b",
                size=number * 9,
            )
            claim = self.now(self.queue.add(new, NOW + 2 * HOUR, lease=LEASE))
            verdicts = [
                Verdict(index, outcome, NOW + 9 * HOUR if isinstance(outcome, TryLater) else None)
                for index, outcome in enumerate(outcomes)
            ]
            self.settled(claim, *verdicts, now=NOW + 2 * HOUR)
        removed = self.keep(3, "postmaster")
        self.now(self.queue.add(removed, NOW + 3 * HOUR))
        self.applied(Action.REMOVE, removed.id)
        return self.now(self.queue.find(Query(finished=True)))

    def check(self, everything: list[Entry], conditions: Conditions) -> int:
        expected = [entry for entry in everything if matches(conditions, entry)]
        waiting = [entry for entry in expected if any(one.status is Status.WAITING for one in entry.recipients)]
        found = self.now(self.queue.find(Query(conditions=conditions, finished=True, newest_first=True)))
        self.assertEqual([one.id for one in found], [one.id for one in reversed(expected)], conditions)
        self.assertEqual(found, expected[::-1])
        self.assertEqual(self.now(self.queue.find(Query(conditions=conditions))), waiting)
        self.assertEqual(self.now(self.queue.count(conditions, finished=True)), len(expected))
        self.assertEqual(self.now(self.queue.count(conditions)), len(waiting))
        self.assertEqual(self.now(self.queue.select(conditions)), [one.id for one in waiting])
        return len(expected)

    def test_each_condition_alone_and_in_pairs_finds_the_messages_of_a_list_that_the_test_keeps(self):
        everything = self.fill()
        self.assertEqual(len(everything), 8)
        self.assertEqual(self.check(everything, ANY), 8)
        some = {}
        for name, values in CONDITIONS.items():
            counts = [self.check(everything, Conditions(**{name: value})) for value in values]
            some[name] = {bool(count) for count in counts}
        self.assertEqual([name for name, found in some.items() if found == {False}], [])
        pairs = [
            Conditions(**{first: value, second: other})
            for first, second in combinations(CONDITIONS, 2)
            for value, other in product(CONDITIONS[first], CONDITIONS[second])
        ]
        for conditions in pairs[:: choose(5, 1)]:
            self.check(everything, conditions)

    def test_a_domain_that_is_an_address_is_found_in_either_case(self):
        new = self.added("bob@[IPv6:2001:db8::a]", "bob@[192.0.2.9]")
        for conditions in (
            Conditions(recipient="bob@[ipv6:2001:DB8::a]"),
            Conditions(domain="[IPV6:2001:db8::a]"),
            Conditions(domain="[ipv6:*"),
            Conditions(recipient="*@[192.0.2.9]"),
        ):
            self.assertEqual(self.now(self.queue.select(conditions)), [new.id], conditions)
            self.assertEqual(self.now(self.queue.count(conditions, finished=True)), 1)

    def test_ids_may_be_abbreviated(self):
        everything = self.fill()
        for length in range(1, 14):
            self.check(everything, Conditions(ids=(everything[3].id[:length].upper(),)))
        self.check(everything, Conditions(ids=("u", "", "z", everything[0].id + "0", "0_%")))
        self.assertEqual(self.check(everything, Conditions(words=(everything[5].id[:11],))), 1)

    def test_a_time_is_compared_with_that_in_the_id_to_the_microsecond(self):
        everything = self.fill()
        for entry in everything[::3]:
            for off in (-0.000001, 0.0, 0.000001):
                self.check(everything, Conditions(since=created(entry.id) + off))
                self.check(everything, Conditions(until=created(entry.id) + off))
        self.check(everything, Conditions(since=1e12))
        self.check(everything, Conditions(until=-1.0))

    def test_a_list_goes_on_at_its_cursor(self):
        everything = self.fill()
        seen: list[Entry] = []
        query = Query(finished=True, newest_first=True, limit=3)
        while page := self.now(self.queue.find(query)):
            seen += page
            query = replace(query, before=page[-1].id)
        self.assertEqual(seen, everything[::-1])

    def test_a_message_with_several_failures_is_found_once(self):
        several, failed, waiting = (self.claimed("a@b.test", "c@d.test") for _ in range(3))
        self.settled(several, Verdict(0, NEVER), Verdict(1, NEVER))
        self.settled(failed, Verdict(0, TOOK), Verdict(1, NEVER))
        self.settled(waiting, Verdict(0, NEVER), Verdict(1, LATER, NOW + 60))
        conditions = Conditions(states=(State.FAILED,))
        query = Query(finished=True, conditions=conditions, newest_first=True)
        ids = [waiting.id, failed.id, several.id]
        self.assertEqual([each.id for each in self.now(self.queue.find(query))], ids)
        self.assertEqual(
            [each.id for each in self.now(self.queue.find(replace(query, before=ids[0], limit=1)))], ids[1:2]
        )
        ascending = replace(query, newest_first=False, after=ids[2])
        self.assertEqual([each.id for each in self.now(self.queue.find(ascending))], [ids[1], ids[0]])
        self.assertEqual(self.now(self.queue.count(conditions, finished=True)), 3)
        self.assertEqual(
            (self.now(self.queue.count(conditions)), self.now(self.queue.select(conditions))), (1, ids[:1])
        )

    def test_a_list_of_waiting_messages_goes_on_after_its_cursor(self):
        waiting = [each for each in self.fill() if any(one.status is Status.WAITING for one in each.recipients)]
        seen: list[Entry] = []
        query = Query(limit=2)
        while page := self.now(self.queue.find(query)):
            self.assertLessEqual(len(page), 2)
            seen += page
            query = replace(query, after=page[-1].id)
        self.assertEqual(seen, waiting)
        one = Query(after=waiting[0].id, before=waiting[2].id, finished=False, newest_first=True)
        self.assertEqual(self.now(self.queue.find(one)), waiting[1:2])

    def test_a_message_that_its_client_has_wait_is_released_at_its_time(self):
        waiting, other = self.added(), mail()
        release = math.ceil(created(other.id)) + HOUR
        self.now(self.queue.add(other, release, due=release))
        for now, found in ((release - 1, [waiting.id]), (release, [waiting.id, other.id])):
            wanted = Conditions(released=now)
            self.assertEqual([one.id for one in self.now(self.queue.find(Query(conditions=wanted)))], found)
            self.assertEqual(self.now(self.queue.select(wanted)), found)

    def test_an_entry_has_the_description_of_its_message(self):
        description = Description("m1@a.test", "Re: hello", "Bob <bob@a.test>", "TLSv1.3 TLS_AES", None)
        new = replace(mail(login="carol"), description=description)
        new = replace(new, envelope=replace(new.envelope, tls_demand=TlsDemand.REQUIRED))
        self.now(self.queue.add(new, NOW))
        entry = self.entry(new.id)
        self.assertEqual(
            (entry.message_id, entry.subject, entry.author), ("m1@a.test", "Re: hello", "Bob <bob@a.test>")
        )
        self.assertEqual((entry.tls, entry.login, entry.report_of), ("TLSv1.3 TLS_AES", "carol", None))
        self.assertEqual(entry.tls_demand, "required")
        (claim,) = self.claims()
        self.settled(claim, Verdict(0, TOOK))
        self.assertEqual(self.entry(new.id).tls_demand, "required")


class DomainContract(QueueCase):
    """`domains`."""

    def test_waiting_recipients_are_counted_by_domain_state_and_age(self):
        claim = self.claimed("a@one.test", "b@one.test", "c@two.test", "d@done.test")
        self.settled(claim, Verdict(0, LATER, NOW), Verdict(1, LATER, NOW), Verdict(3, TOOK))
        self.added("e@two.test", held=True)
        self.now(self.queue.add(mail("f@one.test"), NOW + 90_000, lease=LEASE))
        one, two = self.now(self.queue.domains(NOW + 90_001))
        expected = DomainShape("one.test", 3, 0, 1, NOW, (1, 0, 0, 0, 2), LATER.text, LATER.host)
        self.assertEqual(one, expected)
        self.assertEqual(two, DomainShape("two.test", 1, 1, 0, NOW, (0, 0, 0, 0, 2)))
        (one, two) = self.now(self.queue.domains(NOW + 3600))
        self.assertEqual((one.ages, two.ages), ((1, 0, 2, 0, 0), (0, 0, 2, 0, 0)))

    def test_an_empty_queue_has_no_domain(self):
        self.assertEqual(self.now(self.queue.domains(NOW)), [])


class AttemptContract(QueueCase):
    """The attempts that are kept, and the reports on a message."""

    def detailed(self, id: Any) -> Entry:
        (entry,) = self.now(self.queue.find(Query([id], finished=True, details=True)))
        assert isinstance(entry, Entry)
        return entry

    def test_attempts_are_kept_for_each_recipient_and_shown_with_the_details(self):
        claim = self.claimed("a@example.test", "b@example.test", "c@example.test")
        first = AttemptRecord(NOW + 1, LATER.host, LATER.text, "4.7.1", "TLSv1.3", 0.5, 2.0)
        last = AttemptRecord(NOW + 60, TOOK.host, TOOK.text, "2.0.0", "", 0.0, 1.0)
        self.settled(
            claim, Verdict(0, LATER, NOW + 60, attempt=first), Verdict(1, TOOK), Verdict(2, NEVER, attempt=first)
        )
        (again,) = self.claims(NOW + 60)
        self.settled(again, Verdict(0, TOOK, attempt=last), Verdict(2, NEVER, attempt=last))
        made = [one.attempts_made for one in self.detailed(claim.id).recipients]
        self.assertEqual(made, [(first, last), (), (first,)])
        self.assertEqual([one.attempts_made for one in self.entry(claim.id).recipients], [(), (), ()])

    def test_of_many_attempts_the_first_and_the_last_are_kept(self):
        claim = self.claimed()
        for number in range(FIRST_ATTEMPTS + LAST_ATTEMPTS + 7):
            attempt = AttemptRecord(NOW + number, "", f"451 {number}", "4.0.0")
            self.settled(claim, Verdict(0, LATER, NOW, attempt=attempt))
            (claim,) = self.claims()
        (made,) = [one.attempts_made for one in self.detailed(claim.id).recipients]
        numbers = [*range(FIRST_ATTEMPTS), *range(FIRST_ATTEMPTS + 7, FIRST_ATTEMPTS + LAST_ATTEMPTS + 7)]
        self.assertEqual([attempt.reply for attempt in made], [f"451 {number}" for number in numbers])

    def test_a_message_and_its_report_name_each_other(self):
        claim = self.claimed()
        report = replace(mail(sender=None), description=Description(report_of=claim.id))
        self.settled(claim, Verdict(0, NEVER), reports=[report])
        self.assertEqual(self.detailed(claim.id).reports, (report.id,))
        self.assertEqual((self.detailed(report.id).report_of, self.detailed(report.id).reports), (claim.id, ()))
        self.assertEqual(self.entry(claim.id).reports, ())

    def test_the_attempts_go_with_the_history(self):
        claim = self.claimed()
        self.settled(claim, Verdict(0, NEVER, attempt=AttemptRecord(NOW, "", "550 no", "5.0.0")))
        self.assertEqual(self.now(self.queue.forget(NOW + 1)), 1)
        self.assertEqual(self.now(self.queue.find(Query([claim.id], finished=True, details=True))), [])


class BounceContract(QueueCase):
    """`bounce`."""

    def bounced(self, *ids: Any, reports: Any = lambda _claim, _verdicts: ()) -> list[Any]:
        return self.now(self.queue.bounce(ids, NOW + 5, "returned by the operator", reports))

    def test_waiting_recipients_fail_and_the_report_is_added(self):
        claim = self.claimed("a@example.test", "b@example.test", "c@example.test")
        self.settled(claim, Verdict(0, TOOK), Verdict(1, LATER, NOW + 60))
        asked = []
        report = mail(sender=None)

        def reports(claim, verdicts):
            asked.append((claim.id, claim.envelope, b"".join(claim.body.chunks()), list(verdicts)))
            return [report]

        self.assertEqual(self.bounced(claim.id, "no such id", reports=reports), [claim.id])
        said = Failed(f"returned by the operator; the last try said: {LATER.text}", LATER.host)
        verdicts = [Verdict(1, said), Verdict(2, Failed("returned by the operator"))]
        self.assertEqual(asked, [(claim.id, claim.envelope, b"Subject: hi\r\n\r\nhello\r\n", verdicts)])
        states = [(one.status, one.reply, one.attempts) for one in self.entry(claim.id).recipients]
        self.assertEqual(states[0], (Status.DELIVERED, TOOK.text, 1))
        self.assertEqual(states[1:], [(Status.FAILED, said.text, 1), (Status.FAILED, "returned by the operator", 0)])
        self.assertEqual([one.id for one in self.claims(NOW + 9)], [report.id])
        self.assertEqual((self.ledger().failed, self.ledger().missing), (2, 0))

    def test_a_running_attempt_and_a_hold_end(self):
        running, held = self.claimed(), self.added(held=True)
        self.assertEqual(self.bounced(held.id, running.id), [running.id, held.id])
        self.assertFalse(self.settled(running, Verdict(0, Delivered("250 Ok", "mx"))))
        self.assertEqual(self.claims(NOW + 10 * LEASE), [])
        self.assertEqual(self.bounced(held.id, running.id), [])

    def test_nothing_is_changed_if_a_report_cannot_be_made(self):
        first, second = self.added(), self.added()

        def reports(claim, _verdicts):
            if claim.id == second.id:
                raise OSError("the body is gone")
            return [mail(sender=None)]

        self.failure(self.queue.bounce([first.id, second.id], NOW, "returned", reports), Exception)
        self.assertEqual([one.id for one in self.claims()], [first.id, second.id])
        self.assertEqual(self.ledger().missing, 0)
