"""`[[retry]]` tables: their conditions and settings as rules, and the mistakes in them."""

import pickle

import pytest

from mta.config.rules.mistakes import RuleMistakes
from mta.config.rules.rule_files import RuleSource
from mta.config.rules.rule_reader import read_book
from mta.config.rules.toml_tables import read_tables
from mta.config.schedule import read_schedule
from mta.message.outcome import ErrorKind, TryLater
from mta.retry_schedule import WARN_AFTER
from mta.rules.facts import Facts
from mta.rules.retries import Retries, RetryRule
from mta.smtp.address import parse_address


def read(text: str) -> tuple[Retries | None, list[str]]:
    """Return the rules of a file and the mistakes in it."""
    mistakes = RuleMistakes()
    tables, found = read_tables(text)
    for each in found:
        mistakes.add("1.toml", each.line, each.words)
    book = read_book([RuleSource("1.toml", "1.toml", tables, text)], mistakes)
    return (book.retry if book else None), [line.removeprefix("1.toml:") for line in mistakes.lines]


def rules(text: str) -> Retries:
    made, mistakes = read(text)
    assert mistakes == []
    assert made
    return made


def only(text: str) -> RetryRule:
    (rule,) = rules(f"[[retry]]\n{text}").rules
    return rule


def found(made: Retries, sender: str, recipient: str, error: TryLater) -> str:
    """Return the name of the rule that decides, or ""."""
    sent_by = parse_address(sender) if sender else None
    rule = made.find(Facts("", trusted=False, sender=sent_by, recipient=parse_address(recipient), error=error))
    return "" if rule is None else rule.rule.name


@pytest.mark.parametrize(
    ("written", "schedule", "warn_after"),
    [
        ('schedule = "F,1h,10m"', "F,1h,10m", WARN_AFTER),
        ('schedule = "f,2h,15m; g,16h,1h,1.5"', "F,2h,15m; G,16h,1h,1.5", WARN_AFTER),
        ('warn_after = "4h"', None, 4 * 3600.0),
        ("warn_after = false", None, None),
        ('schedule = "F,1d,1h"\nwarn_after = "1h30m"', "F,1d,1h", 5400.0),
    ],
)
def test_schedule_and_warning_are_read(written: str, schedule: str | None, warn_after: float | None) -> None:
    rule = only(written)
    assert rule.schedule == (None if schedule is None else read_schedule(schedule))
    assert rule.warn_after == warn_after


CONDITIONS = """
[lists]
busy = ["4.7.*", "4.2.1"]

[[retry]]
name = "partner"
recipient = "partner.test"
unless.error = "dns"
schedule = "F,1h,5m"

[[retry]]
name = "reports"
sender = "<>"
schedule = "F,1d,1h"

[[retry]]
name = "busy"
error = ["+busy", "login"]
warn_after = false
"""


def test_sender_recipient_and_error_decide() -> None:
    made = rules(CONDITIONS)
    refused = TryLater("refused", kind=ErrorKind.CONNECT, status="4.4.1")
    no_name = TryLater("no name", kind=ErrorKind.DNS, status="4.4.3")
    assert found(made, "a@a.test", "b@partner.test", refused) == "partner"
    assert found(made, "a@a.test", "b@partner.test", no_name) == ""
    assert found(made, "", "b@b.test", no_name) == "reports"
    assert found(made, "a@a.test", "b@b.test", TryLater("451 busy", status="4.7.28")) == "busy"
    assert found(made, "a@a.test", "b@b.test", TryLater("451 busy", status="4.2.1")) == "busy"
    assert found(made, "a@a.test", "b@b.test", TryLater("no", status="4.7.0", kind=ErrorKind.LOGIN)) == "busy"
    assert found(made, "a@a.test", "b@b.test", refused) == ""


def test_a_book_with_retry_rules_goes_to_workers_as_it_is() -> None:
    made = rules(CONDITIONS)
    again: Retries = pickle.loads(pickle.dumps(made))  # noqa: S301  made here
    assert again.rules == made.rules
    assert again.asks_for_message


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("sender = 'a.test'", "1: this rule sets nothing; schedule and warn_after do"),
        (
            "schedule = 'F,1h'",
            "2: schedule: 'F,1h' is neither F,until,interval nor G,until,interval,factor; schedule =",
        ),
        ("schedule = 'F,1h,x'", "2: schedule: 'x' is not a time such as 15m or 1d12h; schedule = "),
        ("schedule = ''", '2: schedule: a retry schedule needs at least one step, F,4d,1h; schedule = "F,1h,10m"'),
        ("schedule = 60", '2: schedule: 60 is no text; schedule = "F,1h,10m"'),
        ("warn_after = true", '2: warn_after: true is no time; warn_after = "4h", or false for no report'),
        ("warn_after = 4", "2: warn_after: 4 is no time; "),
        ("warn_after = '4 hours'", "2: warn_after: '4 hours' is no time; "),
        ("warn_after = '0s'", "2: warn_after: '0s' is no time; "),
        (
            "error = ['conect', '4.7.*']\nwarn_after = false",
            "2: error: 'conect' is no error; errors are connect, tls, login, dns, and a status such as 4.7.* or 4.2.2",
        ),
        ("error = 450\nwarn_after = false", "2: error: 450 is no text; the value is `connect`, `tls`, `login`, `dns`,"),
        ("error = '5.1.1'\nwarn_after = false", "2: error: '5.1.1' is final, and mail with it is returned at once;"),
        ("client = '10.0.0.1'\nwarn_after = false", "2: client belongs to [[acl]], not to [[retry]]"),
        ("unless.schedule = 'x'", "2: unless.schedule: schedule is no condition"),
        ("shedule = 'F,1h,5m'", "2: shedule is no condition or action of [[retry]]; did you mean schedule?"),
        (
            "warn_after = false\n[[retry]]\nsender = '<>'\nwarn_after = '1h'",
            "3: this rule can never apply: the one in line 1 has no condition",
        ),
    ],
)
def test_a_mistake_has_its_line_and_tells_what_is_right(written: str, words: str) -> None:
    made, (told, *_) = read(f"[[retry]]\n{written}")
    assert made is None
    assert told.startswith(words)
