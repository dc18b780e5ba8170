"""B9 and D1 to D4: delivery to the hosts that the DNS names."""

import pytest

from harness.certificates import self_signed
from harness.sink_rules import Rule
from tests.acceptance.stage import arrived, awaited, events
from tests.endtoend.mails import mail


@pytest.fixture
def direct(internet):
    """Return the relay with default settings, which these scenarios share; it takes no mail for local users."""
    return internet.shared_relay("direct")


@pytest.fixture
def back(internet):
    """Return the mail host of sender.test, where reports arrive."""
    internet.mail_host("sender.test", "203.0.113.90")
    return internet.host("203.0.113.90")


def test_b9_a_secondary_delivers_to_the_hosts_before_it_only(internet):
    internet.dns.add(
        {
            "primary.test": {
                "MX": [[10, "first.primary.test"], [20, "relay.example.test"], [30, "third.primary.test"]]
            },
            "first.primary.test": {"A": ["203.0.113.9"]},
            "relay.example.test": {"A": ["192.0.2.1"]},
            "third.primary.test": {"A": ["203.0.113.10"]},
        }
    )
    third = internet.host("203.0.113.10", port=2525)
    relay = internet.secondary()
    with internet.stranger(relay) as client:
        client.sendmail("sender@sender.test", ["b9@primary.test"], mail())
    waiting = awaited(relay, "deferred", to="<b9@primary.test>")
    assert "203.0.113.9" in waiting["reply"] + str(waiting.get("host"))
    first = internet.host("203.0.113.9", port=2525)
    relay.tool("queue", "retry", waiting["id"])
    arrived(first, "b9@primary.test")
    assert third.connections == 0


def test_d1_the_next_host_takes_mail_that_the_first_cannot(internet, direct):
    internet.dns.add(
        {
            "two.test": {"MX": [[10, "down.two.test"], [20, "up.two.test"]]},
            "down.two.test": {"A": ["203.0.113.20"]},
            "up.two.test": {"A": ["203.0.113.21"]},
        }
    )
    sink = internet.host("203.0.113.21")
    direct.submit(mail(), "d1@two.test")
    arrived(sink, "d1@two.test")
    assert not events(direct, "deferred", to="<d1@two.test>")


def test_d1_a_domain_without_mx_is_its_own_mail_host(internet, direct):
    internet.dns.add({"bare.test": {"A": ["203.0.113.22"]}})
    sink = internet.host("203.0.113.22")
    direct.submit(mail(), "d1@bare.test")
    arrived(sink, "d1@bare.test")


def test_d1_a_domain_that_takes_no_mail_is_a_bounce(internet, direct, back):
    internet.dns.add({"null.test": {"MX": [[0, ""]]}})
    direct.submit(mail(), "d1@null.test", sender="d1-null@sender.test")
    assert arrived(back, "d1-null@sender.test").sender == ""
    assert awaited(direct, "failed", to="<d1@null.test>")["status"] == "5.1.10"


def test_d2_an_ordinary_domain_cannot_lead_the_relay_to_a_private_host(internet, direct, back):
    internet.mail_host("10net.test", "10.0.0.5")
    inner = internet.host("10.0.0.5")
    direct.submit(mail(), "d2@10net.test", sender="d2@sender.test")
    assert arrived(back, "d2@sender.test").sender == ""
    assert inner.connections == 0


def test_d2_a_relay_domain_may_have_a_private_host(internet):
    internet.mail_host("10net.test", "10.0.0.5")
    inner = internet.host("10.0.0.5", port=2525)
    internet.secondary().submit(mail(), "d2@10net.test")
    arrived(inner, "d2@10net.test")


def test_d3_smtpportout_is_where_direct_mail_goes_before_and_after_a_restart(internet):
    internet.mail_host("d3.test", "203.0.113.30")
    sink = internet.host("203.0.113.30", port=2525)
    other = internet.host("203.0.113.30", port=25)
    relay = internet.relay(SMTPPORTOUT="2525")
    relay.submit(mail(), "before@d3.test")
    arrived(sink, "before@d3.test")
    relay.stop()
    relay.start()
    relay.submit(mail(), "after@d3.test")
    arrived(sink, "after@d3.test")
    assert other.connections == 0


def test_d3_smtpportout_does_not_touch_the_smarthost(internet):
    sink = internet.host("203.0.113.31")
    relay = internet.relay(SMTPPORTOUT="2525", SMARTHOST_ADDRESS="203.0.113.31")
    relay.submit(mail(), "smart@d3.test")
    arrived(sink, "smart@d3.test")


def test_d4_any_certificate_is_better_than_no_tls(internet, direct):
    internet.mail_host("selfsigned.test", "203.0.113.40")
    certificate, key = self_signed(["else.test"]).write(internet.stage.home)
    sink = internet.host("203.0.113.40", tls=(str(certificate), str(key)))
    direct.submit(mail(), "d4@selfsigned.test")
    assert arrived(sink, "d4@selfsigned.test").tls


def test_d4_mail_goes_in_clear_where_starttls_fails(internet, direct):
    internet.mail_host("notls.test", "203.0.113.41")
    tls = internet.stage.certificate("mx.notls.test")
    sink = internet.host("203.0.113.41", Rule("STARTTLS", "454 4.7.0 TLS is not available"), tls=tls)
    direct.submit(mail(), "d4@notls.test")
    assert not arrived(sink, "d4@notls.test").tls
    assert not events(direct, "deferred", to="<d4@notls.test>")
