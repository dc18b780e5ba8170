"""A1 to A7, B1 to B5: permission to send."""

import fcntl
import socket
import struct
from contextlib import ExitStack, suppress

import pytest

from tests.acceptance.stage import STRANGER, Stage, arrived, replies, smarthost, verdicts
from tests.endtoend.mails import mail

# Linux's number, netdevice(7); Python has no name for it.
SIOCGIFADDR = 0x8915
ANYWHERE = "x@any.test"


def test_a1_our_own_host_may_send_anywhere(base):
    with base.client("127.0.0.1") as client:
        assert verdicts(client, ANYWHERE, "y@other.test") == [250, 250]


def test_a2_a_stranger_may_not(base):
    with base.client(STRANGER) as client:
        ((code, words),) = replies(client, ANYWHERE)
    assert code == 550
    assert b"relay not permitted" in words


def test_a3_a_network_of_relay_networks_may_and_its_neighbour_may_not(stage):
    relay = stage.relay(RELAY_NETWORKS=":127.0.0.0/30")
    with relay.client(STRANGER) as client:
        assert verdicts(client, ANYWHERE) == [250]
    with relay.client("127.0.0.9") as client:
        assert verdicts(client, ANYWHERE) == [550]


def an_interface() -> tuple[str, str]:
    """Return the name and the IPv4 address of an interface that is not the loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, device in socket.if_nameindex():
            with suppress(OSError):
                found = fcntl.ioctl(sock, SIOCGIFADDR, struct.pack("256s", device.encode()))
                address = socket.inet_ntoa(found[20:24])
                if not address.startswith("127."):
                    return device, address
    pytest.skip("this host has no network")


def test_a5_the_network_of_net_dev_may(stage):
    device, address = an_interface()
    with stage.relay(NET_DEV=device).client(address) as client:
        assert verdicts(client, ANYWHERE) == [250]


def test_a5_the_loopback_as_net_dev_gives_no_client_more_rights(stage):
    relay = stage.relay(NET_DEV="lo")
    for source, code in (("127.0.0.1", 250), ("127.0.0.5", 550), (an_interface()[1], 550)):
        with relay.client(source) as client:
            assert verdicts(client, ANYWHERE) == [code]


def test_a7_a_star_lets_everyone(stage):
    relay = stage.relay(RELAY_NETWORKS=":*")
    with relay.client(STRANGER) as client:
        assert verdicts(client, ANYWHERE) == [250]


@pytest.fixture(scope="module")
def local(tmp_path_factory, dns, root):
    with ExitStack() as stack:
        stage = Stage(dns, root, tmp_path_factory.mktemp("local"), stack)
        relay = stage.stopped_relay(OTHER_HOSTNAMES="foo.test : bar.test")
        relay.mail_dir.mkdir()
        relay.start()
        yield relay


def test_b1_a_stranger_reaches_the_users_and_postmasters_of_our_own_domains_only(local):
    with local.client(STRANGER) as client:
        assert verdicts(client, "nosuch@foo.test", "postmaster@bar.test", "postmaster@foo.test") == [550, 250, 250]


def test_b2_an_unknown_user_is_refused_at_once_for_every_client(local):
    with local.client() as client:
        assert verdicts(client, "nosuch@foo.test", "nosuch@bar.test") == [550, 550]


def test_b2_an_alias_is_a_user_and_may_lead_outside(stage):
    aliases = stage.home / "aliases"
    aliases.write_text("alice: outside@any.test\n")
    sink = stage.sink()
    relay = stage.stopped_relay(OTHER_HOSTNAMES="foo.test", ALIASES_FILE=str(aliases), **smarthost(sink))
    relay.mail_dir.mkdir()
    relay.start()
    with relay.client(STRANGER) as client:
        client.sendmail("sender@sender.test", ["alice@foo.test"], mail())
    assert arrived(sink, "outside@any.test").content.endswith(mail())


def test_b4_a_stranger_may_send_to_exactly_the_relay_domains(internet):
    for domain in ("a.test", "b.test", "sub.a.test", "other.test"):
        internet.mail_host(domain, "203.0.113.4")
    recipients = ["x@a.test", "x@B.Test", "x@other.test", "x@sub.a.test"]
    with internet.stranger(internet.secondary()) as client:
        assert verdicts(client, *recipients) == [250, 250, 550, 550]


def test_b5_a_star_in_relay_domains_means_the_subdomains_alone(internet):
    for domain in ("wild.test", "sub.wild.test", "x.y.wild.test"):
        internet.mail_host(domain, "203.0.113.4")
    with internet.stranger(internet.secondary()) as client:
        assert verdicts(client, "x@sub.wild.test", "x@x.y.wild.test", "x@wild.test") == [250, 250, 550]
