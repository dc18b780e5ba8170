"""REQUIRETLS and `TLS-Required: No` (RFC 8689) of the real daemon, over hosts that offer it and hosts that do not."""

import smtplib
import ssl

from harness.certificates import self_signed
from harness.daemon import Daemon
from harness.policy_host import policy
from harness.sink import EXTENSIONS
from harness.sink_rules import Rule
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.secure_world import ROOT, SecureWorld, tlsa

NAME = "relay.example.test"
OFFERING = (*EXTENSIONS, "REQUIRETLS")


def submit(relay: Daemon, *recipients: str, options: tuple[str, ...] = ("REQUIRETLS",)) -> None:
    """Send a message over TLS with these parameters of MAIL."""
    context = ssl.create_default_context(cadata=ROOT.certificate_pem.decode())
    with smtplib.SMTP("127.0.0.1", relay.port) as client:
        client._host = NAME
        client.starttls(context=context)
        client.ehlo()
        assert client.has_extn("requiretls")
        client.sendmail("alice@sender.example", recipients, mail(), mail_options=options)


def offering_relay(secure: SecureWorld, **settings: str) -> Daemon:
    certificate, key = secure.files(ROOT.leaf([NAME]))
    return secure.relay(CERTIFICATE_PATH=certificate, KEY_PATH=key, MAILNAME=NAME, **settings)


def test_a_message_goes_to_proven_hosts_that_offer_it_alone(secure: SecureWorld) -> None:
    secure.domain("plain.example", "mx.plain.example", signed=False)
    secure.domain("signed.example", "mx.signed.example")
    secure.domain("dane.example", "mx.dane.example")
    secure.domain("sts.example", "mx.sts.example", signed=False)
    secure.domain("two.example", "mx1.two.example", "mx2.two.example")
    secure.domain("lacking.example", "mx.lacking.example")
    secure.domain("wrong.example", "mx.wrong.example")
    secure.policy_host("sts.example", policy("testing", ["mx.sts.example"]))
    own = self_signed(["elsewhere.example"])
    secure.tree.set("_25._tcp.mx.dane.example", "TLSA", tlsa(3, 1, own.certificate))
    good = {
        name: secure.host(name, shows=ROOT.leaf([name]), extensions=OFFERING)
        for name in ("mx.plain.example", "mx.signed.example", "mx.sts.example", "mx2.two.example")
    }
    good["mx.dane.example"] = secure.host("mx.dane.example", shows=own, extensions=OFFERING)
    wrong = secure.host("mx.wrong.example", shows=own, extensions=OFFERING)
    lacking = [secure.host(name, shows=ROOT.leaf([name])) for name in ("mx1.two.example", "mx.lacking.example")]
    relay = offering_relay(secure)
    domains = ("plain", "signed", "dane", "sts", "two", "lacking", "wrong")
    submit(relay, *(f"bob@{domain}.example" for domain in domains))
    delivered = {event["to"]: event["tls"] for event in relay.wait_for_events("delivered", 4)}
    assert set(delivered) == {f"<bob@{domain}.example>" for domain in ("signed", "dane", "sts", "two")}
    assert delivered["<bob@dane.example>"].endswith(" dane")
    assert {tls.rpartition(" ")[2] for to, tls in delivered.items() if "dane" not in to} == {"verified"}

    def failures() -> dict[str, dict[str, str]]:
        return {event["to"]: event for event in relay.events("failed") if "bob" in event["to"]}

    until(lambda: len(failures()) == 2, what="the failures")
    failed = failures()
    assert {event["status"] for event in failed.values()} == {"5.7.30"}
    assert "REQUIRETLS is not offered" in failed["<bob@lacking.example>"]["reply"]
    assert "neither DNSSEC nor MTA-STS proves" in failed["<bob@plain.example>"]["reply"]

    def deferrals() -> list[str]:
        return [event["reply"] for event in relay.events("deferred") if event["to"] == "<bob@wrong.example>"]

    (deferred, *_) = until(deferrals, what="the deferral")
    # The reports on those that failed may wait too.
    (waiting,) = (each for each in relay.queue() if each["sender"])
    assert waiting["tls_demand"] == "required"
    said = secure.tool(relay, "explain", waiting["id"], "--dns").stdout
    assert "mx.wrong.example: with TLS only, a known authority must certify mx.wrong.example (REQUIRETLS)" in said
    assert deferred.startswith("certificate not trusted: self-signed certificate; the sender demands it by REQUIRETLS")
    for name, host in good.items():
        assert [each.mail_parameters.count("REQUIRETLS") for each in host.messages] == [1] * (
            name != "mx.plain.example"
        )
    assert [host.messages for host in (wrong, *lacking)] == [[], [], []]


def test_its_report_has_the_header_alone_and_demands_the_same(secure: SecureWorld) -> None:
    secure.domain("plain.example", "mx.plain.example", signed=False)
    secure.domain("sender.example", "mx.sender.example")
    sender = secure.host("mx.sender.example", shows=ROOT.leaf(["mx.sender.example"]), extensions=OFFERING)
    relay = offering_relay(secure)
    submit(relay, "bob@plain.example", options=("REQUIRETLS", "RET=FULL"))
    relay.wait_for_events("delivered", 1)
    (report,) = sender.messages
    assert "REQUIRETLS" in report.mail_parameters
    assert b"text/rfc822-headers" in report.content
    assert b"message/rfc822" not in report.content


def test_the_demand_survives_a_restart(secure: SecureWorld) -> None:
    secure.domain("signed.example", "mx.signed.example")
    host = secure.host(
        "mx.signed.example",
        Rule("MAIL", reply="451 later", times=1),
        shows=ROOT.leaf(["mx.signed.example"]),
        extensions=OFFERING,
    )
    relay = offering_relay(secure, RETRY_SCHEDULE="F,1h,10m")
    submit(relay, "bob@signed.example")
    relay.wait_for_events("deferred", 1)
    relay.stop()
    relay.start()
    assert relay.tool("queue", "retry", "--all").returncode == 0
    relay.wait_for_events("delivered", 1)
    assert "REQUIRETLS" in host.messages[0].mail_parameters


def test_a_message_that_does_without_tls_gets_past_published_policies_alone(secure: SecureWorld) -> None:
    for domain in ("sts.example", "dane.example", "own.example"):
        secure.domain(domain, f"mx.{domain}")
    secure.policy_host("sts.example", policy("enforce", ["other.example"]))
    own = self_signed(["elsewhere.example"])
    secure.tree.set("_25._tcp.mx.dane.example", "TLSA", tlsa(3, 1, ROOT.leaf(["x"]).certificate))
    for domain in ("sts.example", "dane.example", "own.example"):
        secure.host(f"mx.{domain}", shows=own)
    relay = offering_relay(secure, TLS_POLICY="own.example=verify")
    message = b"TLS-Required: No\r\n" + mail()
    relay.submit(message, ["bob@sts.example", "bob@dane.example", "bob@own.example"])
    delivered = {event["to"] for event in relay.wait_for_events("delivered", 2)}
    assert delivered == {"<bob@sts.example>", "<bob@dane.example>"}
    (deferred,) = {event["to"] for event in relay.wait_for_events("deferred", 1)}
    assert deferred == "<bob@own.example>"
