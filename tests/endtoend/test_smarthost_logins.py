"""Logins at a smarthost with real servers at the other end: Postfix with Dovecot, libgsasl, and certificates."""

import pytest

from harness import gsasl
from harness.certificates import authority
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, outcome, received
from tests.programs.sasl_postfix import Login, SaslPostfix, why_not

ROOT = authority()
NAME = "smart.example.test"
USER, PASSWORD = "relay@client.test", "open-sesame/+9"
PASSWORDS = ("SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN")
needs_libgsasl = pytest.mark.skipif(gsasl.why_not() is not None, reason=str(gsasl.why_not()))


def tls(world):
    return tuple(map(str, ROOT.leaf([NAME], ["127.0.0.1"]).write(world.home, "smarthost")))


def smarthost(world, port, **more):
    """Return the settings of a smarthost at this port of 127.0.0.1."""
    world.dns.add({NAME: {"A": ["127.0.0.1"]}})
    trusted = str(ROOT.write(world.home))
    return {"SMARTHOST_ADDRESS": NAME, "SMARTHOST_PORT": str(port), "SMARTHOST_CA_FILE": trusted, **more}


def login(**more):
    return {"SMARTHOST_USER": USER, "SMARTHOST_PASSWORD": PASSWORD, **more}


@pytest.mark.long
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.parametrize("mechanism", PASSWORDS)
def test_dovecot_accepts_the_password_by_each_mechanism(world, mechanism):
    certificate = ROOT.leaf([NAME]).write(world.home, "smarthost")
    with SaslPostfix(certificate, {USER: PASSWORD}, {}, (mechanism,)) as server:
        relay = world.relay(server, **smarthost(world, server.port, **login()))
        relay.submit(mail(), TO)
        assert outcome(relay) == "", server.log
        relay.stop()
        assert server.logins == [Login(mechanism, USER)]


@needs_libgsasl
@pytest.mark.parametrize("mechanisms", [("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"), ("LOGIN", "SCRAM-SHA-256")])
def test_the_strongest_mechanism_that_is_offered_is_taken(world, mechanisms):
    sink = world.sink(tls=tls(world), users={USER: PASSWORD}, mechanisms=mechanisms)
    relay = world.relay(sink, **smarthost(world, sink.port, **login()))
    relay.submit(mail(), TO)
    assert outcome(relay) == ""
    (message,) = received(sink)
    assert message.user == USER
    assert [(one.mechanism, one.accepted) for one in sink.logins] == [(mechanisms[-1], True)]


@needs_libgsasl
def test_a_password_that_the_bound_mechanism_refuses_is_shown_to_no_weaker_one(world):
    mechanisms = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")
    sink = world.sink(tls=tls(world), users={USER: "another"}, mechanisms=mechanisms)
    relay = world.relay(sink, **smarthost(world, sink.port, **login()))
    relay.submit(mail(), TO)
    relay.wait_for_events("deferred")
    relay.stop()
    assert {(one.mechanism, one.accepted) for one in sink.logins} == {("SCRAM-SHA-256-PLUS", False)}
    assert sink.messages == []


def client_certificate(world):
    certificate, key = ROOT.leaf(["relay.client.test"]).write(world.home, "client")
    return {"SMARTHOST_CERTIFICATE_PATH": str(certificate), "SMARTHOST_KEY_PATH": str(key)}


@pytest.mark.parametrize("mechanisms", [("EXTERNAL", "PLAIN"), ()], ids=["EXTERNAL", "certificate alone"])
def test_a_certificate_logs_the_relay_in(world, mechanisms):
    trusted = str(ROOT.write(world.home))
    sink = world.sink(tls=tls(world), client_authority=trusted, certificate_required=True, mechanisms=mechanisms)
    relay = world.relay(sink, **smarthost(world, sink.port, **client_certificate(world)))
    relay.submit(mail(), TO)
    assert outcome(relay) == ""
    (message,) = received(sink)
    assert message.certificate == "relay.client.test"
    assert [(one.mechanism, one.responses) for one in sink.logins] == [("EXTERNAL", (b"",))][: len(mechanisms)]


def test_a_certificate_is_shown_beside_a_password(world):
    trusted = str(ROOT.write(world.home))
    sink = world.sink(tls=tls(world), client_authority=trusted, users={USER: PASSWORD}, mechanisms=("PLAIN",))
    relay = world.relay(sink, **smarthost(world, sink.port, **client_certificate(world), **login()))
    relay.submit(mail(), TO)
    assert outcome(relay) == ""
    (message,) = received(sink)
    assert (message.certificate, message.user) == ("relay.client.test", USER)
