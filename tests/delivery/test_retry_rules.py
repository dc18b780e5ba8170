"""The delivery side as a whole, by the operator's rules about further attempts, on a simulated clock."""

from mta.delivery.retry_policy import RetryPolicy
from mta.message.outcome import ErrorKind, TryLater
from mta.queue.interface import NewMail, Status
from mta.retry_schedule import RetrySchedule, RetryStep, RetryTerms, Shape
from mta.rules.book import CurrentRules, RuleBook
from mta.rules.retries import ErrorCondition, Retries, RetryRule
from tests.delivery.service_case import LATER, ServiceCase
from tests.rules.made_rules import recipient, rule, sender

HOUR = 3600.0
DAY = 24 * HOUR
STEP = 600.0
DOWN = TryLater("connection refused", "mx.test[192.0.2.1]:25", "4.4.1", kind=ErrorKind.CONNECT)


def schedule(seconds: float) -> RetrySchedule:
    return RetrySchedule((RetryStep(Shape.FIXED, seconds, 1800.0),))


FOUR_DAYS = RetryTerms(schedule(4 * DAY))
PARTNER = RetryRule(rule(recipient("partner.test")), schedule(HOUR))
REPORTS = RetryRule(rule(sender("<>"), line=2), schedule(DAY))


class RetryRulesTests(ServiceCase):
    def setUp(self) -> None:
        self.rules = CurrentRules()
        self.retry = RetryPolicy(FOUR_DAYS, self.rules)
        super().setUp()

    def put_in_force(self, *rules: RetryRule) -> None:
        self.rules.replace(RuleBook(retry=Retries(rules)))

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([STEP] * round(seconds / STEP))

    def given_up(self, *mails: NewMail) -> list[float]:
        """Let five days pass; return the ages at which these messages failed."""
        start, ages = self.clock.seconds(), dict[str, float]()
        while self.clock.seconds() < start + 5 * DAY:
            self.clock.advance(STEP)
            for each in mails:
                if self.statuses(each) == [Status.FAILED]:
                    ages.setdefault(each.id, self.clock.seconds() - start)
        return [ages[each.id] for each in mails]

    def test_a_domain_gives_up_after_an_hour_others_after_four_days_and_reports_after_one(self) -> None:
        self.put_in_force(PARTNER, REPORTS)
        self.refuse(bob=LATER)
        mails = [self.add("bob@partner.test"), self.add("bob@b.test"), self.add("bob@b.test", sender=None)]
        self.start()
        # A schedule ends with the first attempt after its end.
        for age, end in zip(self.given_up(*mails), (HOUR, 4 * DAY, DAY), strict=True):
            assert end <= age <= end + 1800 + STEP
        failed = self.events("failed")
        assert len(failed) == 3
        assert "not delivered in 1.0 hours, giving up" in failed[0]

    def test_mail_that_waits_for_a_dead_host_is_returned_in_time_although_it_is_not_tried(self) -> None:
        self.put_in_force(PARTNER, REPORTS)
        self.connector.down = DOWN
        partner = [self.add("bob@partner.test") for _ in range(300)]
        reports = [self.add("bob@b.test", sender=None) for _ in range(300)]
        others = [self.add("bob@b.test") for _ in range(300)]
        self.start()
        self.pass_time(HOUR + 1800)
        assert {status for each in partner for status in self.statuses(each)} == {Status.FAILED}
        self.pass_time(DAY - HOUR)
        assert {status for each in reports for status in self.statuses(each)} == {Status.FAILED}
        assert {status for each in others for status in self.statuses(each)} == {Status.WAITING}

    def test_a_rule_may_have_mail_returned_sooner_after_one_kind_of_error(self) -> None:
        self.put_in_force(RetryRule(rule(ErrorCondition((ErrorKind.CONNECT,))), schedule(HOUR)))
        self.refuse(bob=LATER)
        new = self.add("bob@b.test")
        self.start()
        self.pass_time(3 * HOUR)
        assert self.statuses(new) == [Status.WAITING]
        self.connector.down = DOWN
        for connection in self.connector.connections:
            connection.abort()
            for down in connection.downs:
                down()
        self.pass_time(HOUR)
        assert self.statuses(new) == [Status.FAILED]

    def test_changed_rules_count_at_the_next_attempt_of_mail_that_waits(self) -> None:
        self.refuse(bob=LATER)
        new = self.add("bob@partner.test")
        self.start()
        self.pass_time(2 * HOUR)
        assert self.statuses(new) == [Status.WAITING]
        self.put_in_force(PARTNER)
        self.pass_time(HOUR)
        assert self.statuses(new) == [Status.FAILED]

    def test_the_sender_is_told_of_a_delay_at_the_time_of_the_rule(self) -> None:
        self.put_in_force(
            RetryRule(rule(recipient("partner.test")), warn_after=2 * HOUR),
            RetryRule(rule(recipient("quiet.test"), line=2), warn_after=None),
        )
        self.refuse(bob=LATER)
        self.add("bob@partner.test")
        self.add("bob@quiet.test")
        self.start()
        self.pass_time(2 * HOUR - STEP)
        assert self.events("reported") == []
        self.pass_time(1800 + STEP)
        assert len(self.events("reported")) == 1
        self.pass_time(2 * DAY)
        assert len(self.events("reported")) == 1
