"""`[[rewrite]]` tables: their actions as values, and the mistakes in them."""

import pickle
from pathlib import Path

import pytest

from mta.config.rules.mistakes import RuleMistakes
from mta.config.rules.rule_files import RuleSource
from mta.config.rules.rule_reader import read_book
from mta.config.rules.toml_tables import read_tables
from mta.message.envelope import Envelope, Origin, Recipient
from mta.rules.conditions import ClientCondition
from mta.rules.facts import Facts
from mta.rules.rewriting.actions import (
    USUAL_PLACES,
    AddField,
    Bcc,
    Hide,
    MapAddresses,
    MapPlace,
    RemoveFields,
    RewriteAction,
    SetFrom,
    SetRecipients,
    SetReplyTo,
    SetSender,
)
from mta.rules.rewriting.address_map import AddressMap, Replacement, read_map_line
from mta.rules.rewriting.rewriting import RewriteRule, Rewriting
from mta.smtp.address import Address

NOREPLY = Replacement("noreply", "example.com")


def read(text: str) -> tuple[Rewriting | None, list[str]]:
    """Return the rules of a file and the mistakes in it."""
    mistakes = RuleMistakes()
    tables, found = read_tables(text)
    for each in found:
        mistakes.add("1.toml", each.line, each.words)
    book = read_book([RuleSource("1.toml", "1.toml", tables, text)], mistakes)
    return (book.rewrite if book else None), [line.removeprefix("1.toml:") for line in mistakes.lines]


def rules(text: str) -> tuple[RewriteRule, ...]:
    rewriting, mistakes = read(text)
    assert mistakes == []
    assert rewriting
    return rewriting.rules


def mapping(*lines: str) -> AddressMap:
    return AddressMap(map(read_map_line, lines))


@pytest.mark.parametrize(
    ("written", "actions"),
    [
        ('set.sender = "noreply@example.com"', [SetSender(NOREPLY)]),
        ('set.sender = "*@example.com"', [SetSender(Replacement(None, "example.com"))]),
        ('set.from = "Shop <noreply@example.com>"', [SetFrom(NOREPLY, b"Shop")]),
        ('set.reply_to = "from"', [SetReplyTo(None)]),
        ('set.reply_to = "a@b.test"', [SetReplyTo(b"a@b.test")]),
        ('set.recipient = "noreply@example.com"', [SetRecipients((NOREPLY,))]),
        ('map = "a.test -> *@b.test"', [MapAddresses(mapping("a.test -> *@b.test"), USUAL_PLACES)]),
        (
            'in = ["to", "cc"]\nmap = ["a.test -> *@b.test", "x@* -> y@z.test"]',
            [MapAddresses(mapping("a.test -> *@b.test", "x@* -> y@z.test"), (MapPlace.TO, MapPlace.CC))],
        ),
        ('add.X-A = "1"\nadd.X-B = "2"', [AddField("X-A", "1"), AddField("X-B", "2")]),
        ('remove = ["X-Mailer", "x-mailer", "User-Agent"]', [RemoveFields(("x-mailer", "user-agent"))]),
        ('hide = ["client", "trace"]', [Hide(client=True, trace=True)]),
        ('hide = "trace"', [Hide(trace=True)]),
        ('bcc = "archive@example.com"', [Bcc(Address("archive", "example.com"))]),
        (
            'bcc = "a@b.test"\nadd.X = "1"\nremove = "X"\nset.reply_to = "from"\nset.from = "noreply@example.com"',
            [SetFrom(NOREPLY), SetReplyTo(None), RemoveFields(("x",)), AddField("X", "1"), Bcc(Address("a", "b.test"))],
        ),
    ],
)
def test_actions_are_read_and_carried_out_in_a_fixed_order(written: str, actions: list[RewriteAction]) -> None:
    (rule,) = rules(f"[[rewrite]]\n{written}\n")
    assert list(rule.actions) == actions
    assert not rule.last


def test_the_last_rule_may_have_no_action() -> None:
    (rule, _) = rules('[[rewrite]]\nsender = "a.test"\nlast = true\n[[rewrite]]\nhide = "client"\n')
    assert rule.last
    assert rule.actions == ()


def test_a_rule_without_a_client_is_for_clients_that_may_send_anywhere() -> None:
    texts = (
        'sender = "a.test"',
        'unless.client = "10.0.0.1"',
        'client = "stranger"',
        'client = ["stranger", "trusted"]',
    )
    applies = []
    for text in texts:
        (rule,) = rules(f'[[rewrite]]\n{text}\nhide = "client"\n')
        facts = [Facts("192.0.2.1", trusted, Address("x", "a.test")) for trusted in (True, False)]
        applies.append([rule.rule.applies(each) for each in facts])
    assert applies == [[True, False], [True, False], [False, True], [True, True]]


def test_a_map_may_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "map"
    path.write_text("# old names\nroot@*.lan ops@example.com\n*@*.lan -> *@example.com\n")
    (rule,) = rules(f"[[rewrite]]\nmap = 'file:{path}'\n")
    assert rule.actions == (MapAddresses(mapping("root@*.lan ops@example.com", "*@*.lan *@example.com")),)
    path.write_text("root@*.lan ops\n")
    assert read(f"[[rewrite]]\nmap = 'file:{path}'\n") == (
        None,
        [f"{path}:1: map: the line is no pattern with an address behind it, such as root@*.lan ops@example.com"],
    )


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ('set.form = "x"', "2: set.form is no condition or action of [[rewrite]]; did you mean set.from?"),
        ("set.from = 1", "2: set.from: 1 is no text"),
        ('set.sender = "x"', "2: set.sender: 'x' cannot take the place of an address: address must contain a domain"),
        ('in = "from"', "1: in belongs to a map, and this rule has none"),
        (
            'in = "form"\nmap = "a.test -> b@c.test"',
            "2: in = 'form': the places are sender, recipient, from, reply_to, to, cc; did you mean from?",
        ),
        ('deny = "x"', "2: deny belongs to [[acl]], not to [[rewrite]]"),
        ("tls = true", "2: tls belongs to [[acl]], not to [[rewrite]]"),
        ("last = 1", "2: last: 1 has no meaning; write last = true, or leave the key out"),
        ('name = "x"', "1: this rule changes nothing; set.sender, set.from, map, add.NAME and others do"),
        ('add = "x"', "2: add: add is followed by the name of a field, add.X-Tag = ..."),
        ('add.Received = "x"', "2: add.Received: Received is neither added nor removed by a rule"),
        ('remove = "return-path"', "2: remove = 'return-path': return-path is neither added nor removed by a rule"),
        ('hide = "clients"', '2: hide = \'clients\': hide = "client" or "trace"'),
        ('bcc = "*@a.test"', "2: bcc: '*@a.test' is a pattern; a copy goes to one address"),
        (
            "set.recipient = []",
            "2: set.recipient: it is empty, which could mean all or none; leave the key out, or name",
        ),
    ],
)
def test_each_mistake_is_told_with_its_line(written: str, words: str) -> None:
    rewriting, mistakes = read(f"[[rewrite]]\n{written}\n")
    assert rewriting is None
    (told,) = mistakes
    assert told.startswith(words)


def test_no_rule_leaves_a_message_without_recipients(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("# nobody yet\n")
    (told,) = read(f"[[rewrite]]\nset.recipient = 'file:{tmp_path}/empty'\n")[1]
    assert "the list is empty" in told


def test_a_last_rule_may_be_passed_over_before_another_changes_the_message() -> None:
    last = '[[rewrite]]\nsender = "new@a.test"\nlast = true\n'
    change = '[[rewrite]]\nset.sender = "new@a.test"\n'
    behind = '[[rewrite]]\nsender = "new@a.test"\nhide = "client"\n'
    assert read(last + change + behind)[1] == []


def test_a_rule_behind_the_last_one_is_a_mistake() -> None:
    text = '[[rewrite]]\nlast = true\n[[acl]]\nsender = "a.test"\nhold = true\n[[rewrite]]\nhide = "client"\n'
    assert read(text)[1] == ["6: this rule can never apply: the one in line 1 applies whenever it does"]


def test_keys_of_rewrite_rules_are_told_in_other_rules() -> None:
    assert read('[[acl]]\nbcc = "a@b.test"\n')[1][0] == "2: bcc belongs to [[rewrite]], not to [[acl]]"


def test_rules_go_to_another_process() -> None:
    text = (
        '[[rewrite]]\nrecipient = "x.test"\nheader.Subject = "*a*"\nset.sender = "*@example.com"\nbcc = "a@b.test"\n'
        "map = ['^[ab]@x.lan -> c@d.test', 'a*@*.lan -> e@f.test']\nadd.X = '{client}'\nhide = 'client'\nlast = true\n"
    )
    rewriting, _ = read(text)
    assert rewriting
    copy = pickle.loads(pickle.dumps(rewriting))
    assert copy.rules == rewriting.rules
    assert isinstance(copy.rules[0].rule.conditions[0], ClientCondition)
    envelope = Envelope(Address("a", "y.lan"), (Recipient(Address("b", "x.test")),), Origin("192.0.2.1", "h", "ESMTP"))
    facts = Facts("192.0.2.1", trusted=True, sender=None)
    block = b"Subject: banana\r\n"
    assert copy.apply(facts, envelope, block) == rewriting.apply(facts, envelope, block)
