"""C11 to C15 where they need ports and names that only a network of one's own has."""

import pytest

from tests.acceptance.stage import arrived
from tests.endtoend.mails import mail

GMAIL = {"GMAIL_USER": "g", "GMAIL_PASSWORD": "g-secret"}
SES = {"SES_USER": "s", "SES_PASSWORD": "s-secret"}
OWN = {
    "SMARTHOST_ADDRESS": "smart.own.test",
    "SMARTHOST_PORT": "587",
    "SMARTHOST_USER": "o",
    "SMARTHOST_PASSWORD": "o-secret",
}

ADDRESSES = {
    "smtp.gmail.com": "203.0.113.101",
    "email-smtp.us-east-1.amazonaws.com": "203.0.113.102",
    "email-smtp.eu-west-1.amazonaws.com": "203.0.113.103",
    "smart.own.test": "203.0.113.104",
}


@pytest.fixture
def providers(internet):
    """Return the providers, each at its port with its own certificate, by name."""
    users = {"g": "g-secret", "s": "s-secret", "o": "o-secret"}
    internet.dns.add({name: {"A": [address]} for name, address in ADDRESSES.items()})
    return {
        name: internet.host(
            address,
            port=2587 if "eu-west-1" in name else 587,
            tls=internet.stage.certificate(name),
            users=users,
            mechanisms=("PLAIN",),
        )
        for name, address in ADDRESSES.items()
    }


def assert_only(providers, name, recipient, user):
    """Assert that one provider got the message, from its user, and that the others got no connection."""
    message = arrived(providers[name], recipient)
    assert (message.user, message.tls) == (user, True)
    assert [other for other, sink in providers.items() if sink.connections] == [name]


def test_c11_port_465_is_tls_from_the_first_byte(internet):
    internet.dns.add({"smart.own.test": {"A": ["203.0.113.11"]}})
    sink = internet.host("203.0.113.11", port=465, implicit=True, tls=internet.stage.certificate("smart.own.test"))
    relay = internet.relay(SMARTHOST_ADDRESS="smart.own.test", SMARTHOST_PORT="465")
    relay.submit(mail(), "c11@any.test")
    assert arrived(sink, "c11@any.test").tls


@pytest.mark.parametrize("port", [{}, {"SMARTHOST_PORT": ""}], ids=["unset", "empty"])
def test_c13_the_smarthosts_port_is_25_unless_set(internet, port):
    internet.dns.add({"smart.own.test": {"A": ["203.0.113.13"]}})
    sink = internet.host("203.0.113.13")
    relay = internet.relay(SMARTHOST_ADDRESS="smart.own.test", **port)
    relay.submit(mail(), "c13@any.test")
    arrived(sink, "c13@any.test")


@pytest.mark.parametrize(
    ("settings", "name", "user"),
    [
        ({**GMAIL, **SES, **OWN}, "smtp.gmail.com", "g"),
        ({**SES, **OWN}, "email-smtp.us-east-1.amazonaws.com", "s"),
        (OWN, "smart.own.test", "o"),
    ],
    ids=["all", "no Gmail", "neither"],
)
def test_c14_gmail_comes_first_then_ses_then_the_smarthost(internet, providers, settings, name, user):
    relay = internet.relay(**settings)
    relay.submit(mail(), "c14@any.test")
    assert_only(providers, name, "c14@any.test", user)


def test_c15_region_and_port_make_the_name_of_ses(internet, providers):
    relay = internet.relay(SES_REGION="eu-west-1", SES_PORT="2587", **SES)
    relay.submit(mail(), "c15@any.test")
    assert_only(providers, "email-smtp.eu-west-1.amazonaws.com", "c15@any.test", "s")
