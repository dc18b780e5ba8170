"""Rules about further attempts in the running relay, with a clock that a test sets forward."""

from email import message_from_bytes

from harness.daemon import ROOT
from harness.shifted_clock import WallClock
from harness.sink_rules import Rule
from harness.waiting import until
from tests.acceptance.stage import advance
from tests.endtoend.mails import mail
from tests.endtoend.world import received

HOUR = 3600.0
DAY = 24 * HOUR
RULES = """\
[[retry]]
name = "partner"
recipient = "partner.test"
schedule = "F,1h,30m"

[[retry]]
name = "reports"
sender = "<>"
schedule = "F,1d,6h"

[[retry]]
error = "4.3.*"
warn_after = "4h"
"""
PARTNER, BOB, REPORTS = "bob@partner.test", "bob@far.test", "ann@far.test"


def test_a_domain_gives_up_after_an_hour_others_after_four_days_and_reports_after_one(world, tmp_path):
    clock = WallClock(tmp_path / "ahead")
    (world.home / "rules.d").mkdir()
    (world.home / "rules.d" / "50-retry.toml").write_text(RULES)
    sink = world.sink(*(Rule("RCPT", "451 4.3.0 come back", match=domain) for domain in ("@partner", "@far")))
    settings = {"RETRY_SCHEDULE": "F,4d,12h", "RULES_DIR": str(world.home / "rules.d")}
    relay = world.relay(sink, SMARTHOST_ADDRESS=f"127.0.0.1::{sink.port}", **settings, **clock.settings(str(ROOT)))
    for recipient, sender in ((PARTNER, "app@sender.test"), (BOB, "app@sender.test"), (REPORTS, "")):
        relay.submit(mail(), recipient, sender=sender)
    relay.wait_for_events("deferred", 3)

    def attempted(ahead, number):
        """Set the clock forward, and wait until so many attempts have failed for now."""
        advance(clock, ahead)
        relay.wait_for_events("deferred", number)

    def failed(ahead, number):
        """Set the clock forward, and return the recipient that is given up."""
        advance(clock, ahead)
        event = relay.wait_for_events("failed", number)[-1]
        assert event["status"] == "5.4.7"
        return event["to"]

    assert failed(HOUR + 60, 1) == f"<{PARTNER}>"
    # The reports are due after six hours, the others after twelve; only these have a report of delay.
    attempted(6 * HOUR, 4)
    attempted(6 * HOUR, 6)
    assert failed(DAY - 12 * HOUR, 2) == f"<{REPORTS}>"
    assert failed(3 * DAY, 3) == f"<{BOB}>"
    until(lambda: len(relay.events("reported")) == 3, what="the reports")
    reports = [message_from_bytes(message.content) for message in received(sink, 3)]
    assert [message.sender for message in sink.messages] == [""] * 3
    actions = [report.get_payload()[1].get_payload()[1]["Action"] for report in reports]
    assert sorted(actions) == ["delayed", "failed", "failed"]
    assert relay.events("fault") == []
