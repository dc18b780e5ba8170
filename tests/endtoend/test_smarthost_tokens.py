"""Logins at a smarthost by tokens: a provider's token endpoint over HTTPS, and servers that accept its tokens."""

import json
import os
import stat
from collections.abc import Container
from contextlib import ExitStack

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from harness.certificates import authority
from harness.sink_rules import Rule
from harness.web_server import WebAnswer
from tests.endtoend.mails import mail
from tests.endtoend.secret_search import commands
from tests.endtoend.world import TO, outcome, received
from tests.length import choose
from tests.programs.sasl_postfix import Login, SaslPostfix, why_not

ROOT = authority()
NAME = "smart.example.test"
#: An address of this host for ports that are given: no other run of these tests has it.
RESERVED = f"127.18.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"
USER = "relay@client.test"
CLIENT_SECRET = "abc8Q~the-client-secret/+"
REFRESH_TOKEN = "0.AXoA-the-first-refresh-token"
SECOND_REFRESH_TOKEN = "0.AXoA-the-second-refresh-token"
XOAUTH2 = "user={}\1auth=Bearer {}\1\1"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may open the ports 443 and 587")


def pair(world, name, *ips):
    return tuple(map(str, ROOT.leaf([name], ips).write(world.home, name)))


def endpoint(world, **options):
    """Return a token endpoint at its own address, whose tokens look like a provider's."""
    tls = pair(world, "login.example.test", "127.0.0.1")
    return world.token_endpoint(**{"tls": tls, "prefix": "ya29.a0-the-token", **options})


def provider(world, tokens, *rules, mechanisms=("LOGIN", "XOAUTH2"), **options):
    """Return a smarthost that accepts these tokens."""
    return world.sink(*rules, tls=pair(world, NAME), tokens=tokens, mechanisms=mechanisms, **options)


def other(world, sink, tokens, **more):
    """Return the settings of a provider that no preset knows."""
    world.dns.add({NAME: {"A": ["127.0.0.1"]}})
    return {
        "SMARTHOST_ADDRESS": NAME,
        "SMARTHOST_PORT": str(sink.port),
        "SMARTHOST_USER": USER,
        "SMARTHOST_TOKEN_URL": tokens.url,
        "SMARTHOST_CLIENT_ID": "relay",
        "SMARTHOST_CLIENT_SECRET": CLIENT_SECRET,
        "SSL_CERT_FILE": str(ROOT.write(world.home)),
        **more,
    }


@as_root
def test_microsoft_365_takes_one_token_for_many_messages(world):
    world.dns.add({"login.microsoftonline.com": {"A": [RESERVED]}, "smtp.office365.com": {"A": [RESERVED]}})
    tokens = endpoint(
        world,
        tls=pair(world, "login.microsoftonline.com"),
        address=RESERVED,
        port=443,
        clients={"the-client-id": CLIENT_SECRET},
    )
    sink = world.sink(
        address=RESERVED,
        port=587,
        tls=pair(world, "smtp.office365.com"),
        tokens=tokens.tokens,
        mechanisms=("LOGIN", "XOAUTH2"),
    )
    secret = world.home / "secret"
    secret.write_text(CLIENT_SECRET + "\n")
    relay = world.relay(
        sink,
        O365_USER=USER,
        O365_TENANT="example.onmicrosoft.com",
        O365_CLIENT_ID="the-client-id",
        O365_CLIENT_SECRET_FILE=str(secret),
        SSL_CERT_FILE=str(ROOT.write(world.home)),
    )
    relay.submit(mail("1"), TO)
    received(sink)
    (request,) = tokens.requests
    assert request.path == "/example.onmicrosoft.com/oauth2/v2.0/token"
    assert request.form == {
        "grant_type": "client_credentials",
        "client_id": "the-client-id",
        "client_secret": CLIENT_SECRET,
        "scope": "https://outlook.office365.com/.default",
    }
    # The server hangs up, so that the next message needs another login.
    sink.close()
    sink.__enter__()
    relay.submit(mail("2"), TO)
    received(sink, 2)
    assert len(tokens.requests) == 1
    shown = XOAUTH2.format(USER, tokens.tokens[0]).encode()
    assert {(login.mechanism, login.responses, login.tls) for login in sink.logins} == {("XOAUTH2", (shown,), True)}
    assert len(sink.logins) == 2


def test_workers_share_one_token(world):
    clients, count = 8, choose(16, 400)
    tokens = endpoint(world)
    sink = provider(world, tokens.tokens)
    relay = world.relay(sink, WORKERS=choose("2", "4"), **other(world, sink, tokens))
    # All workers listen by then.
    relay.wait_for_events("started")
    with ExitStack() as stack:
        # Open at the same time, so that each worker gets some.
        connections = [stack.enter_context(relay.client()) for _ in range(clients)]
        for number in range(count):
            connections[number % clients].sendmail("sender@sender.test", [TO], mail(f"{number}"))
    received(sink, count)
    assert len(tokens.requests) == 1
    assert {login.password for login in sink.logins} == set(tokens.tokens)


class Latest(Container[str]):
    """The tokens of an endpoint from a certain one on; those before it have been revoked."""

    def __init__(self, endpoint):
        self._endpoint = endpoint
        self._first = 0

    def revoke(self):
        """Accept only tokens of the future."""
        self._first = len(self._endpoint.tokens)

    def __contains__(self, token):
        return token in self._endpoint.tokens[self._first :]


def test_a_replaced_refresh_token_is_the_one_that_is_used_after_a_kill(world):
    tokens = endpoint(world, refresh_tokens=[REFRESH_TOKEN], rotate=True)
    accepted = Latest(tokens)
    sink = provider(world, accepted)
    relay = world.relay(sink, **other(world, sink, tokens, SMARTHOST_REFRESH_TOKEN=REFRESH_TOKEN))
    for number in range(1, 4):
        relay.submit(mail(f"{number}"), TO)
        received(sink, number)
        relay.wait_until_empty()
        relay.kill()
        # The relay needs another token, and the endpoint gives one for the latest refresh token only.
        accepted.revoke()
        relay.start()
    used = [request.form["refresh_token"] for request in tokens.requests]
    assert used[0] == REFRESH_TOKEN
    assert len(set(used)) == len(used) == len(tokens.tokens) == 3
    (file,) = relay.queue_dir.glob("*oauth*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    # Another token in the settings wins over the one that descends from the first.
    tokens.refresh_tokens.append(SECOND_REFRESH_TOKEN)
    relay.stop()
    relay.environment["SMARTHOST_REFRESH_TOKEN"] = SECOND_REFRESH_TOKEN
    relay.start()
    relay.submit(mail("4"), TO)
    received(sink, 4)
    assert tokens.requests[3].form["refresh_token"] == SECOND_REFRESH_TOKEN


def test_mail_waits_while_the_endpoint_refuses_and_one_line_says_what_to_do(world):
    tokens = endpoint(world, refresh_tokens=["another"])
    sink = provider(world, tokens.tokens)
    relay = world.relay(sink, **other(world, sink, tokens, SMARTHOST_REFRESH_TOKEN=REFRESH_TOKEN, VERBOSE="true"))
    for number in range(3):
        relay.submit(mail(f"{number}"), TO)
    relay.wait_for_events("deferred", 3)
    for count in range(4, 6):
        commands(relay, ("queue", "retry", "--all"))
        relay.wait_for_events("deferred", count)
    (trouble,) = relay.events("trouble")
    assert "invalid_grant" in trouble["text"]
    assert "SMARTHOST_REFRESH_TOKEN" in trouble["text"]
    assert len(tokens.requests) == 1
    assert sink.logins == []
    assert relay.events("failed") == []
    assert len(relay.queue()) == 3


@pytest.mark.long
@pytest.mark.parametrize("status", [503, 429])
def test_mail_waits_while_the_endpoint_is_busy_and_goes_out_when_it_answers(world, status):
    tokens = endpoint(world, answers=[WebAnswer(status, f"busy {CLIENT_SECRET}".encode(), {"Retry-After": "1"})])
    sink = provider(world, tokens.tokens)
    relay = world.relay(sink, **other(world, sink, tokens))
    relay.submit(mail(), TO)
    (deferred, *_) = relay.wait_for_events("deferred")
    assert str(status) in deferred["reply"]
    received(sink)
    assert relay.events("failed") == []


def test_a_certificate_of_the_endpoint_that_cannot_be_trusted_gets_no_secret(world):
    stranger = tuple(map(str, authority().leaf(["login.example.test"], ["127.0.0.1"]).write(world.home, "stranger")))
    tokens = endpoint(world, tls=stranger)
    sink = provider(world, tokens.tokens)
    relay = world.relay(sink, **other(world, sink, tokens))
    relay.submit(mail(), TO)
    relay.wait_for_events("deferred")
    assert tokens.requests == []
    assert tokens.broken_handshakes > 0
    assert sink.logins == []


def service_account(tokens):
    """Return the JSON file of a service account, and register its key at the endpoint."""
    key = rsa.generate_private_key(65537, 2048)
    tokens.issuers["relay@project.test"] = key.public_key()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return json.dumps(
        {
            "type": "service_account",
            "client_email": "relay@project.test",
            "private_key": pem.decode(),
            "private_key_id": "1",
            "token_uri": tokens.url,
        }
    )


@as_root
def test_google_gets_an_assertion_that_verifies_with_the_key_of_the_service_account(world):
    world.dns.add({"smtp.gmail.com": {"A": [RESERVED]}})
    tokens = endpoint(world)
    sink = world.sink(
        address=RESERVED,
        port=587,
        tls=pair(world, "smtp.gmail.com"),
        tokens=tokens.tokens,
        mechanisms=("LOGIN", "PLAIN", "XOAUTH2", "OAUTHBEARER"),
    )
    file = world.home / "account.json"
    file.write_text(service_account(tokens))
    trusted = str(ROOT.write(world.home))
    relay = world.relay(sink, GMAIL_USER=USER, GMAIL_SERVICE_ACCOUNT_FILE=str(file), SSL_CERT_FILE=trusted)
    relay.submit(mail(), TO)
    (message,) = received(sink)
    assert message.user == USER
    (claims,) = tokens.claims
    assert {name: claims[name] for name in ("sub", "scope", "aud")} == {
        "sub": USER,
        "scope": "https://mail.google.com/",
        "aud": tokens.url,
    }
    (login,) = sink.logins
    shown = f"n,a={USER},\1auth=Bearer {tokens.tokens[0]}\1\1"
    assert login.mechanism == "OAUTHBEARER"
    assert login.responses[0].decode().replace(f"host=smtp.gmail.com\1port={sink.port}\1", "") == shown


@pytest.mark.parametrize("mechanisms", choose([("LOGIN",)], [("LOGIN",), ("LOGIN", "PLAIN"), ("CRAM-MD5",)]))
def test_a_token_is_shown_to_no_mechanism_for_passwords(world, mechanisms):
    tokens = endpoint(world)
    sink = provider(world, tokens.tokens, mechanisms=mechanisms)
    relay = world.relay(sink, **other(world, sink, tokens))
    relay.submit(mail(), TO)
    (deferred,) = relay.wait_for_events("deferred")
    assert "OAUTHBEARER" in deferred["reply"] or "XOAUTH2" in deferred["reply"]
    assert sink.logins == []
    assert sink.faults == []
    assert relay.events("failed") == []


@pytest.mark.parametrize(("mechanism", "answer"), [("XOAUTH2", b""), ("OAUTHBEARER", b"\1")])
def test_a_refused_token_is_replaced_once_and_then_the_mail_waits(world, mechanism, answer):
    tokens = endpoint(world)
    accepted: set[str] = set()
    words = f"535 5.7.3 Authentication unsuccessful, token {tokens.prefix}-2 of {USER}"
    sink = provider(world, accepted, Rule("AUTH", words), mechanisms=(mechanism,))
    relay = world.relay(sink, **other(world, sink, tokens, RETRY_SCHEDULE="F,10m,10m"))
    relay.submit(mail(), TO)
    assert "535 5.7.3" in outcome(relay)
    assert [login.password for login in sink.logins] == tokens.tokens
    assert len(tokens.tokens) == 2
    # The failure is answered before the 535 comes: RFC 7628 section 3.2.3.
    assert {login.responses[1] for login in sink.logins} == {answer}
    accepted.update(tokens.tokens)
    sink.rules.clear()
    commands(relay, ("queue", "retry", "--all"))
    assert received(sink)[0].user == USER
    assert len(tokens.requests) == 2


@pytest.mark.long
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
def test_dovecot_accepts_the_token(world, mechanism):
    users: dict[str, str] = {}
    tokens = endpoint(world)
    with SaslPostfix(ROOT.leaf([NAME]).write(world.home, "postfix"), {}, users, (mechanism, "PLAIN")) as server:
        users[f"{tokens.prefix}-1"] = USER
        relay = world.relay(server, **other(world, server, tokens))
        relay.submit(mail(), TO)
        assert outcome(relay) == "", server.log
        relay.stop()
        assert server.logins == [Login(mechanism, USER)]
