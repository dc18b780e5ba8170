"""For any sequence of requests the queue in memory and a queue that stores mail give the same results."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mta.message.body import MemoryBody
from mta.queue.ids import to_id, to_number
from mta.queue.interface import (
    Action,
    AttemptRecord,
    Claim,
    DeferralFilter,
    Description,
    DueMessage,
    NewMail,
    Query,
    Queue,
    QueueError,
    Settlement,
    Status,
    Verdict,
)
from mta.queue.memory import MemoryQueue
from tests.queue.messages import GONE, LATER, NEVER, NOW, TOOK, envelope, mail, octets

LEASE = 50.0
#: `bounce` does the last one.
APPLIED = [action for action in Action if action is not Action.BOUNCE]
ways = st.sampled_from(["mx", "mail.b.test:25"])
seconds = st.integers(0, 120)
outcomes = st.sampled_from([TOOK, LATER, NEVER, GONE])
verdict_parts = st.lists(st.tuples(st.integers(0, 2), outcomes, st.none() | seconds), max_size=4)
#: The recipient of an order; "" is every one.
named = st.sampled_from(["", "", "r0@example.test", "R1@Example.test", "r2@example.test", "nobody@example.test"])


def result(deferred: "Deferred[Any]") -> Any:
    results: list[Any] = []
    deferred.addBoth(results.append)
    (answer,) = results
    if isinstance(answer, Failure):
        answer.trap(QueueError)
        return "refused"
    return answer


def plain(answer: Any) -> Any:
    """Replace bodies by their octets, so that only the content is compared."""
    if isinstance(answer, list):
        return [plain(one) for one in answer]
    if isinstance(answer, Claim):
        return (
            answer.id,
            answer.token,
            answer.envelope,
            octets(answer.body),
            answer.created,
            answer.pending,
            answer.delay_reported,
        )
    return answer


class TwoQueues(RuleBasedStateMachine):
    """The requests that a relay and its operators may make."""

    claims = Bundle("claims")
    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryQueue()
        self.clock = NOW
        self.stored = self.open()

    def open(self) -> Queue:
        """Return the queue that stores mail. It keeps bodies of up to 64 octets in memory while they arrive."""
        raise NotImplementedError

    def teardown(self) -> None:
        result(self.stored.close())

    def both(self, verb: str, *arguments: Any, **options: Any) -> Any:
        expected = result(getattr(self.memory, verb)(*arguments, **options))
        found = result(getattr(self.stored, verb)(*arguments, **options))
        assert plain(found) == plain(expected)
        return expected

    def new(self, recipients: int, size: int, *, held: bool = False) -> NewMail:
        addresses = [f"r{number}@example.test" for number in range(recipients)]
        new = mail(*addresses, body=bytes(size), held=held, login="alice" * (recipients - 1))
        described = Description(f"{size}@example.test", f"No. {size}", "<alice@example.org>", "TLSv1.3" * (size > 0))
        return replace(new, description=described)

    def attempt(self, outcome: Any) -> AttemptRecord | None:
        if outcome in (TOOK, GONE):
            return None
        return AttemptRecord(self.clock, outcome.host, outcome.text, outcome.status, "TLSv1.3", 0.25, 1.5)

    def at_disk(self, new: NewMail) -> NewMail:
        writer = self.stored.writer(new.id)
        writer.write(b"".join(new.body.chunks()))
        return replace(new, body=writer.finish())

    @rule(wait=seconds)
    def time_passes(self, wait):
        self.clock += wait

    @rule(target=ids, recipients=st.integers(1, 3), size=st.sampled_from([0, 64, 65]), due=st.none() | seconds)
    def add(self, recipients, size, due):
        new = self.new(recipients, size)
        when = None if due is None else self.clock + due
        assert result(self.memory.add(new, self.clock, due=when)) is None
        assert result(self.stored.add(self.at_disk(new), self.clock, due=when)) is None
        return new.id

    @rule(target=claims, recipients=st.integers(1, 3), size=st.sampled_from([0, 64, 65]))
    def add_claimed(self, recipients, size):
        new = self.new(recipients, size)
        expected = result(self.memory.add(new, self.clock, lease=LEASE))
        claim = result(self.stored.add(self.at_disk(new), self.clock, lease=LEASE))
        assert plain(claim) == plain(expected)
        return claim

    @rule(target=ids, size=st.sampled_from([0, 65]), lease=st.none() | seconds)
    def add_held(self, size, lease):
        new = self.new(1, size, held=True)
        assert result(self.memory.add(new, self.clock, lease=lease)) is None
        assert result(self.stored.add(self.at_disk(new), self.clock, lease=lease)) is None
        return new.id

    @rule(id=ids)
    def add_again(self, id):
        # Ids are unique for ever, so that a queue need not look for them in its history.
        if result(self.memory.find(Query([id]))):
            assert self.both("add", NewMail(id, envelope(), MemoryBody(b"")), self.clock) == "refused"

    @rule(target=claims, limit=st.integers(1, 4), wait=st.none() | seconds, whole=st.booleans())
    def claim(self, limit, wait, whole):
        answers = []
        for queue in (self.memory, self.stored):
            asked: list[DueMessage] = []

            def until(message: DueMessage, asked: list[DueMessage] = asked) -> float | None:
                asked.append(message)
                return self.clock + wait if len(message.domains) == 1 else None

            deferral_filter = None if wait is None else DeferralFilter(until, whole)
            found = result(queue.claim(self.clock, limit, LEASE, deferral_filter))
            answers.append((plain(found), asked))
        assert answers[0] == answers[1]
        return multiple(*found)

    @rule(
        claim=claims,
        parts=verdict_parts,
        keep=st.booleans(),
        late=st.booleans(),
        others=st.tuples(st.booleans(), st.just(0.0) | seconds),
    )
    def settle(self, claim, parts, keep, late, others):
        report, wait = others
        known = len(claim.envelope.recipients)
        verdicts = [
            Verdict(
                index,
                outcome,
                None if due is None else self.clock + due,
                attempt=self.attempt(outcome),
                way=next((pending.way for pending in claim.pending if pending.index == index), None),
            )
            for index, outcome, due in parts
            if index < known
        ]
        reports = [self.new(1, 10)] if report else []
        not_before = self.clock + wait if wait else 0.0
        options = {"reports": reports, "keep_claim": keep, "delay_reported": late, "not_before": not_before}
        self.both("settle", Settlement(claim, verdicts, self.clock, **options))

    @rule(claim=consumes(claims))
    def deliver_all(self, claim):
        verdicts = [Verdict(pending.index, TOOK) for pending in claim.pending]
        self.both("settle", Settlement(claim, verdicts, self.clock))

    @rule(claim=claims, due=seconds)
    def release(self, claim, due):
        self.both("release", claim, self.clock + due)

    @rule(wait=seconds, later=seconds, limit=st.integers(1, 3))
    def release_deferred(self, wait, later, limit):
        self.both("release_deferred", self.clock + wait, self.clock + later, limit)

    @rule(claim=claims, indexes=st.sets(st.integers(0, 2), min_size=1))
    def mark(self, claim, indexes):
        # The queue in memory does not refuse marks without a claim.
        if any(entry.claimed for entry in result(self.memory.find(Query([claim.id])))):
            self.both("note_in_flight", claim.id, indexes)

    @rule(action=st.sampled_from(APPLIED), chosen=st.lists(ids, max_size=3), recipient=named, way=ways)
    def apply(self, action, chosen, recipient, way):
        to = way if action is Action.REROUTE else ""
        self.both("apply", action, chosen, self.clock, recipient=recipient, to=to)

    @rule(chosen=st.lists(ids, max_size=3), recipient=named)
    def bounce(self, chosen, recipient):
        report = self.new(1, 10)
        made: list[Any] = []

        def make_reports(claim: Claim, verdicts: Sequence[Verdict]) -> Sequence[NewMail]:
            made.append((plain(claim), list(verdicts)))
            # Both queues get the same id: that of the message under another tag, one for each recipient.
            id = to_id(to_number(claim.id) ^ (1 + verdicts[0].index))
            return [replace(report, id=id, description=Description(report_of=claim.id))]

        self.both("bounce", chosen, self.clock, "returned by the operator", make_reports, recipient=recipient)
        assert made[: len(made) // 2] == made[len(made) // 2 :]

    @rule(action=st.sampled_from([Action.RETRY, Action.RELEASE]), recipient=named)
    def apply_to_all(self, action, recipient):
        self.both("apply", action, None, self.clock, recipient=recipient)

    @rule(ago=seconds, limit=st.integers(1, 3))
    def forget(self, ago, limit):
        self.both("forget", self.clock - ago, limit)

    @rule(chosen=st.lists(ids, max_size=3), finished=st.booleans(), limit=st.integers(1, 4))
    def find(self, chosen, finished, limit):
        self.both("find", Query(chosen, finished, limit))

    @invariant()
    def both_tell_the_same(self):
        summary = self.both("summary")
        assert summary.recipients[Status.WAITING] >= summary.messages >= summary.held
        assert summary.ledger.missing == 0
        self.both("next_due")
        self.both("domains", self.clock)
        assert self.both("audit").never_due is None
        self.both("find", Query(finished=True, details=True))
