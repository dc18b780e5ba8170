"""SCRAM at the ports of submission, by GNU SASL and msmtp, with and without channel binding."""

import pytest

from mta.smtp.sasl.scram import derive, format_secret
from tests.endtoend.submission import STRANGER, plain, submission
from tests.endtoend.world import received
from tests.length import choose
from tests.programs.mail_clients import Account, gsasl, gsasl_lacks, lacks, msmtp

USER = "alice"
PASSWORD = "open-sesame/+9"
PRIORITIES = {"TLSv1.2": "NORMAL:-VERS-TLS1.3", "TLSv1.3": "NORMAL"}
MECHANISMS = ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]


@pytest.fixture(autouse=True)
def _hidden(world):
    """Have the password sought in all words of the relay."""
    world.secret(PASSWORD)


def users(*more: str) -> str:
    secret = format_secret(derive(PASSWORD, b"a salt of 16 oct", 4096))
    return "".join(f"{line}\n" for line in (f"{USER}:{secret}", *more))


@pytest.mark.skipif(gsasl_lacks() is not None, reason=str(gsasl_lacks()))
@pytest.mark.parametrize("tls", choose(["TLSv1.3"], ["TLSv1.2", "TLSv1.3"]))
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_gsasl_logs_in_and_finds_the_relay_genuine(world, mechanism, tls):
    site = submission(world, world.sink(), users())
    done = gsasl(site.starttls, Account(USER, PASSWORD, mechanism), PRIORITIES[tls])
    assert done.accepted, done.output
    wrong = gsasl(site.starttls, Account(USER, "wrong", mechanism))
    assert not wrong.accepted, wrong.output
    unknown = gsasl(site.starttls, Account("bob", PASSWORD, mechanism))
    assert not unknown.accepted, unknown.output
    (event,) = site.relay.wait_for_events("login")
    assert (event["user"], event["mechanism"]) == (USER, mechanism)
    assert event["tls"].startswith(tls)


@pytest.mark.skipif(lacks("msmtp") is not None, reason=str(lacks("msmtp")))
def test_msmtp_submits_through_both_ports(world):
    sink = world.sink()
    site = submission(world, sink, users())
    for server in site.servers:
        done = msmtp(server, Account(USER, PASSWORD, "SCRAM-SHA-256"))
        assert done.accepted, done.output
    messages = received(sink, 2)
    assert all(" with ESMTPSA " in message.header("Received") for message in messages)


def test_scram_is_offered_only_if_every_user_can_use_it(world):
    def offered(*more: str) -> list[str]:
        site = submission(world, sink, users(*more))
        lines = site.in_tls(STRANGER).ask(b"EHLO client.test\r\n")
        (auth,) = [line[4:].split()[1:] for line in lines if line[4:].startswith("AUTH")]
        assert site.in_tls(STRANGER).say(plain(USER, PASSWORD)).startswith("235")
        site.relay.stop()
        return auth

    sink = world.sink()
    assert set(offered()) == {"PLAIN", "LOGIN", *MECHANISMS}
    assert offered("crypt:$2y$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui") == ["PLAIN", "LOGIN"]
