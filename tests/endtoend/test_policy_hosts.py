"""Policy hosts that give no policy: mail goes as if there were none, and the reason is told once."""

import time

import pytest

from harness.policy_host import policy
from harness.waiting import until
from harness.web_server import WebAnswer
from tests.endtoend.mails import mail
from tests.endtoend.secure_world import ROOT, STRANGER
from tests.endtoend.world import received

DOMAIN, HOST = "bank.example", "mx.bank.example"
TO = f"ann@{DOMAIN}"
POLICY = policy("enforce", [HOST])
LONG = b"#" * 70_000
NAME = f"mta-sts.{DOMAIN}"

ANSWERS = {
    "redirect": (WebAnswer(301, POLICY.body, {"Location": f"https://www.{DOMAIN}/mta-sts.txt"}), ROOT.leaf([NAME])),
    "404": (WebAnswer(404, POLICY.body), ROOT.leaf([NAME])),
    "HTML": (WebAnswer(200, b"<html>welcome</html>", {"Content-Type": "text/html"}), ROOT.leaf([NAME])),
    "policy as HTML": (WebAnswer(200, POLICY.body, {"Content-Type": "text/html"}), ROOT.leaf([NAME])),
    "too long": (WebAnswer(200, POLICY.body + LONG), ROOT.leaf([NAME])),
    "expired certificate": (POLICY, ROOT.leaf([NAME], expired=True)),
    "wrong name": (POLICY, ROOT.leaf([DOMAIN])),
    "unknown authority": (POLICY, STRANGER.leaf([NAME])),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_policy_that_cannot_be_had_is_as_none_and_told_once(secure, kind):
    answer, certificate = ANSWERS[kind]
    secure.domain(DOMAIN, HOST, signed=False)
    sink = secure.host(HOST)
    web = secure.policy_host(DOMAIN, answer, shows=certificate)
    relay = secure.relay()
    for number in (1, 2):
        relay.submit(mail(), TO)
        received(sink, number)
    (failed,) = relay.events("policy-failed")
    assert failed["domain"] == DOMAIN
    assert failed["reason"]
    # The next try is after five minutes.
    assert web.connections == 1
    assert relay.events("policy") == []


def test_a_silent_policy_host_delays_its_own_domain_alone_and_that_by_15_seconds(secure):
    for domain in (DOMAIN, "shop.example"):
        secure.domain(domain, f"mx.{domain}", signed=False)
    slow, quick = secure.host(HOST), secure.host("mx.shop.example")
    secure.policy_host(DOMAIN, POLICY, silent=True)
    relay = secure.relay()
    begun = time.monotonic()
    relay.submit(mail(), [TO, "ann@shop.example"])
    received(quick)
    assert slow.messages == []
    received(slow)
    assert 14 < time.monotonic() - begun < 60
    # The fetch has failed for five minutes.
    relay.submit(mail(), TO)
    received(slow, 2)
    assert len(relay.events("policy-failed")) == 1


PRIVATE = (
    *("127.0.0.1", "0.0.0.0", "10.0.0.5", "100.64.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1", "198.18.0.1"),
    *("::1", "fd00::1", "fe80::1", "::ffff:127.0.0.1", "64:ff9b::10.0.0.5", "2002:7f00:1::", "2001:db8::5efe:10.0.0.1"),
)


def test_no_policy_host_at_a_private_address_is_connected_to(secure):
    # Every address is one of this network, and each connection to port 443 arrives.
    secure.network.ip("route", "add", "local", "0.0.0.0/0", "dev", "lo")
    secure.network.ip("-6", "route", "add", "local", "::/0", "dev", "lo")
    names = [f"private{number}.example" for number in range(len(PRIVATE))]
    shown = ROOT.leaf([f"mta-sts.{name}" for name in ("public.example", *names)])
    webs = [secure.web_server(shown, address, policy("enforce", ["mx.host.example"])) for address in ("0.0.0.0", "::")]
    secure.tree.zone("host.example", signed=False)
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
