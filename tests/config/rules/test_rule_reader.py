"""Rule books from files: conditions and actions as they are written, and each mistake with its place."""

import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.certificates import authority
from mta.config.rules.keys.key import STAGES, KeyRole, RuleKey, ValueForm
from mta.config.rules.keys.table import KEYS
from mta.config.rules.mistakes import RuleMistakes
from mta.config.rules.rule_files import RuleSource
from mta.config.rules.rule_reader import MAX_RULES, read_book
from mta.config.rules.toml_tables import read_tables
from mta.rate import Rate, RateUnit
from mta.rules.acl import Acl, Ruling
from mta.rules.actions import Accept, Hold
from mta.rules.book import RuleBook
from mta.rules.conditions import OverCondition, Per
from mta.rules.facts import Facts
from mta.smtp.address import parse_address

IN_FILE = "the line is no pattern for this key; a line has one, such as example.com or bob@example.com"


def read(*texts: str) -> tuple[RuleBook | None, list[str]]:
    """Return the book of these files, which are called 1.toml, 2.toml and so on, and the mistakes."""
    mistakes = RuleMistakes()
    sources = []
    for number, text in enumerate(texts, 1):
        tables, found = read_tables(text)
        for each in found:
            mistakes.add(f"/r/{number}.toml", each.line, each.words)
        sources.append(RuleSource(f"/r/{number}.toml", f"{number}.toml", tables, text))
    return read_book(sources, mistakes), mistakes.lines


def acl(*texts: str) -> Acl:
    book, mistakes = read(*texts)
    assert mistakes == []
    assert book
    assert book.acl
    return book.acl


def mistakes_in(rule: str) -> list[str]:
    book, mistakes = read(f"[[acl]]\n{rule}")
    assert book is None
    return [line.removeprefix("/r/1.toml:") for line in mistakes]


def facts(sender: str = "a@a.test", recipient: str = "b@b.test", client: str = "192.0.2.1", **others: object) -> Facts:
    return Facts(
        client=client,
        trusted=bool(others.pop("trusted", False)),
        sender=parse_address(sender) if sender else None,
        recipient=parse_address(recipient),
        **others,  # type: ignore[arg-type]  # the tests give fields of Facts
    )


def applies(rule: str, **given_facts: object) -> bool:
    (only,) = acl(f"[[acl]]\n{rule}\naccept = true").rules
    return only.rule.applies(facts(**given_facts))  # type: ignore[arg-type]


def ruled(found: Ruling | None) -> str:
    assert found
    return str(found.rule)


@pytest.mark.parametrize(
    ("rule", "matching", "other"),
    [
        ('sender = "a.test"', {"sender": "x@A.test"}, {"sender": "x@b.a.test"}),
        ('sender = ["b@c.test", "<>"]', {"sender": ""}, {"sender": "b@d.test"}),
        ('unless.sender = "a.test"', {"sender": "x@b.test"}, {"sender": "x@a.test"}),
        ("sender = '^[0-9]+@a\\.test'", {"sender": "12@a.test"}, {"sender": "x12@a.test"}),
        ('recipient = "bob@*"', {"recipient": "Bob@x.test"}, {"recipient": "rob@x.test"}),
        ('client = "192.0.2.0/24"', {}, {"client": "192.0.3.1"}),
        ('client = "2001:db8::/32"', {"client": "2001:db8::1"}, {}),
        ('client = ["10.0.0.1", "trusted"]', {"trusted": True}, {}),
        ('client = "Stranger"', {}, {"trusted": True}),
        ('login = "printer-*"', {"login": "printer-2"}, {"login": ""}),
        ('helo = "*.a.test"', {"helo": "x.A.test"}, {"helo": "a.test"}),
        ("tls = false", {}, {"tls": True}),
        ('larger = "1K"', {"size": 1025}, {"size": 1024}),
        ("larger = 1000", {"size": 1001}, {"size": 1000}),
        ('header.SUBJECT = "*win*"', {"header": b"Subject: you win now\r\n"}, {"header": b"Subject: no\r\n"}),
        ('unless.header.X-A = ["1", "2"]', {"header": b"X-A: 3\r\n"}, {"header": b"x-a: 2\r\n"}),
    ],
)
def test_conditions_are_what_is_written(rule: str, matching: dict[str, object], other: dict[str, object]) -> None:
    assert applies(rule, **matching)
    assert not applies(rule, **other)


def test_actions_are_what_is_written() -> None:
    rules = acl(
        '[[acl]]\nsender = "a.test"\ndeny = "no"\n'
        '[[acl]]\nsender = "b.test"\ndeny = "554 5.7.0 never"\n'
        '[[acl]]\nsender = "c.test"\ndefer = "later"\n'
        '[[acl]]\nsender = "d.test"\naccept = true\n'
        '[[acl]]\nname = "in doubt"\nhold = true\n'
    ).rules
    replies = [Ruling(one.rule, one.action).refusal for one in rules]
    assert list(map(str, replies[:3])) == ["550 5.7.1 no", "554 5.7.0 never", "451 4.7.1 later"]
    assert [type(one.action) for one in rules[3:]] == [Accept, Hold]
    assert [str(one.rule) for one in rules[3:]] == ["1.toml:10", '1.toml:13 "in doubt"']


def test_files_and_rules_keep_their_order() -> None:
    found = acl('[[acl]]\nsender = "a.test"\naccept = true\n', '\n[[acl]]\ndeny = "no"\n')
    assert ruled(found.at_recipient(facts())) == "1.toml:1"
    assert ruled(found.at_recipient(facts("x@b.test"))) == "2.toml:2"


def test_without_rules_there_is_no_book() -> None:
    assert read() == (None, [])
    assert read('[lists]\nstaff = ["a.test"]\n') == (None, [])


def test_lists_may_stand_in_another_file_and_name_files(tmp_path: Path) -> None:
    (tmp_path / "domains").write_text("# ours\n\nb.test \r\nc.test\n")
    rule = f'[[acl]]\nsender = ["+staff", "x@d.test"]\nrecipient = "file:{tmp_path}/domains"\naccept = true\n'
    (only,) = acl(rule, f'[lists]\nstaff = ["a.test", "file:{tmp_path}/domains"]\n').rules
    for sender in ("a@a.test", "a@b.test", "a@c.test", "x@d.test"):
        assert only.rule.applies(facts(sender))
    assert not only.rule.applies(facts("a@d.test"))
    assert not only.rule.applies(facts(recipient="b@a.test"))


def test_a_mistake_in_a_list_is_told_once_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "domains"
    file.write_text("a.test\nno good\n")
    rules = f'[[acl]]\nsender = "+staff"\nrecipient = "file:{file}"\naccept = true\n'
    rules += '[[acl]]\nsender = "+staff"\nhold = true\n'
    assert read(rules, '[lists]\nstaff = [\n "a.test",\n "b c",\n]\n')[1] == [
        "/r/2.toml:4: sender: 'b c' is not an address pattern: several patterns are an array of texts",
        f"{file}:2: recipient: {IN_FILE}",
    ]


def test_lists_that_cannot_be_read_are_told_where_they_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("# nothing\n")
    (tmp_path / "latin").write_bytes(b"caf\xe9@a.test\n")
    named = ["+stuff", "file:{0}/none", "file:{0}", "file:{0}/empty", "file:{0}/latin", "file:x"]
    rule = "[[acl]]\nsender = [\n" + "".join(f"'{each}',\n" for each in named) + "]\nhold = true\n"
    assert read(rule.format(tmp_path), '[lists]\nstaff = "a.test"\n')[1] == [
        "/r/1.toml:3: +stuff: [lists] has no such list; did you mean staff?",
        f"/r/1.toml:4: file:{tmp_path}/none: the file cannot be read: No such file or directory",
        f"/r/1.toml:5: file:{tmp_path}: the file cannot be read: Is a directory",
        f"/r/1.toml:6: file:{tmp_path}/empty: the list is empty, which could mean all or none; leave the condition out",
        f"/r/1.toml:7: file:{tmp_path}/latin: the file is not UTF-8 text",
        "/r/1.toml:8: file:x: the path of a list begins with /, file:/etc/smtprelay/lists/staff",
    ]


def test_a_list_has_clients_and_not_the_words_for_them() -> None:
    rule = '[[acl]]\nclient = ["+office", "trusted"]\nhold = true\n'
    (only,) = acl(rule, '[lists]\noffice = ["192.0.2.0/24", "trust.test"]\n').rules
    assert only.rule.applies(facts())
    assert only.rule.host_names == ("trust.test",)
    assert read(rule, '[lists]\noffice = ["stranger"]\n')[1] == [
        "/r/2.toml:2: client = 'stranger': the word stands in the rule itself, not in a list"
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[lists]\na.b = ['x']\n", "2: a.b: the name of a list has no dots"),
        ("[lists]\na = []\n", "2: a: it is empty, which could mean all or none; leave the key out, or name a pattern"),
        ("[lists]\na = 5\n", '2: a: 5 is no text; the value is an array of texts, a = ["a.test"]'),
        ("[[lists]]\na = 'x'\n", "1: [[lists]] would be several tables; lists stand in one table, [lists]"),
        ("[lists]\na = 'x'\n[lists]\n", "3: [lists] is there twice in this file; put all lists into one table"),
    ],
)
def test_mistakes_in_tables_of_lists(text: str, words: str) -> None:
    assert read(text)[1] == [f"/r/1.toml:{words}"]


def test_a_list_has_one_place_and_names_no_other() -> None:
    rule = '[[acl]]\nsender = "+b"\nhold = true\n'
    assert read('[lists]\na = "x.test"\nb = ["+a"]\n', '[lists]\na = "y.test"\n', rule)[1] == [
        "/r/1.toml:3: +a: a list names no other list; name both in the rule",
        "/r/2.toml:2: there is another list a; each has a name of its own",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('recipeint = "a.test"', "recipeint is no condition or action of [[acl]]; did you mean recipient?"),
        ('Sender = "a.test"', "Sender is no condition or action of [[acl]]; did you mean sender?"),
        ('hosts = "a.test"', "hosts belongs to [[router]], not to [[acl]]"),
        ('set.sender = "a@a.test"', "set.sender belongs to [[rewrite]], not to [[acl]]"),
        ("PORT = 25", "PORT is a setting, and settings are environment variables"),
        ('unless = "x"', "unless: unless is followed by a condition, unless.sender = ..."),
        ('unless.sendr = "x"', "unless.sendr: sendr is no condition; did you mean sender?"),
        ('unless.deny = "x"', "unless.deny: deny is no condition"),
        ('header = "x"', "header: header is followed by the name of a field, header.Subject = ..."),
        ('header."a b" = "x"', "header.a b: this is not the name of a header field, header.Subject"),
        ('sender = ""', "sender: it is empty, which could mean all or none; leave the key out, or name a pattern"),
        ("sender = []", "sender: it is empty, which could mean all or none; leave the key out, or name a pattern"),
        (
            "sender = ['a.test', 5]",
            "sender: 5 is no text; the value is an address pattern, or an array of them, sender = [",
        ),
        ("tls = 'yes'", "tls: 'yes' is neither true nor false, which stand without quotes"),
        ("larger = 'big'", 'larger: not a size: a number above 0, which K, M or G may follow; larger = "10M"'),
        ("larger = -5", 'larger: not a size: a number above 0, which K, M or G may follow; larger = "10M"'),
        ("client = '!10.0.0.1'", "client = '!10.0.0.1': an exception stands in a key of its own, unless.client"),
        ("client = '10.0.0.1 10.0.0.2'", "client = '10.0.0.1 10.0.0.2': several clients are an array of texts"),
        ("client = '10.0.0.300'", "client: '10.0.0.300' is not a network or an address"),
        (
            "client = 'trustd'",
            "client = 'trustd': did you mean trusted? A host name that is like it ends in a dot, trustd.",
        ),
        ("name = 5", 'name: 5 is no text of 1 to 100 printable characters, name = "staff"'),
        ("login = '^(a'", "login: '^(a'"),
        ("recipient = ['a.test', '<>']", "recipient: <> is the null sender, and no recipient"),
    ],
)
def test_each_mistake_of_a_key_is_told_with_its_line(line: str, words: str) -> None:
    (told,) = mistakes_in(f"{line}\ndeny = 'no'")
    assert told.startswith(f"2: {words}")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("", "1: a rule has one action of accept, deny, defer, hold, and this one has none"),
        (
            "accept = true\nhold = true",
            "1: a rule has one action of accept, deny, defer, hold, and this one has accept and hold",
        ),
        ("accept = false", "2: accept: false has no meaning; write accept = true, or leave the key out"),
        ("deny = true", '2: deny: true is no text; the words stand in quotes, deny = "no"'),
        (
            "deny = '450 later'",
            '2: deny: 450 does not fit: a deny has 5yz, a defer 4yz; deny = "554 5.7.0 not from here"',
        ),
        ("deny = no", '2: deny = no: text stands in quotes, deny = "no"'),
        (
            "recipient = 'a.test'\nlarger = '1M'\nhold = true",
            "1: recipient and header. or larger cannot stand in one rule, because a message has one answer",
        ),
    ],
)
def test_each_mistake_of_an_action_is_told_with_its_line(rule: str, words: str) -> None:
    assert mistakes_in(rule) == [words]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("[acl]", "[acl] would be one table; a rule begins with [[acl]]"),
        ("[main]", "[main] is no table of rules; named lists stand in [lists], and options are environment variables"),
        ("[auth]", "[auth] is no table of rules; the login at a smarthost stands in [smarthost.NAME]"),
        ("[[alc]]", "[[alc]] is no table of rules; did you mean acl?"),
        ("[[acl rules]]", "[[acl rules]] begins no table; the line must be [[acl]] alone"),
        ('[""]', "[] is no table of rules; a rule begins with [[acl]]"),
        ("[something]", "[something] is no table of rules; a rule begins with [[acl]]"),
        ("[acl.unless]", "[acl.unless] is no table of rules; write unless.KEY = ... in the rule itself"),
        ("PORT = 25", "PORT is a setting, and settings are environment variables"),
        ("deny = 'x'", "deny stands before the first table; a rule begins with [[acl]]"),
    ],
)
def test_other_tables_are_mistakes(table: str, words: str) -> None:
    rest = "\nsender = 'b.test'\ndeny = 'x'" if table == "[acl]" else ""
    book, (told,) = read(f"{table}{rest}\n[[acl]]\nsender = 'a.test'\naccept = true")
    assert book is None
    assert told.startswith(f"/r/1.toml:1: {words}")


def test_a_rule_behind_one_without_conditions_is_a_mistake() -> None:
    assert read("[[acl]]\nname = 'all'\naccept = true\n\n[[acl]]\nhold = true\n")[1] == [
        "/r/1.toml:5: this rule can never apply: the one in line 1 has no condition"
    ]
    assert read("[[acl]]\naccept = true\n", "[[acl]]\nsender = 'a.test'\nhold = true\n")[1] == [
        "/r/2.toml:1: this rule can never apply: the one in 1.toml:1 has no condition"
    ]


def test_a_special_case_behind_the_general_one_is_a_mistake() -> None:
    rule = "[[acl]]\nrecipient = {}\nhold = true\n"
    general, special = rule.format("['a.test', 'b.test']"), rule.format("'bob@a.test'")
    assert read(special + general)[1] == []
    assert read(general + special)[1] == [
        "/r/1.toml:4: this rule can never apply: the one in line 1 applies whenever it does"
    ]
    assert read(rule.format("'a.test'"), rule.format("'b.test'"), general)[1] == [
        "/r/3.toml:1: this rule can never apply: those in 1.toml:1 and 2.toml:1 apply whenever it does"
    ]


def test_a_rule_whose_patterns_cannot_be_read_is_not_compared() -> None:
    rule = "[[acl]]\nsender = '{}'\nhold = true\n"
    assert len(read(rule.format("a b") + rule.format("c d"))[1]) == 2


def test_there_may_be_2000_rules() -> None:
    rules = [f"[[acl]]\nsender = '{number}.test'\naccept = true\n" for number in range(MAX_RULES + 2)]
    assert len(acl("".join(rules[:MAX_RULES])).rules) == MAX_RULES
    assert read("".join(rules))[1] == [
        f"/r/1.toml:{3 * MAX_RULES + 1}: there are more than 2000 rules; name many addresses by a list"
    ]


def test_the_mistakes_that_are_listed_are_bounded() -> None:
    told = read(*["x y\n" * 60] * 4)[1]
    assert len(told) == 101
    assert told[-1] == "the rules have 104 more mistakes"


def test_a_book_goes_to_another_process() -> None:
    text = (
        "[[acl]]\nclient = ['10.0.0.0/8', 'host.test', 'trusted']\nsender = ['^x.*@a.test', 'b-*@*.c.test']\n"
        "header.Subject = '*x*'\nunless.login = 'y'\ntls = true\nlarger = '1M'\ndeny = 'no'\n"
        "[[acl]]\nrecipient = 'd.test'\nhelo = 'z'\nhold = true\n[[acl]]\ndefer = 'later'\n"
    )
    book, _ = read(text)
    copy = pickle.loads(pickle.dumps(book))
    assert book
    assert book.acl
    assert copy.digest == book.digest
    assert copy.acl.rules == book.acl.rules
    for asked in (facts(), facts(recipient="a@d.test", helo="z"), facts("x1@a.test")):
        assert copy.acl.at_recipient(asked) == book.acl.at_recipient(asked)


def test_the_digest_follows_files_and_lists(tmp_path: Path) -> None:
    file = tmp_path / "list"
    digests = set()
    for content, deny in (("a.test", "no"), ("b.test", "no"), ("b.test", "never")):
        file.write_text(content)
        book, _ = read(f"[[acl]]\nsender = 'file:{file}'\ndeny = '{deny}'\n")
        assert book
        assert re.fullmatch("[0-9a-f]{8}", book.digest)
        digests.add(book.digest)
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("stage", "key"),
    [(stage, key) for key in KEYS for stage in key.stages if stage in STAGES],
    ids=lambda each: each if isinstance(each, str) else each.name,
)
def test_the_example_of_each_key_can_be_read(stage: str, key: RuleKey, tmp_path: Path) -> None:
    example = key.example
    if key.form is ValueForm.PATH:
        example = f"'{authority().write(tmp_path)}'\ntls = 'verify'"
    name = key.name.replace("NAME", "Subject")
    actions = {
        "acl": "hold = true\n",
        "rewrite": "add.X-Tag = 'x'\nmap = 'a.test -> b@c.test'\n",
        "router": "hosts = 'a.test'\n",
        "transport": "connections = 1\n",
        "retry": "warn_after = false\n",
    }
    rest = "" if key.role in {KeyRole.ACTION, KeyRole.SETTING} else actions[stage]
    if key.name == "per":
        rest += "over = '1 message/day'\n"
    book, told = read(f"[[{stage}]]\n{name} = {example}\n{rest}[smarthost.office]\nhosts = 'a.test'\n")
    assert told == []
    assert book
    assert len(book.rules) == 1


def words_of_rules() -> st.SearchStrategy[str]:
    names = [key.name.replace("NAME", "Subject") for key in KEYS]
    keys = st.sampled_from([*names, *(f"unless.{name}" for name in names), "password", "sendr", "x.y.z"])
    values = st.sampled_from(
        [
            "true",
            "'a.test'",
            "['trusted', '10.0.0.0/8']",
            "'+a'",
            "'file:/nowhere'",
            "no",
            "[]",
            "''",
            "5",
            "1.5",
            "2020-01-01",
            "['^a+@b', 7]",
            "{ a = 1 }",
            "'450 x'",
            "25",
            "'30 messages/minute'",
            "[['a']]",
        ]
    )
    lines = st.tuples(keys, values).map(" = ".join) | st.sampled_from(
        ["[[acl]]", "[lists]", "a = ['x']", "[[retry]]", "]", "[[router]]", "[smarthost.a]", "smarthost = 'a'"]
    )
    return st.lists(lines, max_size=12).map("\n".join)


@given(st.lists(words_of_rules() | st.text(max_size=30), max_size=3))
def test_any_text_gives_a_book_or_mistakes_with_file_and_line(texts: list[str]) -> None:
    book, told = read(*texts)
    assert book is None or told == []
    for line in told:
        found = re.match(r"/r/([0-9])\.toml:([0-9]+): .", line)
        assert found, line
        assert 1 <= int(found[2]) <= texts[int(found[1]) - 1].count("\n") + 1


LIMIT = '[[acl]]\nname = "slow"\nover = ["100 messages/hour", "5 recipients/second"]\nper = "login"\ndefer = "slow"\n'


def limits(*texts: str) -> list[OverCondition]:
    return [one for each in acl(*texts).rules for one in each.rule.conditions if isinstance(one, OverCondition)]


def test_a_rate_and_whose_it_is_are_read() -> None:
    (limit,) = limits(LIMIT)
    assert limit.rates == (Rate(100, 3600), Rate(5, 1, RateUnit.RECIPIENTS))
    assert limit.per is Per.LOGIN
    (by_client,) = limits('[[acl]]\nover = "1 message/hour"\ndefer = "slow"')
    assert by_client.per is Per.CLIENT


def test_the_counts_of_a_rule_belong_to_its_text_without_its_name() -> None:
    (limit,) = limits(LIMIT)
    same = (LIMIT, LIMIT.replace("slow", "fast", 1), f"[[acl]]\nsender = 'x.test'\naccept = true\n{LIMIT}")
    for text in same:
        assert limits(text)[0].rule == limit.rule
    for text in (LIMIT.replace("100", "101"), LIMIT.replace('"slow"', '"slower"'), f"{LIMIT}\nsender = 'x.test'"):
        changed = limits(text.replace("fast", "slow"))[0]
        assert (changed.rule == limit.rule) == (text == same[1])


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (
            'over = "100/hour"\ndeny = "x"',
            "2: over = '100/hour': a rate is a number of messages or recipients in a time",
        ),
        ('per = "login"\ndeny = "x"', "1: per belongs to over, and this rule has none"),
        (
            'over = "1 message/hour"\nper = "user"\ndeny = "x"',
            "3: per: 'user' is none of client, login, sender",
        ),
        ('over = "1 message/hour"\nper = ["login"]\ndeny = "x"', "3: per: ['login'] is none of client, login, sender"),
        (
            'unless.over = "1 message/hour"\ndeny = "x"',
            "1: a rate is no exception: mail beyond it is refused by a rule",
        ),
        (
            'over = "1 recipient/hour"\nlarger = "1M"\ndeny = "x"',
            "1: over counts messages in a rule with header. or larger, because a message has one answer",
        ),
        ('over = ""\ndeny = "x"', "2: over: it is empty"),
    ],
)
def test_mistakes_about_rates_are_told(rule: str, told: str) -> None:
    (mistake,) = mistakes_in(rule)
    assert mistake.startswith(told)
