"""Mail to MX hosts with TLSA records that DNSSEC proves (RFC 7672): what is sent, what waits, and why."""

import pytest

from harness.altering_dns import failing, strip_signatures
from harness.certificates import self_signed
from harness.policy_host import policy
from harness.zone_tree import unsigned
from tests.endtoend.mails import mail
from tests.endtoend.secure_world import ROOT, STRANGER, tlsa
from tests.endtoend.world import received

DOMAIN, HOST, OTHER = "bank.example", "mx.bank.example", "mx2.bank.example"
TO = f"ann@{DOMAIN}"
#: The setting that lifts the demand, as the log names it.
WAY_OUT = f"TLS_POLICY={DOMAIN}=opportunistic"


def publish_tlsa(secure, host, *records):
    secure.tree.set(f"_25._tcp.{host}", "TLSA", *records)


def delivered_tls(relay):
    """Wait for the first delivery; return its TLS."""
    return relay.wait_for_events("delivered")[0]["tls"]


def deferred(relay):
    """Wait for the first deferral; return the words of the reply."""
    return relay.wait_for_events("deferred")[0]["reply"]


def test_an_expired_self_signed_certificate_proves_the_host_if_3_1_1_matches(secure):
    secure.domain(DOMAIN, HOST)
    shown = self_signed(["localhost"], expired=True)
    sink = secure.host(HOST, shows=shown)
    publish_tlsa(secure, HOST, tlsa(3, 1, shown.certificate))
    relay = secure.relay()
    relay.submit(mail(), TO)
    received(sink)
    assert delivered_tls(relay).endswith(" dane")
    assert sink.server_names == [HOST]


@pytest.mark.parametrize("name", [HOST, DOMAIN])
def test_an_authority_of_2_1_1_proves_certificates_for_the_host_and_for_the_domain(secure, name):
    secure.domain(DOMAIN, HOST)
    sink = secure.host(HOST, shows=STRANGER.leaf([name]), chain=[STRANGER])
    publish_tlsa(secure, HOST, tlsa(2, 1, STRANGER.certificate))
    relay = secure.relay()
    relay.submit(mail(), TO)
    received(sink)
    assert delivered_tls(relay).endswith(" dane")


@pytest.mark.parametrize("kind", ["other certificate", "other name", "no STARTTLS"])
def test_mail_waits_if_no_record_matches(secure, kind):
    secure.domain(DOMAIN, HOST)
    shown = {
        "other certificate": ROOT.leaf([HOST]),
        "other name": STRANGER.leaf(["mx.other.example"]),
        "no STARTTLS": None,
    }[kind]
    sink = secure.host(HOST, shows=shown, chain=[STRANGER] if kind == "other name" else [])
    publish_tlsa(secure, HOST, tlsa(2, 1, STRANGER.certificate), tlsa(3, 1, self_signed([HOST]).certificate))
    # A policy that the host satisfies does not help.
    secure.policy_host(DOMAIN, policy("enforce", [HOST]))
    relay = secure.relay()
    relay.submit(mail(), TO)
    reply = deferred(relay)
    assert "DANE" in reply or "TLSA" in reply
    assert WAY_OUT in reply
    assert sink.messages == []


@pytest.mark.parametrize("offered", [True, False])
def test_records_of_which_none_is_usable_demand_tls_and_prove_nothing(secure, offered):
    secure.domain(DOMAIN, HOST)
    shown = self_signed([HOST])
    sink = secure.host(HOST, shows=shown if offered else None)
    publish_tlsa(secure, HOST, tlsa(1, 1, shown.certificate))
    relay = secure.relay()
    relay.submit(mail(), TO)
    if offered:
        received(sink)
        assert "unverified" in delivered_tls(relay)
    else:
        assert WAY_OUT in deferred(relay)
        assert sink.messages == []


@pytest.mark.parametrize("how", ["SERVFAIL", "REFUSED"])
def test_a_host_whose_tlsa_records_cannot_be_had_is_passed_over(secure, how):
    secure.domain(DOMAIN, HOST, OTHER)
    first, second = (secure.host(host, shows=ROOT.leaf([host])) for host in (HOST, OTHER))
    secure.dns.alterations = [failing("TLSA", f"_25._tcp.{HOST}", how)]
    relay = secure.relay()
    relay.submit(mail(), TO)
    received(second)
    assert first.connections == 0


def test_mail_waits_if_the_tlsa_records_of_the_last_host_cannot_be_had(secure):
    secure.domain(DOMAIN, HOST)
    sink = secure.host(HOST, shows=ROOT.leaf([HOST]))
    secure.dns.alterations = [failing("TLSA")]
    relay = secure.relay()
    relay.submit(mail(), TO)
    assert WAY_OUT in deferred(relay)
    assert sink.connections == 0
    secure.dns.alterations = []
    received(sink)


@pytest.mark.parametrize("validating", [True, False], ids=["validating resolver", "other resolver"])
@pytest.mark.parametrize("bogus", [(DOMAIN, "MX"), (HOST, "A"), (f"_25._tcp.{HOST}", "TLSA")], ids=["MX", "A", "TLSA"])
def test_mail_waits_if_records_are_bogus(secure, bogus, validating):
    zone = secure.domain(DOMAIN, HOST)
    shown = self_signed([HOST])
    sink = secure.host(HOST, shows=shown)
    publish_tlsa(secure, HOST, tlsa(3, 1, shown.certificate))
    zone.tampering.append(unsigned(*bogus))
    secure.validating = validating
    relay = secure.relay()
    relay.submit(mail(), TO)
    deferred(relay)
    assert sink.connections == 0


def test_tlsa_records_in_a_zone_that_is_not_signed_count_for_nothing(secure):
    secure.domain(DOMAIN, HOST, signed=False)
    sink = secure.host(HOST)
    publish_tlsa(secure, HOST, tlsa(3, 1, self_signed([HOST]).certificate))
    relay = secure.relay()
    relay.submit(mail(), TO)
    received(sink)


def test_the_records_of_a_signed_host_count_for_a_domain_that_is_not_signed(secure):
    secure.domain(DOMAIN, "mx.host.example", signed=False)
    secure.tree.zone("host.example")
    shown = self_signed(["mx.host.example"])
    sink = secure.host("mx.host.example", shows=shown)
    publish_tlsa(secure, "mx.host.example", tlsa(3, 1, shown.certificate))
    relay = secure.relay()
    relay.submit(mail(), TO)
    received(sink)
    assert delivered_tls(relay).endswith(" dane")


def test_domains_share_no_connection_if_the_names_that_they_accept_differ(secure):
    for domain in (DOMAIN, "shop.example"):
        secure.domain(domain, HOST)
    sink = secure.host(HOST, shows=STRANGER.leaf([DOMAIN]), chain=[STRANGER])
    publish_tlsa(secure, HOST, tlsa(2, 1, STRANGER.certificate))
    relay = secure.relay()
    relay.submit(mail(), TO)
    received(sink)
    relay.submit(mail(), "ann@shop.example")
    assert "TLS_POLICY=shop.example=opportunistic" in deferred(relay)
    assert len(sink.messages) == 1


@pytest.mark.parametrize("at", ["target", "name", "both"])
def test_an_mx_host_that_is_a_cname_has_its_records_at_the_target_or_at_the_name(secure, at):
    secure.domain(DOMAIN, HOST)
    secure.tree.zone("host.example")
    shown, wrong = self_signed(["mx.host.example"]), self_signed(["mx.host.example"])
    sink = secure.host("mx.host.example", shows=shown)
    secure.tree.set(HOST, "CNAME", "mx.host.example.")
    if at != "name":
        publish_tlsa(secure, "mx.host.example", tlsa(3, 1, shown.certificate))
    if at != "target":
        publish_tlsa(secure, HOST, tlsa(3, 1, (wrong if at == "both" else shown).certificate))
    relay = secure.relay()
    relay.submit(mail(), TO)
    received(sink)
    assert delivered_tls(relay).endswith(" dane")
    # The name of the records' owner is the one that the host is asked for (RFC 7672 section 2.2.3).
    assert sink.server_names == [HOST if at == "name" else "mx.host.example"]


def test_a_resolver_that_strips_signatures_is_told_once_and_mail_flows(secure):
    secure.domain(DOMAIN, HOST)
    sink = secure.host(HOST)
    publish_tlsa(secure, HOST, tlsa(3, 1, self_signed([HOST]).certificate))
    secure.dns.alterations = [strip_signatures]
    relay = secure.relay()
    for number in (1, 2):
        relay.submit(mail(), TO)
        received(sink, number)
    notices = [event for event in relay.events("notice") if "DNSSEC" in event["text"]]
    assert len(notices) == 1


def test_with_dane_off_no_tlsa_record_is_asked_for(secure):
    secure.domain(DOMAIN, HOST)
    sink = secure.host(HOST)
    publish_tlsa(secure, HOST, tlsa(3, 1, self_signed([HOST]).certificate))
    relay = secure.relay(DANE="off")
    relay.submit(mail(), TO)
    received(sink)
    assert "TLSA" not in {rdtype for _, rdtype in secure.dns.asked}
