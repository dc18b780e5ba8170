"""The rewrite stage of `smtprelay explain`: it tells the changes that a listener makes, under any rewrite rules."""

import json
from typing import Any

from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from mta.cli.main import main
from mta.config.rules.mistakes import RuleMistakes
from mta.config.rules.rule_files import RuleSource
from mta.config.rules.rule_reader import read_book
from mta.config.rules.toml_tables import read_tables
from mta.explain.acl_stage import Verdicts
from mta.explain.rewrite_stage import decide_rewrite
from mta.rules.acl import HOST_UNKNOWN
from mta.rules.book import RuleBook
from mta.rules.facts import Facts
from mta.smtp.address import parse_address
from tests.drivers.listener import FRIEND, STRANGER, Listening
from tests.inbound.listener_case import GREET

HEADER = ("From: The App <app@h.lan>", "Subject: hello", "To: x@y.lan")
CONDITIONS = (
    'sender = "*@*.lan"',
    'unless.sender = "new@example.com"',
    'recipient = ["bob@relay.test", "dev@example.com"]',
    'unless.recipient = "carol@relay.test"',
    'header.Subject = "hello"',
    'header.X-Tag = "*"',
    'unless.header.From = "*new@*"',
    'client = "stranger"',
    'client = ["trusted", "stranger"]',
)
ACTIONS = (
    'set.sender = "new@example.com"',
    'set.from = "New <new@example.com>"',
    'set.reply_to = "from"',
    'set.recipient = ["dev@example.com", "*@b.test"]',
    'map = ["*@*.lan -> *@example.com", "carol@* -> bob@relay.test"]\nin = ["sender", "from", "recipient", "to"]',
    'add.X-Tag = "{sender} {client}"',
    'remove = ["Subject", "X-Tag"]',
    'hide = ["client", "trace"]',
    'bcc = "archive@example.com"',
    "last = true",
)


def one_rule(parts: tuple[list[str], list[str]]) -> str:
    return "\n".join(("[[rewrite]]", *dict.fromkeys(parts[0]), *parts[1]))


def some(texts: tuple[str, ...], least: int) -> st.SearchStrategy[list[str]]:
    """Return lines with different keys."""
    return st.lists(st.sampled_from(texts), min_size=least, max_size=3, unique_by=lambda text: text.partition(" = ")[0])


RULES = st.lists(st.tuples(some(CONDITIONS, 0), some(ACTIONS, 1)).map(one_rule), min_size=1, max_size=5).map("\n".join)


def book_of(text: str) -> RuleBook | None:
    """Return the rules of a file; None if one of them stands behind a last one and can never apply."""
    mistakes = RuleMistakes()
    tables, found = read_tables(text)
    assert found == []
    book = read_book([RuleSource("/r/20-x.toml", "20-x.toml", tables, text)], mistakes)
    assert all("can never apply" in line for line in mistakes.lines)
    return book


def result(deferred: "Deferred[Any]") -> Any:
    results: list[Any] = []
    deferred.addCallback(results.append)
    return results[0]


@given(RULES, st.sampled_from(("", "app@h.lan", "new@example.com")), st.sampled_from((FRIEND, STRANGER)))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_stage_and_a_listener_agree(text: str, sender: str, client: str) -> None:
    book = book_of(text)
    if book is None:
        return
    recipients = ("bob@relay.test", "carol@relay.test")
    accepted = tuple(map(parse_address, recipients))
    block = "".join(f"{line}\r\n" for line in HEADER).encode()
    facts = Facts(client, client == FRIEND, parse_address(sender) if sender else None, header=block)
    told, changes = decide_rewrite(Verdicts((), accepted, facts), book)

    listening = Listening(rules=book)
    wire = listening.connect(client)
    wire.say(GREET)
    wire.say(f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{to}>" for to in recipients))
    wire.say("DATA")
    assert wire.say(*HEADER, "", "body", ".").startswith("250")
    (claim,) = result(listening.queue.claim(2e9, 1, 60))
    assert tuple(each.address for each in claim.envelope.recipients) == told.accepted
    (line,) = [line for line in listening.lines if " accepted " in line]
    assert line.partition(" rules=")[2].split(" ")[0].strip() == ",".join(each.rule for each in changes)


def test_a_host_name_that_is_not_looked_up_defers_the_message() -> None:
    book = book_of('[[rewrite]]\nclient = "app.test"\nhide = "client"\n')
    facts = Facts("192.0.2.1", trusted=True, sender=None, header=b"")
    told, changes = decide_rewrite(Verdicts((), (parse_address("a@b.test"),), facts), book)
    assert (told.accepted, changes) == ((), ())
    assert [each.reply for each in told.decisions] == [HOST_UNKNOWN]


def test_the_command_shows_the_changes_and_the_new_recipients() -> None:
    environ = {
        "QUEUE_DIR": "/nonexistent",
        "MAILNAME": "relay.example.com",
        "NET_DEV": "none0",
        "REDIRECT_TO": "dev@b.test",
        "BCC_TO": "archive@c.test",
    }
    told = CliRunner().invoke(main, ["explain", "--from", "a@a.test", "--to", "b@b.test", "--json"], env=environ)
    found = json.loads(told.stdout)
    assert found["rewrite"] == [
        {"rule": "REDIRECT_TO", "changes": ["recipient b@b.test -> dev@b.test"]},
        {"rule": "BCC_TO", "changes": ["a copy to archive@c.test"]},
    ]
    assert [each["recipient"] for each in found["router"]] == ["dev@b.test", "archive@c.test"]
