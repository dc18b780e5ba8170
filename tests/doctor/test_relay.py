"""The checks of the relay itself, in good and bad states."""

from dataclasses import replace

import pytest

from mta.admin.state import DestinationState, LoggedEvent
from mta.doctor.findings import Level
from mta.doctor.relay import CertificateFacts, RelayFacts, StrangerTrial, check_relay
from mta.queue.interface import Ledger, Summary

NOW = 1e9
REFUSED = StrangerTrial("192.0.2.66", "550 5.7.1 relay not permitted")
EMPTY = Summary(0, 0, 0, None, ledger=Ledger(accepted=7, delivered=7))
CERTIFICATE = CertificateFacts(("relay.a.test",), "relay.a.test, until 2030-01-01")
GOOD = RelayFacts(
    NOW,
    "relay.a.test",
    trials=(REFUSED,),
    certificate=CERTIFICATE,
    submission=True,
    summary=EMPTY,
    destinations=(DestinationState("mx.up.test", 3, 2, 1, 5),),
    alarms=(),
)
DOWN = DestinationState(
    "mx.down.test", 3, 0, 0, 1, blocked_until=NOW + 60, blocked_because="connection refused", failures=4
)
TROUBLE = LoggedEvent(NOW - 60, "trouble", {"text": "the disk is slow"})
ALARM = LoggedEvent(NOW - 120, "alarm", {"text": "a recipient is missing"})


def found(**changes):
    return {each.check.removeprefix("relay/"): each for each in check_relay(replace(GOOD, **changes))}


def test_a_relay_in_order_has_nothing_but_ok():
    assert {each.level for each in found().values()} == {Level.OK}
    assert list(found()) == ["answers", "open", "certificate", "settings", "oldest", "ledger", "destinations", "alarms"]


def certificate(**changes):
    return {"certificate": replace(CERTIFICATE, **changes)}


@pytest.mark.parametrize(
    ("changes", "check", "level", "word"),
    [
        ({"silent": "no answer on 127.0.0.1 port 25"}, "answers", Level.FAILURE, "port 25"),
        ({"trials": (REFUSED, StrangerTrial("203.0.113.66", ""))}, "open", Level.FAILURE, "203.0.113.66"),
        ({"trials": (StrangerTrial("203.0.113.66", "451 later", True),)}, "open", Level.SKIPPED, "451"),
        ({"trials": ()}, "open", Level.SKIPPED, "not asked"),
        ({"certificate": None}, "certificate", Level.SKIPPED, "CERTIFICATE_PATH"),
        ({"certificate": None, "certificate_error": "no key"}, "certificate", Level.FAILURE, "no key"),
        (certificate(problem="it expired; renew it", expired=True), "certificate", Level.FAILURE, "it expired"),
        (certificate(problem="it expires; renew it"), "certificate", Level.WARNING, "it expires"),
        (certificate(names=("other.a.test",)), "certificate", Level.WARNING, "other.a.test"),
        (certificate(names=("*.a.test",)), "certificate", Level.OK, "until"),
        (certificate(untrusted="self-signed certificate"), "certificate", Level.WARNING, "self-signed"),
        ({"submission": False, **certificate(untrusted="self-signed")}, "certificate", Level.OK, "until"),
        ({"notices": ("NET_DEV adds nothing",)}, "settings", Level.WARNING, "NET_DEV"),
        ({"summary": replace(EMPTY, messages=3, oldest=NOW - 3600)}, "oldest", Level.OK, "1.0 hours"),
        ({"summary": replace(EMPTY, messages=3, held=1, oldest=NOW - 2e5)}, "oldest", Level.WARNING, "2.3 days"),
        ({"summary": replace(EMPTY, ledger=Ledger(accepted=2))}, "ledger", Level.FAILURE, "2 recipients"),
        ({"summary": None, "queue_error": "no queue"}, "queue", Level.SKIPPED, "no queue"),
        ({"destinations": (*(GOOD.destinations or ()), DOWN)}, "destinations", Level.WARNING, "mx.down.test"),
        ({"destinations": (replace(DOWN, blocked_until=NOW - 1),)}, "destinations", Level.OK, "each destination"),
        ({"destinations": None}, "destinations", Level.SKIPPED, "no running relay"),
        ({"alarms": (TROUBLE,)}, "alarms", Level.WARNING, "the disk is slow"),
        ({"alarms": (TROUBLE, ALARM)}, "alarms", Level.FAILURE, "a recipient is missing"),
        ({"alarms": (replace(ALARM, time=NOW - 2e5),)}, "alarms", Level.OK, "no error"),
        ({"alarms": None}, "alarms", Level.SKIPPED, "no running relay"),
    ],
)
def test_each_state_of_the_relay_has_its_finding(changes, check, level, word):
    finding = found(**changes)[check]
    assert finding.level is level
    assert word in finding.seen
    assert finding.remedy or level in {Level.OK, Level.SKIPPED}
