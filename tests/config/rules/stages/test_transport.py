"""`[[transport]]` tables: their settings as a carriage, and the mistakes in them."""

import pickle
from unittest.mock import ANY

import pytest

from mta.config.rules.mistakes import RuleMistakes
from mta.config.rules.rule_files import RuleSource
from mta.config.rules.rule_reader import read_book
from mta.config.rules.toml_tables import read_tables
from mta.rate import Rate, RateUnit
from mta.routing.carriage import Carriage, CarriageRate
from mta.routing.route import TlsRule
from mta.rules.transport import TransportRules


def read(text: str) -> tuple[TransportRules | None, list[str]]:
    """Return the rules of a file and the mistakes in it."""
    mistakes = RuleMistakes()
    tables, found = read_tables(text)
    for each in found:
        mistakes.add("1.toml", each.line, each.words)
    book = read_book([RuleSource("1.toml", "1.toml", tables, text)], mistakes)
    return (book.transport if book else None), [line.removeprefix("1.toml:") for line in mistakes.lines]


def carriage(text: str, domain: str = "a.test", smarthost: str = "", *hosts: str) -> Carriage | None:
    rules, mistakes = read(text)
    assert mistakes == []
    assert rules
    return rules.carriage(domain, smarthost, hosts)


EVERY_SETTING = """\
[[transport]]
connections = 2
messages_per_connection = 20
rate = ["14 messages/second", "50000 recipients/day"]
rate_each = "30 messages/minute"
tls = "Verify"
port = 2525
helo = "Mail.Example.com"
source = ["192.0.2.25", "2001:DB8::25"]
ipv6 = false
"""


def test_every_setting_is_read():
    assert carriage(EVERY_SETTING) == Carriage(
        places=("1.toml:1",),
        connections=2,
        messages_per_connection=20,
        rates=(CarriageRate("1.toml:1", (Rate(14, 1), Rate(50000, 86400, RateUnit.RECIPIENTS)), ANY),),
        rates_each=(CarriageRate("1.toml:1", (Rate(30, 60),), ANY),),
        tls=TlsRule.VERIFY,
        port=2525,
        helo="mail.example.com",
        source=("192.0.2.25", "2001:db8::25"),
        ipv6=False,
    )


@pytest.mark.parametrize(
    ("condition", "carried", "other"),
    [
        ('recipient = "a.test"', ("a.test", ""), ("b.a.test", "")),
        ('recipient = ["*@a.test", "*@*.a.test"]', ("b.a.test", ""), ("b.test", "")),
        ('recipient = "+ours"', ("ours.test", ""), ("b.test", "")),
        ('unless.recipient = "a.test"', ("b.test", ""), ("a.test", "")),
        ('host = "*.outlook.test"', ("a.test", "", "mx.outlook.test"), ("a.test", "", "mx.a.test")),
        ('smarthost = "default"', ("a.test", "smarthost", "smtp.test"), ("a.test", "")),
        ('smarthost = ["office"]', ("a.test", "office", "smtp.test"), ("a.test", "smarthost", "smtp.test")),
        ('unless.smarthost = ["default"]', ("a.test", ""), ("a.test", "smarthost", "smtp.test")),
    ],
)
def test_conditions_are_read(condition: str, carried: tuple[str, ...], other: tuple[str, ...]):
    named = "[lists]\nours = ['ours.test']\n[smarthost.office]\nhosts = 'smtp.test'\n"
    text = f"{named}[[transport]]\n{condition}\nport = 2525\n"
    found = carriage(text, *carried)
    assert found
    assert found.port == 2525
    assert carriage(text, *other) is None


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("", "1: this rule sets nothing; connections, rate, tls, helo, source and others do"),
        ('sender = "a.test"\nport = 25', "2: sender belongs to [[acl]], not to [[transport]]"),
        (
            'recipient = "bob@a.test"\nport = 25',
            "2: recipient: 'bob@a.test' names more than a domain, and mail is carried by domains; write *@example.org",
        ),
        ("recipient = '^.*@a\\.test'\nport = 25", "names more than a domain"),
        ('recipient = "<>"\nport = 25', "2: recipient: '<>' names more than a domain"),
        (
            'smarthost = ["default", "ofice"]\nport = 25\n[smarthost.office]\nhosts = "a.test"',
            "2: smarthost = 'ofice': there is no [smarthost.ofice]; did you mean office?",
        ),
        ('unless.smarthost = "defalt"\nport = 25', "there is no [smarthost.defalt]; did you mean default?"),
        ("connections = 0", "2: connections: 0 is no whole number of 1 to 100, which stands without quotes"),
        ("connections = 101", "is no whole number of 1 to 100"),
        ('connections = "2"', "connections: '2' is no whole number of 1 to 100"),
        ("connections = true", "connections: true is no whole number of 1 to 100"),
        ("messages_per_connection = 1.5", "messages_per_connection: 1.5 is no whole number of 1 to 10000"),
        ("port = 65536", "port: 65536 is no whole number of 1 to 65535"),
        ('rate = "30/minute"', "2: rate = '30/minute': a rate is a number of messages or recipients in a time"),
        ('rate = ["1 message/hour", "2 mails/day"]', "2: rate = '2 mails/day': a rate is"),
        ("rate = []", "2: rate: it is empty, which could mean all or none; leave the key out, or name a pattern"),
        ("rate_each = 5", "2: rate_each: 5 is no text; the value is a text or an array of texts"),
        (f"rate = {[f'{number} messages/hour' for number in range(1, 12)]}", "2: rate: there are more than 10 rates"),
        (
            'tls = "verified"',
            "2: tls: 'verified' is none of verify, require, opportunistic, none; did you mean verify?",
        ),
        ("tls = true", "2: tls: true is none of verify, require, opportunistic, none"),
        ('helo = "my host"', "2: helo: 'my host' is no name of a host, helo = \"mail.example.com\""),
        ("helo = 5", "2: helo: 5 is no name of a host"),
        ('source = "eth0"', "2: source: 'eth0' does not appear to be an IPv4 or IPv6 address"),
        ('source = "0.0.0.0"', "2: source: '0.0.0.0' is no address of one host"),
        (
            'source = ["192.0.2.1", "192.0.2.2"]',
            "2: source: there is one address of each family, an IPv4 and an IPv6 address",
        ),
        ('ipv6 = "no"', "2: ipv6: 'no' is neither true nor false, which stand without quotes"),
        ("unless.port = 25", "2: unless.port: port is no condition"),
        ("conections = 2", "2: conections is no condition or action of [[transport]]; did you mean connections?"),
    ],
)
def test_a_mistake_is_told_with_its_line(lines: str, told: str):
    rules, mistakes = read(f"[[transport]]\n{lines}\n")
    assert rules is None
    assert len(mistakes) == 1
    assert told in mistakes[0]


def test_a_rule_whose_settings_others_take_from_all_mail_is_a_mistake():
    _, mistakes = read(
        "[[transport]]\nport = 25\nconnections = 2\n"
        "[[transport]]\nhelo = 'a.test'\n"
        "[[transport]]\nrecipient = 'a.test'\nport = 26\nhelo = 'b.test'\n"
        "[[transport]]\nport = 26\nipv6 = false\n"
    )
    assert mistakes == [
        "6: this rule can never apply: without a condition, 1.toml:1 and 1.toml:4 has its settings",
    ]


def test_rules_can_be_given_to_workers():
    rules, _ = read(EVERY_SETTING)
    assert rules
    copied = pickle.loads(pickle.dumps(rules))
    assert copied.carriage("a.test", "", ()) == rules.carriage("a.test", "", ())


def test_the_rates_of_a_rule_are_known_again_in_another_line_and_not_once_it_is_another_rule():
    rule = '[[transport]]\nrecipient = "a.test"\nrate = "5 messages/hour"\n'
    texts = (rule, f'# words\n\n{rule}name = "slow"\n', f'{rule}unless.recipient = "b.test"\n')
    found = [carriage(text) for text in texts]
    first, moved, changed = (rate for each in found if each for rate in each.rates)
    assert first.rule == moved.rule != changed.rule
    assert first.place != moved.place
