"""The reports of a day on TLS, with the real daemon: by mail and by HTTPS, once, also after a restart (scenario 25)."""

import pytest

from harness.certificates import Leaf
from harness.daemon import ROOT as HERE
from harness.policy_host import policy
from harness.shifted_clock import WallClock
from harness.sink import Sink
from harness.tls_report_receiver import ReportReceiver, TlsReport, report_in_mail
from harness.waiting import until
from harness.web_server import WebAnswer
from harness.zone_tree import unsigned
from tests.endtoend.mails import mail
from tests.endtoend.secure_world import ROOT, SecureWorld, tlsa
from tests.endtoend.world import received

DAY, LAST = 86_400.0, 4 * 3600.0
URL = "https://in.reports.example/tls"


class Reporting:
    """Domains that ask for reports: `good` by mail and HTTPS, `bad`, whose certificate has another name, by HTTPS."""

    def __init__(self, secure: SecureWorld) -> None:
        self.secure = secure
        self.good = self.domain("good.example", f"mailto:tls@good.example,{URL}", ROOT.leaf(["mx.good.example"]))
        self.domain("bad.example", URL, ROOT.leaf(["other.example"]))
        secure.domain("reports.example")
        self.receiver = secure.serve(ReportReceiver, "in.reports.example")

    def domain(self, name: str, uris: str, shows: Leaf) -> Sink:
        """Make a domain with a policy; return its MX host."""
        self.secure.domain(name, f"mx.{name}").set(f"_smtp._tls.{name}", "TXT", f'"v=TLSRPTv1; rua={uris}"')
        self.secure.policy_host(name, policy("enforce", [f"mx.{name}"]))
        return self.secure.host(f"mx.{name}", shows=shows)

    def mailed(self) -> list[TlsReport]:
        """Return the reports that came by mail."""
        return [report_in_mail(each.content) for each in self.good.messages if each.header("TLS-Report-Domain")]


def test_a_policy_or_a_proof_that_cannot_be_had_is_reported(secure: SecureWorld) -> None:
    clock = WallClock(secure.home / "ahead")
    sinks = {}
    secure.domain("reports.example")
    receiver = secure.serve(ReportReceiver, "in.reports.example")
    for name, answer, shows in (
        ("missing.example", WebAnswer(404), None),
        ("wrong.example", WebAnswer(200, b"version: STSv2\r\n"), None),
        ("unproven.example", policy("enforce", ["mx.unproven.example"]), ROOT.leaf(["other.example"])),
    ):
        secure.domain(name, f"mx.{name}").set(f"_smtp._tls.{name}", "TXT", f'"v=TLSRPTv1; rua={URL}"')
        secure.policy_host(name, answer, shows=shows)
        sinks[name] = secure.host(f"mx.{name}", shows=ROOT.leaf([f"mx.{name}"]))
    zone = secure.domain("forged.example", "mx.forged.example")
    zone.set("_smtp._tls.forged.example", "TXT", f'"v=TLSRPTv1; rua={URL}"')
    secure.host("mx.forged.example", shows=(shown := ROOT.leaf(["mx.forged.example"])))
    zone.set("_25._tcp.mx.forged.example", "TLSA", tlsa(3, 1, shown.certificate))
    zone.tampering.append(unsigned("_25._tcp.mx.forged.example", "TLSA"))
    settings = {"TLSRPT_FROM": "tls-reports@relay.example", "RETRY_SCHEDULE": "F,1h,15m"}
    relay = secure.relay(**settings, **clock.settings(str(HERE)))
    relay.submit(mail(), [f"ann@{name}" for name in (*sinks, "forged.example")])
    relay.wait_for_events("deferred")
    for sink in sinks.values():
        received(sink)
    relay.stop()
    clock.ahead = DAY + LAST
    relay.start()
    relay.wait_for_events("tls-report", 4)
    assert receiver.faults == []
    assert {report.domain: report.failures for report in receiver.reports} == {
        "missing.example": {"sts-policy-fetch-error": 1},
        "wrong.example": {"sts-policy-invalid": 1},
        "unproven.example": {"sts-webpki-invalid": 1},
        "forged.example": {"dnssec-invalid": 1},
    }


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_reports_of_a_day_go_out_once_by_mail_and_https(secure: SecureWorld, workers: str) -> None:
    domains, clock = Reporting(secure), WallClock(secure.home / "ahead")
    relay = secure.relay(
        TLSRPT_FROM="tls-reports@relay.example", WORKERS=workers, RETRY_SCHEDULE="F,1d,6h", **clock.settings(str(HERE))
    )
    relay.submit(mail("one"), "ann@good.example")
    relay.submit(mail("two"), "bob@bad.example")
    relay.submit(mail("three"), "ann@silent.example")
    received(domains.good)
    relay.wait_for_events("deferred")
    relay.stop()
    (day,) = {path.name for path in relay.queue_dir.rglob("tls-reports-*")}
    clock.ahead = DAY + LAST
    relay.start()
    sent = relay.wait_for_events("tls-report", 3)
    assert sorted((each["domain"], each["to"], each["good"], each["failed"]) for each in sent) == [
        ("bad.example", URL, 0, 1),
        ("good.example", URL, 1, 0),
        ("good.example", "tls@good.example", 1, 0),
    ]
    assert domains.receiver.faults == []
    by_domain = {report.domain: report for report in domains.receiver.reports}
    assert by_domain["good.example"].counts == {"sts": (1, 0)}
    assert by_domain["bad.example"].counts == {"sts": (0, 1)}
    assert by_domain["bad.example"].failures == {"certificate-host-mismatch": 1}
    until(lambda: len(domains.mailed()) == 1, what="the report by mail")
    assert domains.mailed()[0].counts == {"sts": (1, 0)}
    until(lambda: not list(relay.queue_dir.rglob(day)), what="the end of the file of the day")
    relay.stop()
    relay.start()
    relay.submit(mail("four"), "ann@good.example")
    received(domains.good, 3)
    assert len(relay.events("tls-report")) == 3
    assert len(domains.receiver.reports) == 2


@pytest.mark.parametrize("named", [None, "other.private.example"])
def test_no_report_goes_to_a_private_address(secure: SecureWorld, named: str | None) -> None:
    clock = WallClock(secure.home / "ahead")
    secure.domain("good.example", "mx.good.example").set(
        "_smtp._tls.good.example", "TXT", '"v=TLSRPTv1; rua=https://in.private.example/,mailto:a@private.example"'
    )
    good = secure.host("mx.good.example", shows=ROOT.leaf(["mx.good.example"]))
    zone = secure.domain("private.example", "mx.private.example")
    for name in ("mx.private.example", "in.private.example"):
        zone.set(name, "A", "127.0.0.1")
    if named is not None:
        # Reports are sent in spite of a policy that has other mail wait.
        secure.policy_host("private.example", policy("enforce", [named]))
    relay = secure.relay(
        TLSRPT_FROM="tls-reports@relay.example", PRIVATE_DESTINATIONS="allow", **clock.settings(str(HERE))
    )
    relay.submit(mail(), "ann@good.example")
    received(good)
    relay.stop()
    clock.ahead = DAY + LAST
    relay.start()

    def lines() -> list[str]:
        return [each["text"] for each in relay.events("notice") if "TLS report" in each["text"]]

    until(lines, what="the line about the report")
    (line,) = lines()
    assert "no report goes to the address of its host mx.private.example, 127.0.0.1" in line
    assert relay.events("tls-report") == []
