"""The reports that a settlement owes the sender."""

from collections.abc import Iterator
from dataclasses import replace

from harness.mail import claim
from mta.delivery.reports import DsnReporter
from mta.delivery.retry_policy import RetryPolicy
from mta.message.body import MemoryBody
from mta.message.envelope import Notify, Recipient
from mta.message.outcome import Delivered, Discarded, Failed, Outcome, TryLater
from mta.queue.ids import IdSource
from mta.queue.interface import Claim, Verdict
from mta.retry_schedule import WARN_AFTER, RetrySchedule, RetryStep, RetryTerms, Shape
from mta.rules.book import CurrentRules, RuleBook
from mta.rules.retries import Retries, RetryRule
from mta.smtp.address import parse_address
from tests.rules.made_rules import recipient, rule

SCHEDULE = RetrySchedule((RetryStep(Shape.FIXED, 4 * 86400.0, 900.0),))
RETRY = RetryPolicy(RetryTerms(SCHEDULE), CurrentRules())
REPORTER = DsnReporter("relay.test", IdSource(tag=1), RETRY, lambda: "token")
NO = Failed("550 no such user", "mx.test[192.0.2.1]:25", "5.1.1")
LATER = TryLater("451 try later", "mx.test[192.0.2.1]:25", "4.3.0")
YES = Delivered("250 ok", "mx.test[192.0.2.1]:25")


def kinds(*outcomes: Outcome, age: float = 10.0, **changes: object) -> list[str]:
    mail = claim(*[f"u{index}@b.test" for index in range(len(outcomes))])
    mail = replace(mail, **changes)  # type: ignore[arg-type]
    verdicts = [Verdict(index, outcome) for index, outcome in enumerate(outcomes)]
    return list(REPORTER.reports(mail, verdicts, mail.created + age).kinds)


def test_all_failures_of_a_settlement_make_one_report_from_the_null_sender() -> None:
    mail = claim("bob@b.test", "eve@b.test", "joe@b.test")
    verdicts = [Verdict(0, NO), Verdict(1, YES), Verdict(2, NO)]
    reports = REPORTER.reports(mail, verdicts, mail.created + 1)
    assert reports.kinds == ["failure"]
    report = reports.mails[0]
    assert report.envelope.sender is None
    assert str(report.envelope.recipients[0].address) == "alice@a.test"
    data = b"".join(report.body.chunks())
    assert b"bob@b.test" in data
    assert b"joe@b.test" in data
    assert b"eve@b.test" not in data


def test_a_report_never_answers_a_report() -> None:
    mail = claim("bob@b.test", sender=None)
    assert REPORTER.reports(mail, [Verdict(0, NO)], mail.created + 1).mails == ()


def test_a_delay_is_reported_once_after_a_day() -> None:
    assert kinds(LATER, age=WARN_AFTER - 1) == []
    assert kinds(LATER, age=WARN_AFTER) == ["delay"]
    assert kinds(LATER, age=WARN_AFTER, delay_reported=True) == []


def reporter(*rules: RetryRule) -> DsnReporter:
    """Return a reporter of a relay with these rules."""
    retry = RetryPolicy(RetryTerms(SCHEDULE), CurrentRules(RuleBook(retry=Retries(rules))))
    return DsnReporter("relay.test", IdSource(tag=1), retry, lambda: "token")


def late(found: DsnReporter, age: float) -> tuple[bool, bytes]:
    """Return whether a message of this age counts as reported late, and the report."""
    mail = claim("bob@b.test", "eve@c.test")
    reports = found.reports(mail, [Verdict(0, LATER, 1.0), Verdict(1, LATER, 1.0)], mail.created + age)
    assert reports.delay_reported is bool(reports.mails)
    return reports.delay_reported, b"".join(b"".join(report.body.chunks()) for report in reports.mails)


def test_the_operators_rule_says_when_a_delay_is_reported_and_names_the_end() -> None:
    two_days = RetrySchedule((RetryStep(Shape.FIXED, 2 * 86400.0, 900.0),))
    found = reporter(RetryRule(rule(recipient("b.test")), two_days, warn_after=3600.0))
    assert late(found, 3599.0) == (False, b"")
    reported, report = late(found, 3600.0)
    assert reported
    # The report comes once, so it names the other recipient too; 1970-01-12 13:46:40 and two days.
    assert b"bob@b.test" in report
    assert b"eve@c.test" in report
    assert b"Will-Retry-Until: Wed, 14 Jan 1970 13:46:40" in report


def test_a_recipient_without_warning_is_in_no_report_of_delay() -> None:
    found = reporter(RetryRule(rule(recipient("b.test")), warn_after=None))
    reported, report = late(found, WARN_AFTER)
    assert reported
    assert b"bob@b.test" not in report
    assert b"eve@c.test" in report
    silent = reporter(RetryRule(rule(), warn_after=None))
    assert late(silent, 10 * WARN_AFTER) == (False, b"")


def test_success_is_reported_only_when_asked_and_not_passed_on() -> None:
    asked = Recipient(parse_address("bob@b.test"), Notify.SUCCESS)
    mail = claim(asked)
    assert REPORTER.reports(mail, [Verdict(0, YES)], mail.created).kinds == ["success"]
    passed_on = Delivered("250 ok", "mx", reports_success=True)
    assert REPORTER.reports(mail, [Verdict(0, passed_on)], mail.created).kinds == []
    assert kinds(YES) == []


def test_a_discarded_recipient_is_in_no_report() -> None:
    asked = Recipient(parse_address("bob@b.test"), Notify.SUCCESS | Notify.FAILURE | Notify.DELAY)
    mail = claim(asked)
    verdicts = [Verdict(0, Discarded("20-routes.toml:3"))]
    assert REPORTER.reports(mail, verdicts, mail.created + WARN_AFTER).kinds == ()


def test_a_sender_that_wants_no_report_gets_none() -> None:
    silent = claim(Recipient(parse_address("bob@b.test"), Notify.NEVER))
    assert not REPORTER.reports(silent, [Verdict(0, NO)], silent.created).mails


def reporter_to(postmaster: str | None) -> DsnReporter:
    to = None if postmaster is None else parse_address(postmaster)
    return DsnReporter("relay.test", IdSource(tag=1), RETRY, lambda: "token", postmaster=to)


def failed_report(*recipients: str, body: bytes = b"Subject: x\r\n\r\ntext\r\n", sender: str | None = None) -> Claim:
    """Return a claim of a message with the null sender, whose recipients ask for no report."""
    mail = claim(*recipients, sender=sender)
    never = tuple(Recipient(each.address, Notify.NEVER) for each in mail.envelope.recipients)
    return replace(mail, body=MemoryBody(body), envelope=replace(mail.envelope, recipients=never))


def test_a_report_that_fails_is_copied_to_the_postmaster() -> None:
    mail = failed_report("alice@a.test", "bob@b.test")
    reports = reporter_to("root@relay.test").reports(mail, [Verdict(0, NO), Verdict(1, YES)], mail.created + 1)
    assert reports.kinds == ["postmaster"]
    (copy,) = reports.mails
    assert copy.envelope.sender is None
    assert [str(each.address) for each in copy.envelope.recipients] == ["root@relay.test"]
    assert copy.description.report_of == mail.id
    data = b"".join(copy.body.chunks())
    assert b"Subject: Postmaster Copy: Undelivered Mail\r\n" in data
    assert b"Return-Path: <>\r\nSubject: x\r\n\r\ntext\r\n" in data
    assert b"<alice@a.test>" in data
    assert b"<bob@b.test>" not in data
    assert f"smtprelay explain {mail.id}".encode() in data
    assert b"Your" not in data


def test_a_copy_that_fails_is_not_copied_even_if_another_host_passes_it_on_or_returns_it() -> None:
    reporter = reporter_to("root@relay.test")
    mail = failed_report("alice@a.test")
    (copy,) = reporter.reports(mail, [Verdict(0, NO)], mail.created + 1).mails
    data = b"".join(copy.body.chunks())
    passed_on = failed_report("someone@else.test", body=b"Received: from a\r\n" + data)
    assert reporter.reports(passed_on, [Verdict(0, NO)], mail.created + 2).mails == ()
    returned = failed_report("mailer-daemon@relay.test", body=b"Subject: returned\r\n\r\nit said:\r\n\r\n" + data)
    assert reporter.reports(returned, [Verdict(0, NO)], mail.created + 2).mails == ()


def test_mail_that_the_postmaster_did_not_get_is_not_copied() -> None:
    mail = failed_report("root@relay.test")
    assert reporter_to("root@relay.test").reports(mail, [Verdict(0, NO)], mail.created + 1).mails == ()


def test_only_failures_of_the_null_sender_are_copied() -> None:
    reporter = reporter_to("root@relay.test")
    mail = failed_report("alice@a.test")
    for outcome in (YES, LATER, Discarded("a:1")):
        assert reporter.reports(mail, [Verdict(0, outcome)], mail.created + 1).mails == ()
    asked_for_none = failed_report("alice@a.test", sender="shop@a.test")
    assert reporter.reports(asked_for_none, [Verdict(0, NO)], mail.created + 1).mails == ()


def test_without_a_postmaster_the_body_is_not_even_read() -> None:
    class Unread(MemoryBody):
        def chunks(self) -> Iterator[bytes]:
            raise AssertionError

    mail = replace(failed_report("alice@a.test"), body=Unread(b""))
    assert reporter_to(None).reports(mail, [Verdict(0, NO)], mail.created + 1).mails == ()
