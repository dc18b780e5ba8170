"""Mail to MX hosts with TLSA records that DNSSEC proves (RFC 7672): what is sent, what waits, and why.

The resolver of the relay does not validate, so that only the relay's own libunbound proves anything.
"""

import pytest

from harness.altering_dns import failing, strip_signatures
from harness.certificates import self_signed
from harness.policy_host import policy
from harness.zone_tree import unsigned
from tests.endtoend.mails import mail
from tests.endtoend.secure_world import ROOT, STRANGER, SharedRelay, tlsa
from tests.endtoend.world import received


@pytest.fixture(scope="module")
def running(shared_secure):
    """Return a relay for the tests of this module."""
    shared_secure.validating = False
    return SharedRelay(shared_secure)


@pytest.fixture
def world(running):
    """Return the maker of domains, whose name server is honest."""
    running.secure.dns.alterations = []
    return running.secure


@pytest.fixture
def domain(world, running):
    """Return a new domain, signed, whose MX host has the name `mx.` before its own."""
    name = running.name()
    world.domain(name, f"mx.{name}")
    return name


def publish_tlsa(world, host, *records):
    world.tree.set(f"_25._tcp.{host}", "TLSA", *records)


def way_out(domain):
    """Return the setting that lifts the demand, as the log names it."""
    return f"TLS_POLICY={domain}=opportunistic"


def test_an_expired_self_signed_certificate_proves_the_host_if_3_1_1_matches(running, world, domain):
    shown = self_signed(["localhost"], expired=True)
    sink = world.host(f"mx.{domain}", shows=shown)
    publish_tlsa(world, f"mx.{domain}", tlsa(3, 1, shown.certificate))
    running.send(domain)
    assert running.tls(domain).endswith(" dane")
    assert sink.server_names == [f"mx.{domain}"]
    assert sink.faults == []


@pytest.mark.parametrize("prefix", ["", "mx."], ids=["domain", "host"])
def test_an_authority_of_2_1_1_proves_certificates_for_the_host_and_for_the_domain(running, world, domain, prefix):
    world.host(f"mx.{domain}", shows=STRANGER.leaf([f"{prefix}{domain}"]), chain=[STRANGER])
    publish_tlsa(world, f"mx.{domain}", tlsa(2, 1, STRANGER.certificate))
    running.send(domain)
    assert running.tls(domain).endswith(" dane")


@pytest.mark.parametrize("kind", ["other certificate", "other name", "no STARTTLS"])
def test_mail_waits_if_no_record_matches(running, world, domain, kind):
    host = f"mx.{domain}"
    shown = {
        "other certificate": ROOT.leaf([host]),
        "other name": STRANGER.leaf(["mx.other.example"]),
        "no STARTTLS": None,
    }[kind]
    sink = world.host(host, shows=shown, chain=[STRANGER] if kind == "other name" else [])
    publish_tlsa(world, host, tlsa(2, 1, STRANGER.certificate), tlsa(3, 1, self_signed([host]).certificate))
    # A policy that the host fulfils does not help.
    world.policy_host(domain, policy("enforce", [host]))
    running.send(domain)
    reply = running.deferral(domain)
    assert f"{domain} demands it by DANE" in reply
    assert way_out(domain) in reply
    assert sink.messages == []


@pytest.mark.parametrize("offered", [True, False])
def test_records_of_which_none_is_usable_demand_tls_and_prove_nothing(running, world, domain, offered):
    shown = self_signed([f"mx.{domain}"])
    sink = world.host(f"mx.{domain}", shows=shown if offered else None)
    publish_tlsa(world, f"mx.{domain}", tlsa(1, 1, shown.certificate))
    running.send(domain)
    if offered:
        assert "unverified" in running.tls(domain)
    else:
        assert way_out(domain) in running.deferral(domain)
        assert sink.messages == []


@pytest.mark.parametrize("how", ["SERVFAIL", "REFUSED"])
def test_a_host_whose_tlsa_records_cannot_be_had_is_passed_over(running, world, how):
    domain = running.name()
    hosts = [f"mx.{domain}", f"mx2.{domain}"]
    world.domain(domain, *hosts)
    first, second = (world.host(host, shows=ROOT.leaf([host])) for host in hosts)
    world.dns.alterations = [failing("TLSA", f"_25._tcp.{hosts[0]}", how)]
    running.send(domain)
    received(second)
    assert first.connections == 0


def test_mail_waits_if_the_tlsa_records_of_the_last_host_cannot_be_had(running, world, domain):
    sink = world.host(f"mx.{domain}", shows=ROOT.leaf([f"mx.{domain}"]))
    world.dns.alterations = [failing("TLSA")]
    running.send(domain)
    assert way_out(domain) in running.deferral(domain)
    assert sink.connections == 0


@pytest.mark.parametrize(("prefix", "rdtype"), [("", "MX"), ("mx.", "A"), ("_25._tcp.mx.", "TLSA")])
def test_mail_waits_if_records_are_bogus(running, world, domain, prefix, rdtype):
    shown = self_signed([f"mx.{domain}"])
    sink = world.host(f"mx.{domain}", shows=shown)
    publish_tlsa(world, f"mx.{domain}", tlsa(3, 1, shown.certificate))
    world.tree.of(domain).tampering.append(unsigned(f"{prefix}{domain}", rdtype))
    running.send(domain)
    assert way_out(domain) in running.deferral(domain)
    assert sink.connections == 0


def test_tlsa_records_in_a_zone_that_is_not_signed_count_for_nothing(running, world):
    domain = running.name()
    world.domain(domain, f"mx.{domain}", signed=False)
    world.host(f"mx.{domain}")
    publish_tlsa(world, f"mx.{domain}", tlsa(3, 1, self_signed([domain]).certificate))
    running.send(domain)
    assert running.tls(domain) == ""


def test_the_records_of_a_signed_host_count_for_a_domain_that_is_not_signed(running, world):
    domain, other = running.name(), running.name()
    world.domain(domain, f"mx.{other}", signed=False)
    world.domain(other)
    shown = self_signed([f"mx.{other}"])
    world.host(f"mx.{other}", shows=shown)
    publish_tlsa(world, f"mx.{other}", tlsa(3, 1, shown.certificate))
    running.send(domain)
    assert running.tls(domain).endswith(" dane")


def test_domains_share_no_connection_if_the_names_that_they_accept_differ(running, world, domain):
    other = running.name()
    world.domain(other, f"mx.{domain}")
    sink = world.host(f"mx.{domain}", shows=STRANGER.leaf([domain]), chain=[STRANGER])
    publish_tlsa(world, f"mx.{domain}", tlsa(2, 1, STRANGER.certificate))
    running.send(domain)
    assert running.tls(domain).endswith(" dane")
    running.send(other)
    assert way_out(other) in running.deferral(other)
    assert len(sink.messages) == 1


@pytest.mark.parametrize("at", ["target", "name", "both"])
def test_an_mx_host_that_is_a_cname_has_its_records_at_the_target_or_at_the_name(running, world, domain, at):
    name, target = f"mx.{domain}", f"mail.{running.name()}"
    world.domain(target.partition(".")[2])
    shown, wrong = self_signed([target]), self_signed([target])
    sink = world.host(target, shows=shown)
    world.tree.set(name, "CNAME", f"{target}.")
    if at != "name":
        publish_tlsa(world, target, tlsa(3, 1, shown.certificate))
    if at != "target":
        publish_tlsa(world, name, tlsa(3, 1, (wrong if at == "both" else shown).certificate))
    running.send(domain)
    assert running.tls(domain).endswith(" dane")
    # The host is asked for by the name of the records' owner (RFC 7672 section 2.2.3).
    assert sink.server_names == [name if at == "name" else target]


def test_an_mx_host_whose_cname_leads_out_of_the_signed_zones_has_its_records_at_the_name(running, world, domain):
    name, target = f"mx.{domain}", f"mail.{running.name()}"
    world.domain(target.partition(".")[2], signed=False)
    shown, wrong = self_signed([target]), self_signed([target])
    world.host(target, shows=shown)
    world.tree.set(name, "CNAME", f"{target}.")
    publish_tlsa(world, target, tlsa(3, 1, wrong.certificate))
    publish_tlsa(world, name, tlsa(3, 1, shown.certificate))
    running.send(domain)
    assert running.tls(domain).endswith(" dane")


def test_a_resolver_that_strips_signatures_is_told_once_and_mail_flows(secure):
    secure.dns.alterations = [strip_signatures]
    running = SharedRelay(secure)
    for _ in range(2):
        domain = running.name()
        secure.domain(domain, f"mx.{domain}")
        secure.host(f"mx.{domain}")
        publish_tlsa(secure, f"mx.{domain}", tlsa(3, 1, self_signed([domain]).certificate))
        running.send(domain)
        assert running.tls(domain) == ""
    assert len(running.notices("DNSSEC")) == 1


def test_with_dane_off_no_tlsa_record_is_asked_for(secure):
    secure.domain("bank.example", "mx.bank.example")
    sink = secure.host("mx.bank.example")
    publish_tlsa(secure, "mx.bank.example", tlsa(3, 1, self_signed(["mx.bank.example"]).certificate))
    relay = secure.relay(DANE="off")
    relay.submit(mail(), "ann@bank.example")
    received(sink)
    assert "TLSA" not in {rdtype for _, rdtype in secure.dns.asked}
