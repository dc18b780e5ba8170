"""The matrix of tests/inbound/relaying.py with the real daemon, real sockets and foreign addresses, a sample of it."""

import smtplib
import socket
from contextlib import nullcontext

import pytest

from harness.waiting import PATIENCE
from tests.acceptance.stage import arrived, events, settled
from tests.endtoend.mails import mail
from tests.inbound.relaying import RECIPIENTS, SETTINGS

WORLD, ELSEWHERE = "203.0.113.50", "203.0.113.51"
# The relay's own addresses, behind its eth0.
HERE, HERE6, LINK = "192.0.2.1", "fd00:17::1", "fe80::17"
# From which address one of the world connects to which of the relay's, by the group of clients that it belongs to.
FROM_THE_WORLD = [
    ("own network", "192.0.2.254", HERE),
    ("own network", "fd00:17::254", HERE6),
    ("relay network", "198.51.100.7", HERE),
    ("excluded", "198.51.100.66", HERE),
    ("stranger", "203.0.113.9", HERE),
    ("stranger", "10.0.0.9", HERE),
    ("stranger", "2001:db8:bad::9", HERE6),
    ("stranger", "fe80::254%eth0", f"{LINK}%eth0"),
]
FROM_HERE = [("loopback", "127.0.0.1", "127.0.0.1"), ("loopback", "::1", "::1"), ("stranger", "127.0.0.2", "127.0.0.1")]


@pytest.fixture
def relay(internet, tmp_path):
    """Return a relay on port 25 of all addresses of its host, IPv6 too; all the world's mail hosts are one."""
    settings, *_ = SETTINGS["RELAY_NETWORKS"]
    for network, address, link in ((internet.here, HERE6, LINK), (internet.world, "fd00:17::254", "fe80::254")):
        for one in (f"{address}/64", f"{link}/64"):
            network.ip("-6", "address", "replace", one, "dev", "eth0", "nodad")
    internet.world.ip("-6", "address", "replace", "2001:db8:bad::9/128", "dev", "lo", "nodad")
    internet.here.ip("-6", "route", "replace", "2001:db8:bad::/48", "via", "fd00:17::254")
    for domain in ("relay.test", "sub.wild.test", "xn--bcher-kva.test"):
        internet.mail_host(domain, WORLD)
    for domain in ("other.test", "sub.relay.test", "wild.test"):
        internet.mail_host(domain, ELSEWHERE)
    box = tmp_path / "relay" / "mail" / "bob"
    for folder in ("cur", "new", "tmp"):
        (box / folder).mkdir(parents=True)
    return internet.relay(DISABLE_IPV6="", BIND_IP6="::", **settings)


# No client can be made to send these as one command line.
SAMPLE = {
    group: [text for text in texts if text.isprintable()][:: 6 if group == "trick" else 1]
    for group, texts in RECIPIENTS.items()
}


def bound(source):
    """Return the address to which a socket is bound: the interface of a link-local address is a number there."""
    host, _, device = source.partition("%")
    return (host, 0, 0, socket.if_nametoindex(device)) if device else (host, 0)


def taken(source, address):
    """Return the groups of recipients of which the relay takes some from a client, and those of which it takes all."""
    some, every = set(), set()
    for group, texts in SAMPLE.items():
        # A client that is wrong too often is sent away.
        with smtplib.SMTP(address, 25, "client.test", timeout=PATIENCE, source_address=bound(source)) as client:
            client.ehlo()
            client.docmd("MAIL FROM:<s@sender.test> SMTPUTF8")
            codes = [told(client, text) for text in texts[:9]]
        assert all(code == 250 or 500 <= code < 560 for code in codes), (group, codes)
        some |= {group} if 250 in codes else set()
        every |= {group} if set(codes) == {250} else set()
    return some, every


def told(client, recipient):
    client.send(f"RCPT TO:<{recipient}>\r\n".encode())
    return client.getreply()[0]


def test_every_kind_of_client_has_the_permissions_of_the_matrix(internet, relay):
    _, trusted, reached = SETTINGS["RELAY_NETWORKS"]
    for world, clients in ((True, FROM_THE_WORLD), (False, FROM_HERE)):
        for group, source, address in clients:
            with internet.world.entered() if world else nullcontext():
                some, every = taken(source, address)
            wanted = set(RECIPIENTS) - {"trick", "nobody"} if group in trusted else reached
            assert (group, source, some, every) == (group, source, wanted, wanted)


def test_a_stranger_with_an_ipv4_mapped_address_is_the_same_stranger(internet, relay):
    with internet.world.entered():
        some, _ = taken("::ffff:203.0.113.9", f"::ffff:{HERE}")
    assert some == SETTINGS["RELAY_NETWORKS"][2]


def test_mail_of_a_stranger_goes_to_its_recipient_alone(internet, relay):
    world, elsewhere = internet.host(WORLD), internet.host(ELSEWHERE)
    wanted = ["x@relay.test", "x@sub.wild.test", "bob@own.test"]
    with internet.stranger(relay, "203.0.113.9") as client:
        client.ehlo()
        client.docmd("MAIL FROM:<>")
        codes = [told(client, text) for text in (*wanted, "@other.test:y@relay.test", "@own.test:a@other.test")]
        codes += [told(client, text) for text in SAMPLE["trick"][:6]]
        assert codes[:5] == [250] * 4 + [550]
        assert min(codes[5:]) >= 500
        assert client.data(mail())[0] == 250
    assert set(arrived(world, "x@relay.test").recipients) >= {"x@relay.test"}
    settled(relay)
    assert sorted(to for message in world.messages for to in message.recipients) == [
        "x@relay.test",
        "x@sub.wild.test",
        "y@relay.test",
    ]
    assert elsewhere.connections == 0
    assert len(list((relay.mail_dir / "bob" / "new").iterdir())) == 1
    assert events(relay, "fault") == []
