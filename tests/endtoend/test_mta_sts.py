"""Mail to domains with an MTA-STS policy (RFC 8461): what is sent, what waits, and why."""

import pytest

from harness.certificates import self_signed
from harness.policy_host import policy
from harness.sink_rules import Rule
from tests.endtoend.mails import mail
from tests.endtoend.secure_world import ROOT, STRANGER, SharedRelay
from tests.endtoend.world import received


@pytest.fixture(scope="module")
def running(shared_secure):
    """Return a relay for the tests of this module."""
    return SharedRelay(shared_secure)


@pytest.fixture
def world(running):
    """Return the maker of domains."""
    return running.secure


@pytest.fixture
def domain(world, running):
    """Return a new domain, which is not signed, whose MX host has the name `mx.` before its own."""
    return new_domain(world, running)


def new_domain(world, running):
    name = running.name()
    world.domain(name, f"mx.{name}", signed=False)
    return name


def way_out(domain):
    """Return the setting that lifts the demand, as the log names it."""
    return f"TLS_POLICY={domain}=opportunistic"


def test_mail_goes_to_a_host_of_an_enforced_policy_that_proves_its_name(running, world, domain):
    host = f"mx.{domain}"
    sink = world.host(host, shows=ROOT.leaf([host]))
    web = world.policy_host(domain, policy("enforce", [host]))
    running.send(domain)
    assert running.tls(domain).endswith(" verified sts")
    assert sink.faults == []
    assert [(request.method, request.path) for request in web.requests] == [("GET", "/.well-known/mta-sts.txt")]
    assert web.server_names == [f"mta-sts.{domain}"]
    (told,) = running.of("policy", domain)
    assert (told["kind"], told["mode"], told["mx"]) == ("sts", "enforce", host)


@pytest.mark.parametrize(
    "kind", ["wrong name", "expired", "unknown authority", "self-signed", "no STARTTLS", "STARTTLS refused"]
)
def test_mail_waits_if_the_host_of_an_enforced_policy_proves_nothing(running, world, domain, kind):
    host = f"mx.{domain}"
    shown = {
        "wrong name": ROOT.leaf(["mx.other.example"]),
        "expired": ROOT.leaf([host], expired=True),
        "unknown authority": STRANGER.leaf([host]),
        "self-signed": self_signed([host]),
        "no STARTTLS": None,
        "STARTTLS refused": ROOT.leaf([host]),
    }[kind]
    rules = [Rule("STARTTLS", "454 4.7.0 not now")] if kind == "STARTTLS refused" else []
    sink = world.host(host, *rules, shows=shown)
    world.policy_host(domain, policy("enforce", [host]))
    running.send(domain)
    reply = running.deferral(domain)
    assert f"{domain} demands it by MTA-STS" in reply
    assert way_out(domain) in reply
    assert sink.messages == []


def test_hosts_that_the_policy_does_not_list_are_not_connected_to(running, world):
    domain, other = running.name(), running.name()
    hosts = [f"mx.{other}", f"mx.{domain}"]
    world.domain(domain, *hosts, signed=False)
    world.domain(other, signed=False)
    intruder, sink = (world.host(host, shows=ROOT.leaf([host])) for host in hosts)
    world.policy_host(domain, policy("enforce", hosts[1:]))
    running.send(domain)
    received(sink)
    assert intruder.connections == 0


def test_mail_goes_to_the_next_host_if_the_first_one_proves_nothing(running, world):
    domain = running.name()
    hosts = [f"mx.{domain}", f"mx2.{domain}"]
    world.domain(domain, *hosts, signed=False)
    first, second = world.host(hosts[0], shows=self_signed(hosts)), world.host(hosts[1], shows=ROOT.leaf(hosts))
    world.policy_host(domain, policy("enforce", hosts))
    running.send(domain)
    received(second)
    assert running.tls(domain).endswith(" verified sts")
    assert first.messages == []


def test_a_domain_may_leave_its_policy_to_a_provider_by_cnames(running, world, domain):
    provider, host = running.name(), f"mx.{domain}"
    world.domain(provider, signed=False)
    sink = world.host(host)
    web = world.policy_host(provider, policy("enforce", [host]), shows=ROOT.leaf([f"mta-sts.{domain}"]))
    for label in ("mta-sts", "_mta-sts"):
        world.tree.set(f"{label}.{domain}", "CNAME", f"{label}.{provider}.")
    running.send(domain)
    assert f"{domain} demands it by MTA-STS" in running.deferral(domain)
    assert sink.messages == []
    assert web.server_names == [f"mta-sts.{domain}"]


def test_a_domain_without_mx_is_its_own_host_which_the_policy_must_list(running, world):
    domains = [running.name() for _ in range(2)]
    for domain, listed in zip(domains, (domains[0], "mx.other.example"), strict=True):
        world.domain(domain, signed=False)
        world.host(domain, shows=ROOT.leaf([domain]))
        world.policy_host(domain, policy("enforce", [listed]))
    running.send(*domains)
    assert running.tls(domains[0]).endswith(" verified sts")
    assert way_out(domains[1]) in running.deferral(domains[1])


def test_mail_waits_if_the_policy_lists_none_of_the_hosts(running, world, domain):
    sink = world.host(f"mx.{domain}", shows=ROOT.leaf([f"mx.{domain}"]))
    world.policy_host(domain, policy("enforce", ["mx.other.example"]))
    running.send(domain)
    assert way_out(domain) in running.deferral(domain)
    assert running.of("deferred", domain)[0]["status"] == "4.7.5"
    assert sink.connections == 0


def test_a_wildcard_stands_for_one_label(running, world):
    domain, hosts = running.name(), running.name()
    world.domain(hosts, signed=False)
    near, far = f"a.{hosts}", f"b.a.{hosts}"
    world.domain(domain, far, near, signed=False)
    sinks = {name: world.host(name, shows=ROOT.leaf([name])) for name in (near, far)}
    world.policy_host(domain, policy("enforce", [f"*.{hosts}"]))
    running.send(domain)
    received(sinks[near])
    assert sinks[far].connections == 0


@pytest.mark.parametrize("listed", [True, False])
def test_failures_of_a_policy_in_testing_are_only_told(running, world, domain, listed):
    host = f"mx.{domain}"
    world.host(host, shows=self_signed([host]))
    world.policy_host(domain, policy("testing", [host if listed else "mx.other.example"]))
    running.send(domain)
    assert "unverified (" in running.tls(domain)
    assert len(running.notices("MTA-STS", domain)) == 1


def test_with_the_setting_testing_no_policy_holds_mail(secure):
    running = SharedRelay(secure, MTA_STS="testing")
    domains = [new_domain(secure, running) for _ in range(2)]
    for domain, listed in zip(domains, (f"mx.{domains[0]}", "mx.other.example"), strict=True):
        secure.host(f"mx.{domain}", shows=self_signed([domain]))
        secure.policy_host(domain, policy("enforce", [listed]))
    running.send(*domains)
    for domain in domains:
        assert "unverified (" in running.tls(domain)
        assert len(running.notices("MTA-STS", domain)) == 1


def test_domains_with_one_host_share_no_connection_if_one_demands_proof(running, world, domain):
    other = running.name()
    world.domain(other, f"mx.{domain}", signed=False)
    sink = world.host(f"mx.{domain}", shows=ROOT.leaf([f"mx.{domain}"]))
    world.policy_host(domain, policy("enforce", [f"mx.{domain}"]))
    for _ in range(3):
        running.send(other, domain)
    messages = received(sink, 6)
    demanded = {message.connection for message in messages if message.recipients == (f"ann@{domain}",)}
    assert not demanded & {message.connection for message in messages if message.recipients == (f"ann@{other}",)}
    assert running.tls(domain).endswith(" verified sts")
    assert running.tls(other).endswith(" verified")


def test_a_policy_that_appears_does_not_use_the_connection_that_is_open(running, world, domain):
    sink = world.host(f"mx.{domain}")
    running.send(domain)
    received(sink)
    world.policy_host(domain, policy("enforce", [f"mx.{domain}"]))
    world.wait_for_new_answers()
    running.send(domain)
    assert f"{domain} demands it by MTA-STS" in running.deferral(domain)
    assert len(sink.messages) == 1


def test_a_new_id_with_no_policy_frees_the_mail_at_the_next_attempt(running, world, domain):
    sink = world.host(f"mx.{domain}")
    web = world.policy_host(domain, policy("enforce", [f"mx.{domain}"]))
    running.send(domain)
    running.deferral(domain)
    web.answer = policy("none")
    world.announce(domain, "2")
    world.publish()
    world.wait_for_new_answers()
    assert running.relay.tool("queue", "retry", "--all").returncode == 0
    received(sink)
    assert [event["mode"] for event in running.of("policy", domain)] == ["enforce", "none"]


def test_the_policy_outlives_a_restart_and_the_loss_of_its_host(secure):
    running = SharedRelay(secure)
    domain = new_domain(secure, running)
    sink = secure.host(f"mx.{domain}")
    web = secure.policy_host(domain, policy("enforce", [f"mx.{domain}"]))
    running.send(domain)
    running.deferral(domain)
    running.relay.stop()
    web.answer.status = 404
    secure.tree.remove(f"_mta-sts.{domain}", "TXT")
    running.relay.start()
    running.send(domain)
    running.relay.wait_for_events("deferred", 2)
    assert sink.messages == []


def test_each_worker_follows_the_policy(secure):
    running = SharedRelay(secure, WORKERS="2")
    domain = new_domain(secure, running)
    sink = secure.host(f"mx.{domain}")
    web = secure.policy_host(domain, policy("enforce", [f"mx.{domain}"]))
    secure.publish()
    for _ in range(10):
        running.relay.submit(mail(), f"ann@{domain}")
    running.relay.wait_for_events("deferred", 10)
    assert sink.messages == []
    assert all(f"{domain} demands it by MTA-STS" in event["reply"] for event in running.of("deferred", domain))
    assert {request.path for request in web.requests} == {"/.well-known/mta-sts.txt"}
    assert len(web.requests) <= 2


def test_without_the_setting_no_policy_is_asked_for(secure):
    secure.domain("bank.example", "mx.bank.example", signed=False)
    sink = secure.host("mx.bank.example")
    web = secure.policy_host("bank.example", policy("enforce", ["mx.bank.example"]))
    relay = secure.relay(MTA_STS="off")
    relay.submit(mail(), "ann@bank.example")
    received(sink)
    assert web.connections == 0
    assert "_mta-sts.bank.example" not in {name for name, _ in secure.dns.asked}
