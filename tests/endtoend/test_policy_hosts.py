"""Policy hosts that give no policy: mail goes as if there were none, and the reason is told once."""

import time

import pytest

from harness.policy_host import policy
from harness.waiting import until
from harness.web_server import WebAnswer
from tests.endtoend.mails import mail
from tests.endtoend.secure_world import ROOT, STRANGER, SharedRelay
from tests.endtoend.world import received

POLICY = policy("enforce", ["mx.other.example"])
HTML = {"Content-Type": "text/html"}

#: What the policy host of a domain answers, and its certificate.
ANSWERS = {
    "redirect": lambda host: (WebAnswer(301, POLICY.body, {"Location": f"https://www.{host}/"}), ROOT.leaf([host])),
    "404": lambda host: (WebAnswer(404, POLICY.body), ROOT.leaf([host])),
    "HTML": lambda host: (WebAnswer(200, b"<html>welcome</html>", HTML), ROOT.leaf([host])),
    "policy as HTML": lambda host: (WebAnswer(200, POLICY.body, HTML), ROOT.leaf([host])),
    "too long": lambda host: (WebAnswer(200, POLICY.body + b"#" * 70_000), ROOT.leaf([host])),
    "expired certificate": lambda host: (POLICY, ROOT.leaf([host], expired=True)),
    "wrong name": lambda host: (POLICY, ROOT.leaf([f"www.{host}"])),
    "unknown authority": lambda host: (POLICY, STRANGER.leaf([host])),
}
PRIVATE = (
    *("127.0.0.1", "0.0.0.0", "10.0.0.5", "100.64.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1", "198.18.0.1"),
    *("::1", "fd00::1", "fe80::1", "::ffff:127.0.0.1", "64:ff9b::10.0.0.5", "2002:7f00:1::", "2001:db8::5efe:10.0.0.1"),
)


@pytest.fixture(scope="module")
def running(shared_secure):
    """Return a relay for the tests of this module."""
    return SharedRelay(shared_secure)


def new_domain(running, answer, **more):
    """Return a new domain, which is not signed, and its MX host and policy host."""
    name, secure = running.name(), running.secure
    secure.domain(name, f"mx.{name}", signed=False)
    return name, secure.host(f"mx.{name}"), secure.policy_host(name, answer, **more)


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_policy_that_cannot_be_had_is_as_none_and_told_once(running, kind):
    domain, sink, web = new_domain(running, WebAnswer())
    web.answer, shown = ANSWERS[kind](f"mta-sts.{domain}")
    web.use(running.secure.files(shown))
    for number in (1, 2):
        running.send(domain)
        received(sink, number)
    (failed,) = running.of("policy-failed", domain)
    assert failed["reason"]
    # The next try is after five minutes.
    assert web.connections == 1
    assert running.of("policy", domain) == []


def test_a_silent_policy_host_delays_its_own_domain_alone_and_that_by_15_seconds(running):
    domain, slow, _ = new_domain(running, POLICY, silent=True)
    other, quick, _ = new_domain(running, WebAnswer(404))
    begun = time.monotonic()
    running.send(domain, other)
    received(quick)
    assert slow.messages == []
    received(slow)
    assert time.monotonic() - begun > 14
    # The fetch has failed for five minutes.
    running.send(domain)
    received(slow, 2)
    assert len(running.of("policy-failed", domain)) == 1


def test_a_closed_port_443_is_told_once_and_delays_no_mail(secure):
    running = SharedRelay(secure)
    sinks = []
    for _ in range(5):
        domain = running.name()
        secure.domain(domain, f"mx.{domain}", signed=False)
        sinks.append(secure.host(f"mx.{domain}"))
        secure.announce(domain, "1")
        # Nothing listens there.
        secure.tree.set(f"mta-sts.{domain}", "A", "8.26.56.254")
        running.send(domain)
    for sink in sinks:
        received(sink)
    assert len(running.notices("443")) == 1


def test_no_policy_host_at_a_private_address_is_connected_to(secure):
    # Every address is one of this network, and each connection to port 443 arrives.
    secure.network.ip("route", "add", "local", "0.0.0.0/0", "dev", "lo")
    secure.network.ip("-6", "route", "add", "local", "::/0", "dev", "lo")
    names = [f"private{number}.example" for number in range(len(PRIVATE))]
    shown = ROOT.leaf([f"mta-sts.{name}" for name in ("public.example", *names)])
    webs = [secure.web_server(shown, address, POLICY) for address in ("0.0.0.0", "::")]
    secure.domain("host.example", signed=False)
    sink = secure.host("mx.host.example")
    for name, address in zip(("public.example", *names), ("8.26.57.1", *PRIVATE), strict=True):
        secure.domain(name, "mx.host.example", signed=False)
        secure.announce(name, "1")
        secure.tree.set(f"mta-sts.{name}", "AAAA" if ":" in address else "A", address)
    relay = secure.relay(DISABLE_IPV6="no")
    relay.submit(mail(), [f"ann@{name}" for name in names])
    until(lambda: sum(len(message.recipients) for message in sink.messages) == len(names), what="the mail")
    assert [web.connections for web in webs] == [0, 0]
    # A policy host at a public address is asked.
    relay.submit(mail(), "ann@public.example")
    relay.wait_for_events("deferred")
    assert sum(web.connections for web in webs) == 1
