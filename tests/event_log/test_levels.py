"""The level and the documented example of each event: code and page have the same events, and the examples are real."""

import ast
import json
import re
from collections.abc import Callable

from harness.daemon import ROOT
from mta.event_log.levels import DEBUG, ERROR, INFO, LEVELS, WARNING, level_of
from mta.event_log.lines import render_json
from mta.event_log.log import EventLog
from mta.event_log.stages import Stages
from mta.message.envelope import Envelope, Origin, Recipient
from mta.message.outcome import Delivered, Failed, TryLater
from mta.queue.interface import Action, QueueId
from mta.smtp.address import Address
from mta.smtp.replies import reply

NOON = 1_795_348_800.25
ID, REPORT = QueueId("0123456789abc"), QueueId("0123456789abd")
APP, BOB = Address("app", "example.org"), Address("bob", "example.net")
HOST = "mx.example.net[192.0.2.1]:25"
CLIENT = "192.0.2.9"
TLS = "TLSv1.3 TLS_AES_256_GCM_SHA384 verified"
MAIL = Envelope(APP, (Recipient(BOB),), Origin(CLIENT, "app", "ESMTP"))
FULL = TryLater("452 4.2.2 mailbox full", HOST, "4.2.2")
NO_SUCH_USER = "550 5.1.1 no such user"

#: A call for each event, in the order of the page.
CALLS: tuple[Callable[[EventLog], object], ...] = (
    lambda log: log.started("1.0.0", "mail.example.org", "/var/spool/smtprelay", 3),
    lambda log: log.listening("0.0.0.0", 25),  # noqa: S104
    lambda log: log.understood("mail goes to the MX hosts of its domains"),
    lambda log: log.recovered(2, 1),
    lambda log: log.notice("the certificate expires in 5 days"),
    lambda log: log.trouble("the queue cannot write: No space left on device"),
    lambda log: log.fault("a session failed", "Traceback (most recent call last): ..."),
    lambda log: log.reloaded("CERTIFICATE_PATH and KEY_PATH, ALIASES_FILE"),
    lambda log: log.rules_taken_up("3 rules in force", "4f2a9c"),
    lambda log: log.stopping(1),
    lambda log: log.stopped(),
    lambda log: log.turned_away(CLIENT, reply(421, "4.7.0", "too many connections from your address")),
    lambda log: log.refused(CLIENT, "app", "app@example.org", "x@example.com", reply(550, "5.7.1", "relaying denied")),
    lambda log: log.session_ended(CLIENT, "app", "connection lost in the middle of a message"),
    lambda log: log.login(CLIENT, "app", "PLAIN", "TLSv1.3 TLS_AES_256_GCM_SHA384"),
    lambda log: log.login_failed(CLIENT, "app", "PLAIN", "", reply(535, "5.7.8", "login failed")),
    lambda log: log.accepted(ID, MAIL, 4321),
    lambda log: log.delivered(ID, BOB, Delivered("250 2.0.0 Ok", HOST), Stages(0.3, 0.1, 0.05, 0.15), TLS),
    lambda log: log.possible_duplicate(ID, BOB),
    lambda log: log.alarm("a recipient is missing from the ledger"),
    lambda log: log.deferred(ID, BOB, FULL, NOON + 900),
    lambda log: log.failed(ID, BOB, Failed(NO_SUCH_USER, HOST, "5.1.1")),
    lambda log: log.discarded(ID, BOB, "20-routes.toml:3"),
    lambda log: log.reported(ID, REPORT, "failed", APP),
    lambda log: log.unreported(ID, "the report to <app@example.org> failed: 550 5.1.1 no such user"),
    lambda log: log.lease_lost(ID),
    lambda log: log.destination_down("example.net", TryLater("connection refused", HOST, "4.4.1"), NOON + 60),
    lambda log: log.destination_up("example.net"),
    lambda log: log.destination_throttled("example.net", "421 4.7.0 too fast", "20 messages a minute", 2, NOON + 30),
    lambda log: log.destination_unthrottled("example.net"),
    lambda log: log.policy("example.net", "sts", "enforce", ["mx.example.net", "*.example.org"], NOON + 604_800),
    lambda log: log.policy_failed(
        "example.com", "mta-sts.example.com: the answer has status 404; mail goes as without a policy"
    ),
    lambda log: log.tls_report("example.net", "tls-reports@example.net", 120, 1),
    lambda log: log.amended(Action.RETRY, [ID], "root"),
)


def example_lines() -> list[str]:
    """Return the line that each call writes."""
    lines: list[str] = []
    for call in CALLS:
        call(EventLog(lines.append, lambda: NOON, render_json))
    return [line.rstrip() for line in lines]


def emitted_events() -> set[str]:
    """Return the events that the code of the event log names."""
    events = set()
    for path in (ROOT / "mta/event_log").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                # `_render` has the time before the event.
                place = 1 if node.func.attr == "_render" else 0 if node.func.attr.startswith("_emit") else None
                if place is not None and isinstance(node.args[place], ast.Constant):
                    events.add(node.args[place].value)
    return events


def test_each_event_of_the_code_has_a_level_and_no_other_event_has_one():
    assert emitted_events() == set(LEVELS)
    assert set(LEVELS.values()) == {DEBUG, INFO, WARNING, ERROR}


def test_the_page_has_an_example_of_each_event_and_of_no_other():
    page = (ROOT / "docs/log-events.md").read_text()
    documented = re.findall(r"^\{.*\}$", page, re.MULTILINE)
    assert documented == example_lines()
    assert {json.loads(line)["event"] for line in documented} == set(LEVELS)


def test_an_example_has_the_level_of_its_event():
    for line in example_lines():
        fields = json.loads(line)
        assert fields["level"] == level_of(fields["event"])
