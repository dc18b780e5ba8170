"""The retry stage of `smtprelay explain`: the terms for each recipient, by the errors that rules ask for."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mta.cli.main import main
from tests.cli.explain.test_explain import BASE

RULES = """\
[[retry]]
name = "partner"
recipient = "partner.test"
schedule = "F,1h,5m"

[[retry]]
sender = "<>"
schedule = "F,2d,1h"
warn_after = false

[[retry]]
error = ["connect", "4.7.*"]
schedule = "F,1w,1h"

[[retry]]
recipient = "slow.test"
unless.error = "dns"
warn_after = "4h"
"""
GENERAL = "F,2h,15m; G,16h,1h,1.5; F,4d,6h (RETRY_SCHEDULE)"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    (tmp_path / "50-retry.toml").write_text(RULES)
    return tmp_path


def explain(rules: Path, *words: str, sender: str = "app@a.test") -> str:
    environ = {"RULES_DIR": str(rules), "RELAY_NETWORKS": "10.0.0.0/8"}
    options = ["--client", "10.0.0.1", "--from", sender, *words]
    return CliRunner().invoke(main, ["explain", *options], env=BASE | environ).stdout


def stage(told: str) -> list[str]:
    """Return the lines of the stage."""
    lines = told.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("retry"))
    return [line.removeprefix("retry").strip() for line in lines[begin:]]


def test_the_rule_that_decides_is_named(rules: Path) -> None:
    assert stage(explain(rules, "--to", "a@partner.test")) == [
        'F,1h,5m (50-retry.toml:1 "partner"); no report of delay'
    ]
    assert stage(explain(rules, "--to", "a@b.test", sender="<>")) == ["F,2d,1h (50-retry.toml:6); no report of delay"]


def test_rules_that_ask_for_errors_have_a_line_each(rules: Path) -> None:
    connect = "after connect, 4.7.*: F,1w,1h (50-retry.toml:11); report of delay after 1d"
    assert stage(explain(rules, "--to", "a@b.test")) == [connect, f"after any other error: {GENERAL}"]
    assert stage(explain(rules, "--to", "a@slow.test")) == [
        connect,
        f"after any error except dns: {GENERAL}; report of delay after 4h (50-retry.toml:15)",
        f"after any other error: {GENERAL}",
    ]


def test_recipients_with_the_same_terms_share_their_lines(rules: Path) -> None:
    told = explain(rules, "--to", "a@b.test", "--to", "b@b.test", "--to", "a@partner.test")
    assert [line.partition(": ")[0] for line in stage(told)] == ["a@b.test, b@b.test"] * 2 + ["a@partner.test"]


def test_the_sender_is_that_which_rewrite_rules_leave(rules: Path) -> None:
    (rules / "60-more.toml").write_text('[[rewrite]]\nset.sender = "new@a.test"\n')
    (rules / "40-more.toml").write_text('[[retry]]\nsender = "new@a.test"\nschedule = "F,5h,1h"\n')
    assert stage(explain(rules, "--to", "a@b.test")) == ["F,5h,1h (40-more.toml:1); no report of delay"]


def test_the_json_has_all_terms(rules: Path) -> None:
    told = json.loads(explain(rules, "--to", "a@b.test", "--json"))
    assert [(each["recipient"], each["errors"], each["rule"], each["setting"]) for each in told["retry"]] == [
        ("a@b.test", "connect, 4.7.*", "50-retry.toml:11", None),
        ("a@b.test", "any other error", None, "RETRY_SCHEDULE"),
    ]
    assert [(each["schedule"], each["warn_after"]) for each in told["retry"]] == [
        ("F,1w,1h", "1d"),
        ("F,2h,15m; G,16h,1h,1.5; F,4d,6h", "1d"),
    ]
