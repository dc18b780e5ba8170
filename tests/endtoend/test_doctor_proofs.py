"""`smtprelay doctor` on domains that demand proof of their MX hosts: the records, and whether they hold."""

import json

from harness.certificates import self_signed
from harness.daemon import Daemon
from harness.policy_host import policy
from harness.web_server import WebAnswer
from tests.endtoend.secure_world import ROOT, SecureWorld, tlsa

Found = dict[str, list[tuple[str, str]]]
OWN = "mail.own.example"


def doctor(secure: SecureWorld, relay: Daemon, *words: str) -> Found:
    """Return the level and text of each finding by check."""
    done = secure.tool(relay, "doctor", "--json", "--block-list", "none", *words)
    assert done.stdout, done.stderr
    found: Found = {}
    for each in json.loads(done.stdout)["findings"]:
        found.setdefault(each["check"], []).append((each["level"], each["seen"]))
    return found


def text(found: Found, check: str, domain: str = "") -> tuple[str, str]:
    """Return the only finding of a check that is about a domain."""
    (finding,) = [each for each in found[check] if domain in each[1]]
    return finding


def test_the_records_of_a_destination_are_told_and_tried(secure: SecureWorld) -> None:
    for name in ("sts", "dane", "wrong", "missing", "plain"):
        secure.domain(f"{name}.example", f"mx.{name}.example")
    for name in ("sts", "missing", "plain"):
        secure.host(f"mx.{name}.example", shows=ROOT.leaf([f"mx.{name}.example"]))
    secure.policy_host("sts.example", policy("enforce", ["mx.sts.example"]))
    secure.policy_host("missing.example", WebAnswer(404))
    secure.policy_host("wrong.example", policy("enforce", ["other.wrong.example"]))
    secure.host("mx.wrong.example", shows=ROOT.leaf(["mx.wrong.example"]))
    shown = self_signed(["mx.dane.example"])
    secure.host("mx.dane.example", shows=shown)
    secure.tree.set("_25._tcp.mx.dane.example", "TLSA", tlsa(3, 1, shown.certificate))
    secure.tree.set("_smtp._tls.dane.example", "TXT", '"v=TLSRPTv1; rua=mailto:reports@dane.example"')
    secure.publish()
    names = [f"{name}.example" for name in ("sts", "dane", "wrong", "missing", "plain")]
    found = doctor(secure, secure.stopped_relay(), *(word for name in names for word in ("--to", name)))
    sts = "sts.example demands verified TLS (enforce, 1 day), and its policy names its MX hosts"
    assert text(found, "destination/mta-sts", "sts.example demands") == ("ok", sts)
    level, seen = text(found, "destination/mta-sts", "wrong.example demands")
    assert level == "failure"
    assert seen.endswith("does not name its MX hosts mx.wrong.example, which get no mail")
    level, seen = text(found, "destination/mta-sts", "missing.example announces")
    assert level == "warning"
    assert "mta-sts.missing.example: the answer has status 404; mail goes as without a policy" in seen
    assert text(found, "destination/mta-sts", "plain.example")[0] == "skipped"
    assert text(found, "destination/dane", "mx.dane.example") == (
        "ok",
        "mx.dane.example has a TLSA record that DNSSEC proves",
    )
    assert text(found, "destination/dane", "plain.example") == ("skipped", "plain.example: no TLSA records")
    assert text(found, "destination/tls-reports", "dane.example") == (
        "ok",
        "dane.example wants TLS reports at mailto:reports@dane.example",
    )
    # The connections are tried with the demands.
    assert text(found, "network/mx", "mx.sts.example")[1].endswith(" verified sts")
    assert text(found, "network/mx", "mx.dane.example")[1].endswith(" dane")
    assert text(found, "network/mx", "mx.plain.example")[1].endswith(" verified")
    level, seen = text(found, "network/mx", "wrong.example")
    assert level == "failure"
    assert "no MX host of wrong.example may get mail now" in seen


def test_the_records_of_an_own_domain_are_checked_against_the_relays_certificate(secure: SecureWorld) -> None:
    secure.domain("own.example", OWN)
    old, new = ROOT.leaf([OWN]), ROOT.leaf([OWN])
    secure.tree.set(OWN, "A", "8.26.56.90")
    secure.tree.set(f"_25._tcp.{OWN}", "TLSA", tlsa(3, 1, old.certificate))
    host = secure.policy_host("own.example", policy("enforce", ["mx.own.example"]))
    secure.publish()
    certificate, key = secure.files(new)
    relay = secure.stopped_relay(MAILNAME=OWN, CERTIFICATE_PATH=certificate, KEY_PATH=key)
    found = doctor(secure, relay, "own.example")
    assert text(found, "domain/mta-sts") == (
        "failure",
        f"the MTA-STS policy of own.example does not name its MX hosts {OWN}, which get no mail by it",
    )
    level, seen = text(found, "domain/dane")
    assert level == "failure"
    assert f"{OWN} gets no mail of servers that follow DANE: certificate matches none of the TLSA records" in seen
    secure.tree.set(f"_25._tcp.{OWN}", "TLSA", tlsa(3, 1, new.certificate))
    secure.tree.set("_smtp._tls.own.example", "TXT", '"v=TLSRPTv1; rua=mailto:reports@own.example"')
    secure.publish()
    host.answer = policy("enforce", [OWN])
    found = doctor(secure, relay, "own.example")
    assert text(found, "domain/mta-sts") == ("ok", "own.example has MTA-STS (enforce, 1 day) and TLS-RPT")
    assert text(found, "domain/dane") == (
        "ok",
        f"{OWN} has a TLSA record that DNSSEC proves, and the relay's certificate matches",
    )
