"""The fail2ban filter of docs/submission.md on lines of the event log."""

import configparser
import re

import pytest

from mta.event_log.log import EventLog
from mta.smtp.replies import Reply, reply
from tests.deploy.manifests import ROOT

PAGE = ROOT / "docs" / "submission.md"
# fail2ban's name for an address, and the prefix that its common.conf defines, in the form that journald gives.
ADDR = r"(?P<ip>[0-9a-fA-F.:]+)"
PREFIX = r"(?:\S+ (?:smtprelay|twistd)\[\d+\]: )"
WRONG = reply(535, "5.7.8", "user or password is wrong")


def expression() -> "re.Pattern[str]":
    (block,) = [text for text in re.findall(r"```ini\n(.*?)```", PAGE.read_text(), re.DOTALL) if "failregex" in text]
    parser = configparser.RawConfigParser()
    parser.read_string(block)
    text = parser["Definition"]["failregex"]
    return re.compile(text.replace("<ADDR>", ADDR).replace("%(__prefix_line)s", PREFIX))


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def event_log(lines: list[str]) -> EventLog:
    return EventLog(lines.append, lambda: 0.0)


def seen(line: str) -> list[str]:
    """Return the line as fail2ban sees it from a file, without its date, and from the journal, with its prefix."""
    return [line.partition(" ")[2], f" {line.partition(' ')[2]}", f"mail.example.org twistd[123]: {line}"]


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
@pytest.mark.parametrize("user", ["", "app"])
@pytest.mark.parametrize("verdict", [WRONG, reply(421, "4.7.0", "too many failed logins")], ids=lambda it: str(it.code))
def test_a_failed_login_is_found_with_its_address(
    lines: list[str], event_log: EventLog, address: str, user: str, verdict: Reply
) -> None:
    event_log.login_failed(address, user, "PLAIN", "TLSv1.3 TLS_AES_256_GCM_SHA384", verdict)
    for text in seen(lines[0]):
        found = expression().match(text)
        assert found is not None
        assert found["ip"] == address


def test_a_login_that_the_relay_could_not_check_bans_no_client(lines: list[str], event_log: EventLog) -> None:
    event_log.login_failed("192.0.2.7", "app", "PLAIN", "TLSv1.3", reply(454, "4.7.0", "too many logins at once"))
    event_log.login("192.0.2.7", "app", "PLAIN", "TLSv1.3")
    assert [text for line in lines for text in seen(line) if expression().match(text)] == []


def test_a_client_cannot_have_another_one_banned_by_its_words(lines: list[str], event_log: EventLog) -> None:
    event_log.session_ended("192.0.2.7", 'x login-failed client=192.0.2.8 reply="535 ', "too many errors")
    event_log.session_ended("192.0.2.7", "login-failed client=192.0.2.8 535", 'reply="535 5.7.8')
    assert [text for line in lines for text in seen(line) if expression().match(text)] == []
