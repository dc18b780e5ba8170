"""`smtprelay explain` tells how mail is carried: the settings of `[[transport]]` rules and SEND_RATE."""

import json
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.explain.test_explain import mail

RULES = """\
[smarthost.office]
hosts = ["[192.0.2.9]:587"]

[[router]]
recipient = "office.test"
smarthost = "office"

[[router]]
recipient = "gone.test"
discard = true

[[transport]]
name = "slowly"
recipient = "b.test"
connections = 2
rate = "30 messages/minute"

[[transport]]
host = "mx2.b.test"
tls = "verify"
connections = 9

[[transport]]
smarthost = ["office", "default"]
helo = "mail.a.test"
source = ["192.0.2.25", "2001:db8::25"]
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    (tmp_path / "30-pace.toml").write_text(RULES)
    return tmp_path


def transport(told: Result) -> list[str]:
    """Return the lines of the stage."""
    lines = told.stdout.splitlines()
    begin = next((number for number, line in enumerate(lines) if line.startswith("transport ")), None)
    if begin is None:
        return []
    end = next(number for number, line in enumerate(lines) if number > begin and not line.startswith(" "))
    return [line[11:] for line in lines[begin:end]]


SLOWLY = 'connections 2, rate 30 messages/minute (30-pace.toml:12 "slowly")'
OFFICE = "helo mail.a.test, source 192.0.2.25 and 2001:db8::25 (30-pace.toml:23)"
OF_ALL = "rate 14 messages/second and 50000 recipients/day (SEND_RATE)"


@pytest.mark.parametrize(
    ("words", "environ", "told"),
    [
        ([], {}, [SLOWLY]),
        (["--dns"], {}, [f"{SLOWLY}; tls verify (30-pace.toml:18)"]),
        ([], {"SMARTHOST_ADDRESS": "smart.test"}, [f"{SLOWLY}; {OFFICE}"]),
        (["--to", "ann@office.test"], {}, [f"bob@b.test: {SLOWLY}", f"ann@office.test: {OFFICE}"]),
        (["--to", "x@other.test"], {}, [f"bob@b.test: {SLOWLY}", "x@other.test: no rule"]),
        (["--to", "x@gone.test", "--to", "y@localhost"], {}, [SLOWLY]),
        (
            ["--to", "x@[192.0.2.1]"],
            {"SEND_RATE": "14 messages/second; 50000 recipients/day"},
            [f"bob@b.test: {SLOWLY}; {OF_ALL}", f"x@[192.0.2.1]: {OF_ALL}"],
        ),
    ],
)
def test_the_settings_and_their_rules_are_told(
    rules: Path, words: list[str], environ: dict[str, str], told: list[str]
) -> None:
    assert transport(mail(*words, RULES_DIR=str(rules), **environ)) == told


def test_hosts_have_the_port_that_a_rule_gives_those_of_the_mx(tmp_path: Path) -> None:
    (tmp_path / "10.toml").write_text('[[transport]]\nrecipient = "b.test"\nport = 2525\n')
    (router,) = route_lines(mail("--dns", RULES_DIR=str(tmp_path)))
    assert router.startswith("the MX hosts of b.test, port 2525: mx1.b.test[192.0.2.1]:2525")


def test_mail_waits_if_a_rule_leaves_no_address_of_its_hosts(tmp_path: Path) -> None:
    (tmp_path / "10.toml").write_text('[[router]]\nhosts = "[2001:db8::1]"\n[[transport]]\nipv6 = false\n')
    told = mail(RULES_DIR=str(tmp_path))
    assert route_lines(told)[0] == (
        "10.toml:1: waits: 2001:db8::1 is an IPv6 address while IPv6 is off: check 10.toml:3;"
        " without that rule: the MX hosts of b.test, port 25"
    )
    assert transport(told) == ["ipv6 false (10.toml:3)"]


def route_lines(told: Result) -> list[str]:
    return [line[11:] for line in told.stdout.splitlines() if line.startswith("router ")]


def test_without_rules_the_stage_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "10.toml").write_text("[[acl]]\naccept = true\n")
    assert transport(mail(RULES_DIR=str(tmp_path))) == []
    assert json.loads(mail("--json", RULES_DIR=str(tmp_path)).stdout)["transport"] == []


def test_json_has_the_settings_of_each_rule(rules: Path) -> None:
    told = json.loads(mail("--json", "--to", "x@other.test", RULES_DIR=str(rules)).stdout)["transport"]
    slowly = {"rule": '30-pace.toml:12 "slowly"', "connections": "2", "rate": "30 messages/minute"}
    assert told == [{"recipient": "bob@b.test", "settings": [slowly]}, {"recipient": "x@other.test", "settings": []}]


def test_unknown_hosts_about_which_a_rule_asks_are_a_remark(rules: Path) -> None:
    remark = "note: [[transport]] rules ask for host, and MX hosts are not looked up; --dns looks them up"
    assert remark in mail(RULES_DIR=str(rules)).stdout.splitlines()
    for words, environ in ((["--dns"], {}), ([], {"SMARTHOST_ADDRESS": "smart.test"})):
        assert remark not in mail(*words, RULES_DIR=str(rules), **environ).stdout.splitlines()


def test_rates_of_accepted_mail_are_a_remark(tmp_path: Path) -> None:
    (tmp_path / "10.toml").write_text('[[acl]]\nover = "1 message/hour"\ndefer = "too fast"\n')
    told = mail(RULES_DIR=str(tmp_path)).stdout
    assert "passes over 10.toml:1: over does not match" in told
    assert "note: rules limit rates (over), and here no mail was sent before; the running relay counts" in told
