"""The results of a message become verdicts, reports and log lines."""

from collections.abc import Sequence

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from harness.mail import mail
from mta.delivery.context import DeliveryContext
from mta.delivery.job import Group, Job, RecipientResult
from mta.delivery.retry_policy import RetryPolicy
from mta.delivery.settlement import Reports, Settler
from mta.event_log.log import EventLog
from mta.message.outcome import Delivered, Discarded, Failed, TryLater
from mta.queue.interface import Action, AttemptRecord, Claim, Query, RecipientState, Status, Verdict
from mta.queue.memory import MemoryQueue
from mta.retry_schedule import RetrySchedule, RetryStep, RetryTerms, Shape
from mta.rules.book import CurrentRules
from mta.rules.conditions import Rule, RulePlace

NOW = 1_000_000.0
SCHEDULE = RetrySchedule((RetryStep(Shape.FIXED, 3600.0, 900.0),))
RETRY = RetryPolicy(RetryTerms(SCHEDULE), CurrentRules())
YES = RecipientResult(Delivered("250 ok", "mx"))
NO = RecipientResult(Failed("550 no", "mx"))
LATER = RecipientResult(TryLater("451 later", "mx"))


def record(job: Job, index: int, result: RecipientResult) -> None:
    """Give one recipient its result, as the group that it travels in does."""
    (pending,) = (pending for pending in job.claim.pending if pending.index == index)
    Group(job, (pending,), 0.0).record(result)


class CountedResults(dict[int, RecipientResult]):
    """The results of a job, which count how often one of them is looked at."""

    looks = 0

    def __getitem__(self, index: int) -> RecipientResult:
        self.looks += 1
        return super().__getitem__(index)


class NoReports:
    error: OSError | None = None

    def reports(self, claim: Claim, verdicts: Sequence[Verdict], now: float) -> Reports:
        if self.error is not None:
            raise self.error
        return Reports()


class SettlerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.queue = MemoryQueue()
        self.lines: list[str] = []
        self.reporter = NoReports()
        self.now = NOW
        event_log = EventLog(self.lines.append, lambda: self.now)
        context = DeliveryContext(Clock(), lambda: self.now, event_log)
        self.settler = Settler(self.queue, self.reporter, RETRY, context)

    def job(self, *recipients: str) -> Job:
        claim = self.successResultOf(self.queue.add(mail(*recipients), NOW, 60.0))
        assert claim is not None
        return Job(claim, NOW)

    def states(self) -> tuple[RecipientState, ...]:
        (entry,) = self.successResultOf(self.queue.find(Query(finished=True, details=True)))
        return entry.recipients

    def test_each_attempt_is_kept_but_one_that_delivers_at_once(self) -> None:
        job = self.job("at-once@b.test", "later@b.test", "failed@b.test", "gone@b.test")
        later = RecipientResult(LATER.outcome, 0.5, 2.0, "TLSv1.3")
        for index, result in enumerate((YES, later, NO, RecipientResult(Discarded("a:1")))):
            record(job, index, result)
        self.successResultOf(self.settler.settle(job))
        (claim,) = self.successResultOf(self.queue.claim(NOW + 900, 1, 60.0))
        job, self.now = Job(claim, NOW + 900), NOW + 901
        record(job, 1, YES)
        self.successResultOf(self.settler.settle(job))
        first = AttemptRecord(NOW, "mx", "451 later", "4.0.0", "TLSv1.3", 0.5, 2.0)
        second = AttemptRecord(NOW + 901, "mx", "250 ok", "2.0.0")
        never = AttemptRecord(NOW, "mx", "550 no", "5.0.0")
        assert [state.attempts_made for state in self.states()] == [(), (first, second), (never,), ()]

    def test_the_next_attempt_follows_the_schedule(self) -> None:
        job = self.job("bob@b.test")
        record(job, 0, LATER)
        assert self.successResultOf(self.settler.settle(job)) == NOW + 900
        assert self.states()[0].due == NOW + 900

    def test_a_destination_that_takes_no_mail_until_then_is_not_tried_before(self) -> None:
        job = self.job("bob@b.test")
        record(job, 0, RecipientResult(LATER.outcome, not_before=NOW + 1000))
        assert self.successResultOf(self.settler.settle(job)) == NOW + 1000

    def test_a_failure_that_domains_share_names_the_domain_of_each_recipient(self) -> None:
        job = self.job("bob@b.test", "eve@c.test", "joe@d.test")
        shared = TryLater("b.test demands it", "mx", text_for=lambda domain: f"{domain} demands it")
        for index in range(3):
            record(job, index, RecipientResult(shared))
        job.note_rule(Rule(RulePlace("20.toml", 3)), job.claim.pending[2:])
        self.successResultOf(self.settler.settle(job))
        told = ["b.test demands it", "c.test demands it", "b.test demands it"]
        assert [state.reply for state in self.states()] == told
        assert [state.attempts_made[0].reply for state in self.states()] == told
        assert all(f'reply="{text}"' in line for line, text in zip(self.lines, told, strict=True))

    def test_delivered_recipients_are_recorded_while_others_are_under_way(self) -> None:
        job = self.job("bob@b.test", "eve@c.test")
        record(job, 0, YES)
        self.settler.settle_delivered(job)
        assert [state.status for state in self.states()] == [Status.DELIVERED, Status.WAITING]
        record(job, 1, YES)
        self.successResultOf(self.settler.settle(job))
        assert [state.status for state in self.states()] == [Status.DELIVERED, Status.DELIVERED]
        assert len([line for line in self.lines if " delivered " in line]) == 2

    def test_a_message_whose_recipients_were_all_recorded_on_the_way_is_not_settled_again(self) -> None:
        job = self.job("bob@b.test", "eve@c.test")
        for index in range(2):
            record(job, index, YES)
            self.settler.settle_delivered(job)
        assert [state.status for state in self.states()] == [Status.DELIVERED, Status.DELIVERED]
        assert self.successResultOf(self.settler.settle(job)) is None
        assert [line.split()[1] for line in self.lines] == ["delivered", "delivered"]

    def test_each_result_is_looked_at_once_however_many_groups_a_message_has(self) -> None:
        def looks(groups: int) -> int:
            job = self.job(*(f"bob@{number}.test" for number in range(groups)))
            results = job.results = CountedResults()
            for index in range(groups):
                record(job, index, LATER)
                self.settler.settle_delivered(job)
            return results.looks

        assert looks(400) == 2 * looks(200) > 0

    def test_a_message_that_aliases_share_is_added_once_and_with_all_of_them(self) -> None:
        job, shared = self.job("info@a.test", "info+1@a.test", "bob@b.test"), mail("all@c.test")
        for index in (0, 1):
            record(job, index, RecipientResult(Delivered("passed on", ""), mails=(shared,)))
        self.settler.settle_delivered(job)
        assert {state.status for state in self.states()} == {Status.WAITING}
        record(job, 2, LATER)
        self.successResultOf(self.settler.settle(job))
        entries = self.successResultOf(self.queue.find(Query(finished=True)))
        assert [entry.id for entry in entries] == [job.claim.id, shared.id]
        assert [state.status for state in entries[0].recipients] == [Status.DELIVERED, Status.DELIVERED, Status.WAITING]

    def test_the_log_names_the_rule_that_decided_on_the_way_of_a_recipient(self) -> None:
        job = self.job("bob@b.test", "eve@c.test", "joe@d.test", "ann@e.test", "tom@f.test")
        job.route_rules = {index: Rule(RulePlace("20-routes.toml", index + 1), "no news") for index in range(4)}
        outcomes = (YES, LATER, RecipientResult(Discarded('20-routes.toml:3 "no news"')), NO, YES)
        for index, result in enumerate(outcomes):
            record(job, index, result)
        self.successResultOf(self.settler.settle(job))
        told = [line.split(" ", 1)[1] for line in self.lines]
        assert [line.split()[0] for line in told] == ["delivered", "deferred", "discarded", "failed", "delivered"]
        assert [f" rule=20-routes.toml:{index + 1} " in line.replace("\n", " ") for index, line in enumerate(told)] == [
            *[True] * 4,
            False,
        ]
        assert told[2] == f"discarded id={job.claim.id} to=<joe@d.test> rule=20-routes.toml:3\n"
        assert [state.status for state in self.states()] == [
            Status.DELIVERED,
            Status.WAITING,
            Status.REMOVED,
            Status.FAILED,
            Status.DELIVERED,
        ]
        assert self.states()[2].reply == 'discarded by the rule 20-routes.toml:3 "no news"'

    def test_recipients_that_were_not_tried_stay_due(self) -> None:
        job = self.job("bob@b.test", "eve@c.test")
        record(job, 0, YES)
        assert self.successResultOf(self.settler.settle(job)) == NOW
        assert self.states()[1].status is Status.WAITING

    def test_a_lost_lease_changes_nothing_and_is_logged(self) -> None:
        job = self.job("bob@b.test")
        self.successResultOf(self.queue.apply(Action.REMOVE, [job.claim.id], NOW))
        record(job, 0, YES)
        assert self.successResultOf(self.settler.settle(job)) is None
        assert self.states()[0].status is Status.REMOVED
        assert " lease-lost " in self.lines[0]

    def test_results_written_under_a_lost_lease_are_written_again_under_the_newer_one(self) -> None:
        job = self.job("bob@b.test", "eve@c.test")
        (newer,) = self.successResultOf(self.queue.claim(NOW + 61, 1, 60.0))
        record(job, 0, YES)
        self.settler.settle_delivered(job)
        job.renew(newer)
        record(job, 1, LATER)
        self.successResultOf(self.settler.settle(job))
        assert [state.status for state in self.states()] == [Status.DELIVERED, Status.WAITING]

    def test_recipients_settled_before_a_newer_claim_do_not_count_as_untried(self) -> None:
        job = self.job("bob@b.test", "eve@c.test")
        record(job, 0, YES)
        self.settler.settle_delivered(job)
        (newer,) = self.successResultOf(self.queue.claim(NOW + 61, 1, 60.0))
        job.renew(newer)
        job.next_try = NOW + 5
        record(job, 1, LATER)
        assert self.successResultOf(self.settler.settle(job)) == NOW + 900

    def test_recipients_that_found_no_room_come_no_earlier_than_those_that_were_put_off(self) -> None:
        job = self.job("bob@b.test", "eve@c.test")
        record(job, 0, LATER)
        job.next_try = NOW + 5
        assert self.successResultOf(self.settler.settle(job)) == NOW + 900
        other = self.job("bob@b.test", "eve@c.test")
        other.results[0] = YES
        other.next_try = NOW + 5
        assert self.successResultOf(self.settler.settle(other)) == NOW + 5

    def test_out_of_time_fails_with_the_hours_and_the_last_words(self) -> None:
        job = self.job("bob@b.test")
        self.successResultOf(self.queue.release(job.claim, NOW))
        (claim,) = self.successResultOf(self.queue.claim(NOW, 1, 60.0))
        job = Job(claim, NOW)
        self.now = NOW + 7200
        record(job, 0, LATER)
        while True:
            self.successResultOf(self.settler.settle(job))
            if self.states()[0].status is not Status.WAITING:
                break
            (claim,) = self.successResultOf(self.queue.claim(self.now + 900, 1, 60.0))
            job = Job(claim, self.now)
            record(job, 0, LATER)
        state = self.states()[0]
        assert state.status is Status.FAILED
        assert "not delivered in 2.0 hours, giving up; the last try said: 451 later" in state.reply

    def test_a_report_that_fails_is_told_as_such(self) -> None:
        claim = self.successResultOf(self.queue.add(mail("bob@b.test", sender=None), NOW, 60.0))
        assert claim is not None
        job = Job(claim, NOW)
        record(job, 0, RecipientResult(Failed("550 no", "mx")))
        self.successResultOf(self.settler.settle(job))
        failed, unreported = self.lines
        assert " failed " in failed
        assert f' unreported id={claim.id} reason="the report to <bob@b.test> failed: 550 no"' in unreported

    def test_advice_is_told_as_trouble_once_an_hour_for_all_mail(self) -> None:
        for minute in (0, 1, 59, 61):
            self.now = NOW + minute * 60
            job = self.job("bob@b.test")
            record(job, 0, RecipientResult(TryLater("530 no; set it", "mx", "4.7.0", "set it")))
            self.successResultOf(self.settler.settle(job))
        troubles = [line for line in self.lines if " trouble " in line]
        assert len(troubles) == 2
        assert 'text="mx refuses mail: 530 no; set it"' in troubles[0]
        assert len([line for line in self.lines if " deferred " in line]) == 4

    def test_a_body_that_cannot_be_read_costs_the_report_and_not_the_settlement(self) -> None:
        self.reporter.error = OSError("no such file")
        job = self.job("bob@b.test")
        record(job, 0, RecipientResult(Failed("550 no", "mx")))
        self.successResultOf(self.settler.settle(job))
        assert self.states()[0].status is Status.FAILED
        assert any(" unreported " in line for line in self.lines)
