"""`smtprelay explain` tells what MX hosts must prove, and why, with what their domain publishes now."""

import json

from harness.daemon import Daemon
from harness.policy_host import policy
from harness.sink_rules import Rule
from tests.endtoend.mails import mail
from tests.endtoend.secure_world import ROOT, SecureWorld, tlsa


def explained(secure: SecureWorld, relay: Daemon, *arguments: str) -> str:
    """Return the explanation by the command."""
    done = secure.tool(relay, "explain", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_domain_is_explained_with_its_policy_and_the_proofs_of_its_hosts(secure: SecureWorld) -> None:
    shown = ROOT.leaf(["mx1.example.org"])
    secure.domain("example.org", "mx1.example.org", "mx2.example.org", "mx.example.net")
    secure.domain("example.net")
    for host in ("mx1.example.org", "mx2.example.org", "mx.example.net"):
        secure.host(host, shows=shown)
    web = secure.policy_host("example.org", policy("enforce", ["*.example.org"]))
    secure.tree.set("_25._tcp.mx1.example.org", "TLSA", tlsa(3, 1, shown.certificate))
    relay = secure.relay(TLS_POLICY="example.net=verify; *=require")
    # The relay does not know the policy yet, so it is fetched for the explanation.
    said = explained(secure, relay, "example.org")
    record = tlsa(3, 1, shown.certificate)[:14]
    for words in (
        "left out: the MTA-STS policy of example.org does not name it",
        "MTA-STS: enforce, mx *.example.org; until 20",
        "DNSSEC: the MX records are proven",
        "TLSA of mx1.example.org: TLSA records",
        "TLSA of mx2.example.org: no TLSA records",
        f"the certificate must match a TLSA record of mx1.example.org ({record}...) (DANE)",
        "mx2.example.org: with TLS only, a known authority must certify mx2.example.org (MTA-STS of example.org)",
    ):
        assert words in said
    relay.submit(mail(), "someone@example.org")
    relay.wait_for_events("delivered")
    relay.stop()
    fetched = len(web.requests)
    relay.start()
    # Now the policy is that of the file of the relay.
    page = json.loads(explained(secure, relay, "example.org", "--json"))
    assert page["policy"][0].startswith("MTA-STS: enforce, mx *.example.org; until 20")
    assert len(web.requests) == fetched
    said = explained(secure, relay, "example.net")
    assert "TLS_POLICY: example.net=verify decides, whatever the domain publishes" in said


def test_described_mail_is_explained_with_the_proof_of_its_hosts(secure: SecureWorld) -> None:
    secure.domain("example.org", "mx.example.org")
    secure.host("mx.example.org", shows=ROOT.leaf(["mx.example.org"]))
    secure.policy_host("example.org", policy("enforce", ["mx.example.org"]))
    relay = secure.relay(TLS_POLICY="example.net=verify")
    said = explained(
        secure, relay, "--client", "127.0.0.1", "--from", "a@b.example", "--to", "ann@example.org", "--dns"
    )
    assert "tls        mx.example.org: with TLS only, a known authority must certify mx.example.org" in said
    said = explained(secure, relay, "--client", "127.0.0.1", "--from", "a@b.example", "--to", "ann@example.net")
    assert "tls        TLS_POLICY has example.net=verify" in said


def test_the_demand_of_a_described_message_decides_on_its_hosts(secure: SecureWorld) -> None:
    for name, signed in (("example.org", True), ("example.net", True), ("plain.example", False)):
        secure.domain(name, f"mx.{name}", signed=signed)
        secure.host(f"mx.{name}", shows=ROOT.leaf([f"mx.{name}"]))
    secure.policy_host("example.org", policy("enforce", ["mx.example.org"]))
    relay = secure.relay()
    described = ("--from", "a@b.example", "--to", "ann@example.org", "--to", "ann@example.net", "--dns")
    said = explained(secure, relay, *described, "--tls", "--requiretls")
    for host, source in (("mx.example.org", "MTA-STS of example.org"), ("mx.example.net", "REQUIRETLS")):
        assert f"{host}: with TLS only, a known authority must certify {host} ({source})" in said
    assert "must certify" not in explained(secure, relay, *described, "--header", "TLS-Required: No")
    unproven = ("--from", "a@b.example", "--to", "ann@plain.example", "--dns", "--requiretls")
    done = secure.tool(relay, "explain", *unproven, "--tls")
    assert done.returncode == 1
    assert "returned: the sender demands REQUIRETLS, and no MX host may get such mail" in done.stdout
    assert "530 5.7.10" in secure.tool(relay, "explain", *unproven).stdout


def test_the_demand_of_one_message_is_not_told_of_its_domain(secure: SecureWorld) -> None:
    secure.domain("example.org", "mx.example.org")
    secure.host("mx.example.org", Rule("CONNECT", reply="421 later"), shows=ROOT.leaf(["mx.example.org"]))
    secure.policy_host("example.org", policy("enforce", ["mx.example.org"]))
    relay = secure.relay(RETRY_SCHEDULE="F,1h,15m")
    relay.submit(b"TLS-Required: No\r\n" + mail(), "ann@example.org")
    (deferred,) = relay.wait_for_events("deferred")
    assert "421 later" in deferred["reply"]
    said = explained(secure, relay, "example.org")
    assert "known authority must certify mx.example.org (MTA-STS of example.org)" in said
    # The connections are those of the message that waits.
    assert "open       mx.example.org: 0 of 1 connections" in said
    assert "MTA-STS of example.org" not in explained(secure, relay, deferred["id"], "--dns")
