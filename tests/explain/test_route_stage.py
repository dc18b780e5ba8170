"""The router stage of `smtprelay explain`: the way of each recipient, the rule that decides, and the way without it."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from mta.cli.main import main
from mta.config.rules.mistakes import RuleMistakes
from mta.config.rules.rule_files import RuleSource
from mta.config.rules.rule_reader import read_book
from mta.config.rules.toml_tables import read_tables
from mta.config.settings import Settings, read_settings
from mta.explain.parts import Sources, deciding_parts
from mta.explain.route_stage import decide_route
from mta.explain.values import RouteKind, RouteVerdict
from mta.message.envelope import Envelope, Origin, Recipient
from mta.routing.choice import Discard, Fail, MxOf, ViaSmarthost
from mta.rules.facts import Facts, HostNotLookedUp
from mta.smtp.address import Address, parse_address
from tests.cli.explain.test_explain import BASE, FRIEND, STRANGER, in_zone

RULES = """\
[smarthost.office]
hosts = ["smart.test:587", "[2001:db8::1]:2525"]
user = "hush-hush"
password_env = "OFFICE_PASSWORD"

[[router]]
name = "partner by VPN"
recipient = "partner.test"
hosts = "192.0.2.25:2525"

[[router]]
recipient = "*@*.gone.test"
fail = "5.1.2 this domain has moved"

[[router]]
sender = "robot@a.test"
discard = true

[[router]]
unless.client = "trusted"
mx = true

[[router]]
recipient = "relayed.test"
mx = "b.test"

[[router]]
sender = ["a.test", "<>"]
smarthost = "office"
"""
OFFICE = "the smarthost office, smart.test:587, [2001:db8::1]:2525, with its login ([smarthost.office] in 20.toml:1)"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "20.toml").write_text(RULES)
    return tmp_path


def explain(directory: Path, *words: str, **environ: str) -> Result:
    rules = {"RULES_DIR": str(directory), "RELAY_NETWORKS": "10.0.0.0/8", "OFFICE_PASSWORD": "hush-hush"}
    return CliRunner().invoke(main, ["explain", *words], env=BASE | rules | environ, obj=in_zone)


def mail(sender: str, to: str, client: str = FRIEND) -> list[str]:
    return ["--from", sender, "--to", to, "--client", client]


def router_lines(told: Result) -> list[str]:
    """Return the lines of the router stage."""
    lines = told.stdout.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("router"))
    end = next((number for number, line in enumerate(lines) if number > begin and line[0] != " "), len(lines))
    return [line[11:] for line in lines[begin:end]]


def test_a_stranger_is_told_what_the_router_rules_make_of_the_recipient(directory: Path) -> None:
    relayed = {"RELAY_DOMAINS": "partner.test;x.gone.test"}
    stranger = ("--from", "x@y.test", "--client", STRANGER)
    moved = explain(directory, *stranger, "--to", "a@x.gone.test", **relayed)
    assert "refused at RCPT: 550 5.1.2 this domain has moved; by 20.toml:11" in moved.stdout
    assert moved.exit_code == 1
    # Its host is an address, and the DNS has no such domain.
    for more in ((), ("--dns",)):
        partner = explain(directory, *stranger, "--to", "a@partner.test", *more, **relayed)
        assert partner.stdout.splitlines()[0] == "acl        accepted: partner.test is in RELAY_DOMAINS"


@pytest.mark.parametrize(
    ("action", "needed"),
    [
        ("mx = true", "a host for mail to b.test"),
        ('mx = "relay.test"', "a host for mail to relay.test"),
        ('hosts = ["a.test", "b.test:587"]', "an address of a.test or b.test"),
        ('hosts = ["a.test", "192.0.2.1"]', ""),
        ("discard = true", ""),
    ],
)
def test_a_stranger_is_told_what_the_dns_must_have_for_the_way_of_a_rule(
    tmp_path: Path, action: str, needed: str
) -> None:
    (tmp_path / "20.toml").write_text(f"[[router]]\n{action}\n")
    relayed = {"RELAY_DOMAINS": "b.test", "SMARTHOST_ADDRESS": "smart.test"}
    told = explain(tmp_path, *mail("x@y.test", "bob@b.test", STRANGER), **relayed)
    reason = f"b.test is in RELAY_DOMAINS{f', if the DNS has {needed} (--dns looks)' if needed else ''}"
    assert told.stdout.splitlines()[0] == f"acl        accepted: {reason}"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            mail("app@a.test", "bob@partner.test"),
            f'20.toml:6 "partner by VPN": 192.0.2.25:2525; without that rule: {OFFICE} by 20.toml:27',
        ),
        (
            mail("app@other.test", "bob@relayed.test"),
            "20.toml:23: the MX hosts of b.test, port 25; without that rule: the MX hosts of relayed.test, port 25",
        ),
        (mail("app@a.test", "bob@b.test"), f"20.toml:27: {OFFICE}; without that rule: the MX hosts of b.test, port 25"),
        (mail("<>", "bob@b.test"), f"20.toml:27: {OFFICE}; without that rule: the MX hosts of b.test, port 25"),
        (
            mail("robot@a.test", "bob@b.test"),
            f"20.toml:15: discarded, without a report; without that rule: {OFFICE} by 20.toml:27",
        ),
        (
            mail("x@other.test", "bob@b.test", STRANGER),
            "20.toml:19: the MX hosts of b.test, port 25; without that rule: the MX hosts of b.test, port 25",
        ),
        (mail("x@other.test", "bob@b.test"), "no rule; the MX hosts of b.test, port 25"),
        (mail("x@other.test", "bob@[192.0.2.7]"), "no rule; the host of the address literal"),
    ],
)
def test_each_choice_is_told_with_its_rule_and_the_way_without_it(directory: Path, words: list[str], told: str) -> None:
    explained = explain(directory, *words, RELAY_DOMAINS="b.test")
    assert router_lines(explained)[0] == told
    assert explained.exit_code == 0


def test_mail_that_a_rule_returns_does_not_go_on(directory: Path) -> None:
    told = explain(directory, *mail("app@a.test", "bob@x.gone.test"))
    assert router_lines(told) == [
        f"20.toml:11: returned to the sender: 5.1.2 this domain has moved; without that rule: {OFFICE} by 20.toml:27",
        'passes over 20.toml:6 "partner by VPN": recipient does not match',
    ]
    assert told.exit_code == 1


def test_the_rules_that_were_passed_over_are_told_with_the_reason(directory: Path) -> None:
    assert router_lines(explain(directory, *mail("x@other.test", "bob@b.test")))[1:] == [
        'passes over 20.toml:6 "partner by VPN": recipient does not match',
        "passes over 20.toml:11: recipient does not match",
        "passes over 20.toml:15: sender does not match",
        "passes over 20.toml:19: unless.client matches",
        "passes over 20.toml:23: recipient does not match",
        "passes over 20.toml:27: sender does not match",
    ]


def test_hosts_are_looked_up_with_dns(directory: Path) -> None:
    told = explain(directory, *mail("app@a.test", "bob@b.test"), "--dns")
    assert "2525: smart.test[192.0.2.9]:587" in router_lines(told)[0].replace(", with its login", "")
    told = explain(directory, *mail("app@x.test", "bob@relayed.test"), "--dns")
    assert "port 25: mx1.b.test[192.0.2.1]:25" in router_lines(told)[0]
    told = explain(directory, *mail("app@a.test", "bob@partner.test"), "--dns")
    assert "192.0.2.25:2525: 192.0.2.25[192.0.2.25]:2525;" in router_lines(told)[0]


def test_the_proof_of_hosts_that_no_look_up_must_find_is_told_without_dns(directory: Path) -> None:
    demanded = ("--tls", "--requiretls")
    for to, host in (("bob@[192.0.2.7]", "192.0.2.7"), ("bob@partner.test", "192.0.2.25")):
        told = explain(directory, *mail("x@other.test", to), *demanded).stdout
        assert f"tls        {host}: with TLS only, a known authority must certify {host} (REQUIRETLS)\n" in told


def test_the_json_has_rule_hosts_and_smarthost(directory: Path) -> None:
    (found,) = json.loads(explain(directory, *mail("app@a.test", "bob@b.test"), "--json").stdout)["router"]
    assert found == {
        "recipient": "bob@b.test",
        "route": "smarthost",
        "hosts": ["smart.test:587", "[2001:db8::1]:2525"],
        "smarthost": "office",
        "setting": "[smarthost.office] in 20.toml:1",
        "rule": "20.toml:27",
        "without_rule": "the MX hosts of b.test, port 25",
        "passed_over": found["passed_over"],
        "demands": [],
        "returned": False,
        "text": "the smarthost office, smart.test:587, [2001:db8::1]:2525, with its login",
    }
    assert len(found["passed_over"]) == 5
    (of_hosts,) = json.loads(explain(directory, *mail("app@a.test", "bob@partner.test"), "--json").stdout)["router"]
    assert (of_hosts["route"], of_hosts["hosts"]) == ("hosts", ["192.0.2.25:2525"])


def test_no_word_shows_a_login(directory: Path) -> None:
    for words in ([], ["--json"], ["--dns"]):
        told = explain(directory, *mail("app@a.test", "bob@b.test"), *words)
        assert told.exit_code == 0
        assert "hush" not in told.output


def test_local_mail_stays_local_whatever_the_rules_say(directory: Path) -> None:
    local = {"OTHER_HOSTNAMES": "partner.test", "LOCAL_DELIVERY": "maildir-create"}
    told = explain(directory, *mail("app@a.test", "bob@partner.test"), **local)
    assert router_lines(told)[0].startswith("local, ")


def test_rules_see_the_message_as_it_was_rewritten(directory: Path) -> None:
    (directory / "10.toml").write_text('[[rewrite]]\nset.sender = "robot@a.test"\nset.recipient = "x@c.test"\n')
    told = explain(directory, *mail("app@other.test", "bob@partner.test"))
    assert router_lines(told)[0].startswith("20.toml:15: discarded")


def test_a_host_name_that_is_not_looked_up_leaves_the_way_open(tmp_path: Path) -> None:
    (tmp_path / "1.toml").write_text('[[router]]\nclient = "office.test"\ndiscard = true\n')
    told = explain(tmp_path, *mail("app@a.test", "bob@b.test"))
    assert router_lines(told) == ["waits until a host name in the rules is looked up"]
    assert "note: rules ask for the addresses of office.test; --dns looks them up" in told.stdout
    assert router_lines(explain(tmp_path, *mail("a@a.test", "b@b.test"), "--dns"))[0].startswith("1.toml:1: discarded")


CONDITIONS = {
    "client": ("'trusted'", "'stranger'", "'203.0.113.0/24'", "['10.0.3.7', '192.0.2.1']", "'office.test'"),
    "login": ("'app'", "['a*', 'eve']", "'other'"),
    "sender": ("'a.test'", "['<>', 'x@*']", "'*'", "'^(app|x)@.*'"),
    "recipient": ("'b.test'", "['bob@*', 'a.test']", "'*@*.test'", "'*@*.b.test'", "'^.*@sub.*'"),
}
ACTIONS = (
    "mx = true",
    "mx = 'relay.test'",
    "discard = true",
    "fail = 'no'",
    "smarthost = 'office'",
    "hosts = 'h.test'",
)
KINDS = {MxOf: RouteKind.MX, Discard: RouteKind.DISCARD, Fail: RouteKind.FAIL}


@st.composite
def rules(draw: st.DrawFn) -> str:
    """A file of router rules, of which some may never apply."""
    lines = ["[smarthost.office]", "hosts = 'smart.test:587'"]
    for _ in range(draw(st.integers(1, 6))):
        lines.append("[[router]]")
        for key in draw(st.lists(st.sampled_from(sorted(CONDITIONS)), max_size=3, unique=True)):
            unless = draw(st.sampled_from(("", "", "unless.")))
            lines.append(f"{unless}{key} = {draw(st.sampled_from(CONDITIONS[key]))}")
        lines.append(draw(st.sampled_from(ACTIONS)))
    return "\n".join(lines)


ADDRESSES = st.sampled_from(["app@a.test", "x@b.test", "bob@b.test", "bob@sub.b.test", "eve@c.test"]).map(parse_address)
ORIGINS = st.builds(
    Origin,
    st.sampled_from([FRIEND, STRANGER, "192.0.2.1"]),
    st.just("app.test"),
    st.just("ESMTP"),
) | st.builds(Origin, st.just(STRANGER), st.just("app.test"), st.just("ESMTPA"), st.sampled_from(["app", "eve"]))


@pytest.fixture(scope="module")
def relay() -> Settings:
    return read_settings(BASE | {"RELAY_NETWORKS": "10.0.0.0/8"}, root=Path("/nowhere"))


@given(rules(), st.none() | ADDRESSES, ADDRESSES, ORIGINS)
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_stage_and_the_rules_agree(
    relay: Settings, text: str, sender: Address | None, recipient: Address, origin: Origin
) -> None:
    tables, _ = read_tables(text)
    mistakes = RuleMistakes()
    book = read_book([RuleSource("r.toml", "r.toml", tables, text)], mistakes)
    assume(not any("can never apply" in line for line in mistakes.lines))
    assert mistakes.lines == []
    assert book is not None
    assert book.router is not None
    told = explained(relay, Sources(book), Envelope(sender, (Recipient(recipient),), origin))
    trusted = origin.client == FRIEND or bool(origin.login)
    try:
        expected = book.router.choose(Facts(origin.client, trusted, sender, recipient, origin.login))
    except HostNotLookedUp:
        assert told.kind is RouteKind.UNDECIDED
        return
    assert told.rule == ("" if expected is None else str(expected.rule))
    if expected is None:
        assert (told.kind, told.otherwise) == (RouteKind.MX, "")
        assert len(told.passed_over) == len(book.router.rules)
        return
    assert told.otherwise
    assert len(told.passed_over) == book.router.rules.index(expected)
    assert told.failed is isinstance(expected.choice, Fail)
    if isinstance(expected.choice, ViaSmarthost):
        assert told.smarthost == expected.choice.smarthost.name
    else:
        assert told.kind is KINDS[type(expected.choice)]


def explained(relay: Settings, sources: Sources, envelope: Envelope) -> RouteVerdict:
    results: list[Any] = []
    asked = decide_route(envelope.recipients[0].address, envelope, deciding_parts(relay, sources, print))
    Deferred.fromCoroutine(asked).addBoth(results.append)
    (told,) = results
    assert isinstance(told, RouteVerdict), told
    return told


def test_the_route_of_an_order_is_that_of_the_next_attempt_alone(relay: Settings) -> None:
    parts = deciding_parts(relay, Sources(None), print)
    envelope = Envelope(None, (Recipient(Address("bob", "b.test")),), Origin.of_relay("relay.test"))
    for way, words in (("mail.c.test:25", "mail.c.test:25"), ("smarthost", "nowhere")):
        results: list[Any] = []
        asked = decide_route(envelope.recipients[0].address, envelope, parts, ordered=way)
        Deferred.fromCoroutine(asked).addBoth(results.append)
        assert results[0].words == (
            f"{words} (the next attempt alone, by the order reroute to {way})"
            "; then again the MX hosts of b.test, port 25"
        )
