"""`smtprelay explain` with rules: each kind of condition, the rules that were passed over, hints, and mistakes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mta.cli.main import main
from tests.cli.explain.test_explain import BASE, FRIEND, STRANGER, in_zone

RULES = """\
[lists]
partners = ["partner.test", "*@*.partner.test"]

[[acl]]
name = "the exception"
client = "10.0.0.0/8"
sender = "boss@a.test"
accept = true

[[acl]]
sender = ["spam@a.test", '^(dev|ops)-[0-9]+@a\\.test']
deny = "554 5.7.0 not from there"

[[acl]]
unless.recipient = ["+partners", "b.test", "file:LIST"]
unless.login = "app"
defer = "partners only"

[[acl]]
client = "stranger"
tls = false
helo = "*.dyn.test"
deny = "no dynamic names"

[[acl]]
header.Subject = "*invoice*"
hold = true

[[acl]]
larger = "10K"
deny = "552 5.3.4 too large"
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    rules = tmp_path / "rules.d"
    rules.mkdir()
    (tmp_path / "list").write_text("# more recipients\nann@listed.test\n")
    (rules / "10-acl.toml").write_text(RULES.replace("LIST", str(tmp_path / "list")))
    return rules


def explain(directory: Path, *words: str, **environ: str) -> Result:
    rules = {"RULES_DIR": str(directory), "RELAY_NETWORKS": "10.0.0.0/8", "RELAY_DOMAINS": "b.test"}
    return CliRunner().invoke(main, ["explain", *words], env=BASE | rules | environ, obj=in_zone)


def mail(sender: str = "app@a.test", to: str = "bob@b.test", client: str = FRIEND) -> list[str]:
    return ["--from", sender, "--to", to, "--client", client]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (mail(), "accepted: 10.0.3.7 may send anywhere (10.0.0.0/8 in RELAY_NETWORKS)"),
        (
            mail("boss@a.test", "x@other.test"),
            (
                'accepted: 10.0.3.7 may send anywhere (10.0.0.0/8 in RELAY_NETWORKS); by 10-acl.toml:4 "the exception";'
                " without that rule: 451 4.7.1 partners only by 10-acl.toml:14"
            ),
        ),
        (mail("boss@a.test", client="127.0.0.1"), "accepted: 127.0.0.1 may send anywhere (the relay's own host)"),
        (
            mail("spam@a.test"),
            "refused at RCPT: 554 5.7.0 not from there; by 10-acl.toml:10; without that rule: accepted",
        ),
        (
            mail("OPS-7@a.test"),
            "refused at RCPT: 554 5.7.0 not from there; by 10-acl.toml:10; without that rule: accepted",
        ),
        (mail("ops-7x@a.test"), "accepted: 10.0.3.7 may send anywhere (10.0.0.0/8 in RELAY_NETWORKS)"),
        (
            mail(to="x@other.test"),
            "deferred at RCPT: 451 4.7.1 partners only; by 10-acl.toml:14; without that rule: accepted",
        ),
        (mail(to="x@sub.partner.test"), "accepted: 10.0.3.7 may send anywhere (10.0.0.0/8 in RELAY_NETWORKS)"),
        (mail(to="ann@listed.test"), "accepted: 10.0.3.7 may send anywhere (10.0.0.0/8 in RELAY_NETWORKS)"),
        (
            [*mail(client=STRANGER), "--helo", "host.dyn.test"],
            "refused at RCPT: 550 5.7.1 no dynamic names; by 10-acl.toml:19; without that rule: accepted",
        ),
        (
            [*mail(client=STRANGER), "--helo", "host.dyn.test", "--tls"],
            "accepted: b.test is in RELAY_DOMAINS, if the DNS has a host for mail to b.test (--dns looks)",
        ),
    ],
)
def test_each_kind_of_condition_decides_and_is_named(directory: Path, words: list[str], told: str) -> None:
    shown = explain(directory, *words)
    assert shown.stdout.splitlines()[0] == f"acl        {told}"
    assert shown.exit_code == (0 if told.startswith("accepted") else 1)


def test_a_size_is_refused_at_mail_if_no_other_rule_could_decide_otherwise(directory: Path) -> None:
    late = explain(directory, *mail(), "--size", "11K")
    assert "refused after the data: 552 5.3.4 too large; by 10-acl.toml:29; without that rule: accepted" in late.stdout
    (directory / "10-acl.toml").write_text('[[acl]]\nlarger = "10K"\ndeny = "552 5.3.4 too large"\n')
    early = explain(directory, *mail(), "--size", "11K")
    assert (
        early.stdout
        == "acl        refused at MAIL: 552 5.3.4 too large; by 10-acl.toml:1; without that rule: accepted\n"
    )
    assert (late.exit_code, early.exit_code) == (1, 1)


def test_a_login_is_a_fact_that_rules_know(directory: Path) -> None:
    users = {"AUTH_USERS": "app:{PLAIN}a-secret\nother:{PLAIN}a-secret", "AUTH_IN_CLEAR": "trusted"}
    excepted = explain(directory, *mail(to="x@other.test", client=STRANGER), "--login", "app", **users)
    assert excepted.stdout.startswith("acl        accepted: the user app may send anywhere\n")
    assert "passes over 10-acl.toml:14: unless.login matches" in excepted.stdout
    refused = explain(directory, *mail(to="x@other.test", client=STRANGER), "--login", "other", **users)
    assert refused.stdout.startswith("acl        deferred at RCPT: 451 4.7.1 partners only; by 10-acl.toml:14")


def test_a_stranger_is_refused_by_the_settings_before_any_rule(directory: Path) -> None:
    shown = explain(directory, *mail("boss@a.test", "x@other.test", STRANGER))
    assert shown.stdout.startswith("acl        refused at RCPT: 550 5.7.1 relay not permitted")
    assert "10-acl.toml" not in shown.stdout


def test_a_message_that_is_held_for_one_recipient_waits_for_all(directory: Path) -> None:
    (directory / "10-acl.toml").write_text('[[acl]]\nrecipient = "ceo@b.test"\nhold = true\n')
    words = ("--from", "x@a.test", "--client", FRIEND, "--to", "ceo@b.test")
    note = "note: 10-acl.toml:1 holds the whole message, so it waits for all its recipients\n"
    assert note in explain(directory, *words, "--to", "ann@b.test").stdout
    assert note not in explain(directory, *words).stdout
    assert note not in explain(directory, *words, "--to", "ann@b.test", "--size", "900M").stdout


def test_a_held_message_goes_on_when_it_is_released(directory: Path) -> None:
    shown = explain(directory, *mail(), "--header", "Subject: =?utf-8?q?An_Invoice?=", "--json")
    found = json.loads(shown.stdout)
    assert (shown.exit_code, found["goes_on"]) == (0, True)
    assert [each["verdict"] for each in found["acl"]] == ["accepted", "held"]
    assert found["acl"][1] == {
        "command": "DATA",
        "recipient": None,
        "verdict": "held",
        "reply": None,
        "reason": None,
        "rule": "10-acl.toml:25",
        "without_rule": "accepted",
        "passed_over": [],
    }


def test_the_rules_that_were_passed_over_are_told_with_the_condition(directory: Path) -> None:
    lines = explain(directory, *mail(to="x@partner.test")).stdout.splitlines()
    assert [line.strip() for line in lines if "passes over" in line] == [
        'passes over 10-acl.toml:4 "the exception": sender does not match',
        "passes over 10-acl.toml:10: sender does not match",
        "passes over 10-acl.toml:14: unless.recipient matches",
        "passes over 10-acl.toml:19: client does not match",
        "passes over 10-acl.toml:25: header.Subject does not match",
        "passes over 10-acl.toml:29: larger does not match",
    ]


def test_many_rules_that_were_passed_over_are_counted(directory: Path) -> None:
    rules = (f'[[acl]]\nsender = "x{number}@y.test"\ndeny = "no"\n' for number in range(40))
    (directory / "10-acl.toml").write_text("".join(rules))
    shown = explain(directory, *mail())
    assert shown.stdout.count("passes over") == 10
    assert "and 30 more rules (--json lists them)" in shown.stdout
    assert len(json.loads(explain(directory, *mail(), "--json").stdout)["acl"][0]["passed_over"]) == 40


def test_facts_that_rules_ask_for_and_the_arguments_lack_are_told(directory: Path) -> None:
    shown = explain(directory, *mail())
    assert [line for line in shown.stdout.splitlines() if line.startswith("note: ")] == [
        "note: rules ask for header.Subject, and the message has no header; give it by --header",
        "note: rules ask for larger, and the message has no size; give it by --size",
    ]
    known = explain(directory, *mail(), "--header", "Subject: hello", "--size", "1K")
    assert "note: " not in known.stdout


def test_a_host_name_in_a_rule_is_looked_up_with_dns_only(directory: Path) -> None:
    (directory / "10-acl.toml").write_text('[[acl]]\nclient = "office.test"\ndeny = "not from the office"\n')
    unknown = explain(directory, *mail())
    assert "deferred at RCPT: 451 4.4.3 a host name in the rules of this relay" in unknown.stdout
    assert "note: rules ask for the addresses of office.test; --dns looks them up" in unknown.stdout
    known = explain(directory, *mail(), "--dns")
    assert "refused at RCPT: 550 5.7.1 not from the office; by 10-acl.toml:1" in known.stdout
    assert "accepted: " in explain(directory, *mail(client="10.9.9.9"), "--dns").stdout


def test_variables_are_named_as_rules(directory: Path) -> None:
    (directory / "10-acl.toml").unlink()
    shown = explain(directory, *mail(), ALLOWED_SENDERS="other.test")
    assert "; by ALLOWED_SENDERS; without that rule: accepted" in shown.stdout
    assert shown.exit_code == 1


def test_mistakes_in_rules_have_status_2(directory: Path) -> None:
    (directory / "20-more.toml").write_text('[[acl]]\nrecipeint = "a@b.test"\ndeny = "no"\n')
    shown = explain(directory, *mail(), PORT="x")
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert "20-more.toml:2: " in shown.stderr
    assert "did you mean recipient?" in shown.stderr
    assert "PORT='x'" in shown.stderr
