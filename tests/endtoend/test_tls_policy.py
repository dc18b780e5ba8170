"""TLS_POLICY of the real daemon: it beats what domains publish, and wrong entries end the start (scenario 24)."""

import pytest

from harness.certificates import self_signed
from harness.daemon import Daemon
from harness.policy_host import policy
from harness.processes import free_port
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.secure_world import ROOT, SecureWorld, tlsa


def tls_of(relay: Daemon, number: int) -> dict[str, str]:
    """Return the TLS by which each domain got its mail."""
    return {domain_in(event): event.get("tls", "none") for event in relay.wait_for_events("delivered", number)}


def domain_in(event: dict[str, str]) -> str:
    """Return the domain of an event's recipient."""
    return event["to"].strip("<>").partition("@")[2]


def test_an_entry_beats_what_is_published_and_a_notice_tells_where_it_weakens(secure: SecureWorld) -> None:
    domains = ("sts.example", "dane.example", "plain.example", "verified.example", "waiting.example")
    for domain in domains:
        secure.domain(domain, f"mx.{domain}")
    own = self_signed(["elsewhere.example"])
    hosts = {domain: secure.host(f"mx.{domain}", shows=own) for domain in domains}
    for domain in ("sts.example", "verified.example"):
        secure.policy_host(domain, policy("enforce", ["other.example"]))
    secure.tree.set("_25._tcp.mx.dane.example", "TLSA", tlsa(3, 1, ROOT.leaf(["x"]).certificate))
    entries = "sts.example=opportunistic; dane.example=none; verified.example=verify; waiting.example=dane; *=require"
    relay = secure.relay(TLS_POLICY=entries)
    relay.submit(mail(), [f"someone@{domain}" for domain in domains])
    tls = tls_of(relay, 3)
    assert tls["sts.example"].endswith("unverified (self-signed certificate)")
    assert tls["dane.example"] == "none"
    assert tls["plain.example"].endswith("unverified (self-signed certificate)")
    assert not hosts["waiting.example"].messages
    deferred = {domain_in(event): event["reply"] for event in relay.wait_for_events("deferred", 2)}
    assert "; TLS_POLICY=verified.example=require takes any certificate" in deferred["verified.example"]
    assert "mx.waiting.example: no TLSA records, and TLS_POLICY has waiting.example=dane" in deferred["waiting.example"]

    def weaker() -> list[str]:
        return sorted(each["text"] for each in relay.events("notice") if "TLS_POLICY has" in each["text"])

    until(lambda: len(weaker()) == 3, what="the notices about weaker entries")
    assert [line.partition(":")[0] for line in weaker()] == [
        "TLS_POLICY has dane.example=none, and dane.example demands more by DANE",
        "TLS_POLICY has sts.example=opportunistic, and sts.example demands more by MTA-STS",
        "TLS_POLICY has verified.example=verify, and verified.example demands more by MTA-STS",
    ]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_default_is_for_domains_that_publish_nothing(secure: SecureWorld, workers: str) -> None:
    for domain in ("sts.example", "plain.example"):
        secure.domain(domain, f"mx.{domain}")
        secure.host(f"mx.{domain}", shows=ROOT.leaf([f"mx.{domain}"]))
    secure.policy_host("sts.example", policy("enforce", ["mx.sts.example"]))
    relay = secure.relay(TLS_POLICY="*=none", WORKERS=workers)
    for _ in range(3):
        relay.submit(mail(), ["someone@sts.example", "someone@plain.example"])
    tls = tls_of(relay, 6)
    assert tls["sts.example"].endswith(" verified sts")
    assert tls["plain.example"] == "none"


def test_an_order_by_mx_has_the_demands_of_the_domain_although_there_is_a_smarthost(secure: SecureWorld) -> None:
    secure.domain("sts.example", "mx.sts.example")
    secure.host("mx.sts.example", shows=ROOT.leaf(["mx.sts.example"]))
    secure.policy_host("sts.example", policy("enforce", ["mx.sts.example"]))
    relay = secure.relay(SMARTHOST_ADDRESS="127.0.0.1", SMARTHOST_PORT=str(free_port()), RETRY_SCHEDULE="F,1h,1h")
    relay.submit(mail(), "someone@sts.example")
    relay.wait_for_events("deferred")
    done = relay.tool("queue", "reroute", "--domain", "sts.example", "--to", "mx", "--yes")
    assert done.returncode == 0, done.stderr
    assert tls_of(relay, 1)["sts.example"].endswith(" verified sts")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"TLS_POLICY": "example.org:none"}, "'example.org:none' is not domain=level"),
        ({"TLS_POLICY": "example.org=tls"}, "'tls' in 'example.org=tls' is not one of none, opportunistic"),
        ({"TLS_POLICY": "*=none; example.org=verify"}, "example.org=verify never decides"),
        ({"TLS_POLICY": "example.org=dane", "DANE": "off"}, "example.org=dane needs DANE, which DANE=off turns off"),
        ({"MTA_STS": "yes"}, "MTA_STS='yes': not one of enforce, testing, off"),
        ({"DNSSEC": "on"}, "DNSSEC='on': not one of auto, libunbound, trust, off"),
    ],
)
def test_a_wrong_entry_ends_the_start_with_the_status_of_wrong_settings(tmp_path, settings, words):
    assert words in Daemon(tmp_path, **settings).start_and_fail(78)
