"""A real HAProxy before the real daemon: both versions of the PROXY header, its checks, and headers from elsewhere."""

import smtplib
import socket
import ssl
import subprocess

import pytest

from harness.certificates import authority
from harness.processes import find_program, free_port
from harness.waiting import PATIENCE, until
from tests.deploy.manifests import ROOT as ROOT_FOLDER
from tests.deploy.pages import blocks
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received
from tests.programs import haproxy
from tests.programs.haproxy import BALANCER, Haproxy

NAME = "relay.example.test"
ROOT = authority()
TRUSTING = ssl.create_default_context(cadata=ROOT.certificate_pem.decode())
STRANGER = "127.0.0.2"
VERSIONS = {"v1": "send-proxy", "v2": "send-proxy-v2"}
HEADERS = {
    "v1": b"PROXY TCP4 127.0.0.1 127.0.0.1 40000 25\r\n",
    "v2": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\1\x7f\0\0\1\x9c\x40\0\x19",
}

needs_haproxy = pytest.mark.skipif(haproxy.why_not() is not None, reason=str(haproxy.why_not()))


def balanced(world, sink, **settings):
    """Return a relay that takes PROXY headers from the load balancer, which is no trusted client."""
    # The DNS of the tests has no DNSSEC, which a notice would tell some time after the start.
    return world.relay(sink, PROXY_NETWORKS=BALANCER, **{"DNSSEC": "off", **settings})


def through(port, source="127.0.0.1", host="127.0.0.1"):
    """Connect through the load balancer as a client with this address."""
    return smtplib.SMTP(host, port, "client.test", timeout=PATIENCE, source_address=(source, 0))


def raw(relay, source, data):
    """Send octets from an address, and return everything that the relay says."""
    with socket.create_connection(("127.0.0.1", relay.port), PATIENCE, source_address=(source, 0)) as connection:
        connection.sendall(data)
        said = b""
        try:
            while data := connection.recv(65536):
                said += data
        except ConnectionResetError:
            pass
        return said


@needs_haproxy
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_client_of_the_load_balancer_counts_in_trust_log_and_trace(world, tmp_path, workers):
    sink = world.sink()
    relay = balanced(world, sink, WORKERS=workers)
    world.dns.mail_host("example.test")
    backends = {version: (relay.port, option) for version, option in VERSIONS.items()}
    with Haproxy(tmp_path / "haproxy", backends) as balancer:
        for number, port in enumerate(balancer.ports.values(), 1):
            with through(port) as client:
                client.sendmail("sender@sender.test", TO, mail())
            message = received(sink, number)[-1]
            assert b"from client.test ([127.0.0.1])" in message.content
            with through(port, STRANGER) as stranger:
                stranger.ehlo()
                stranger.mail("sender@sender.test")
                code, words = stranger.rcpt(TO)
                assert (code, STRANGER.encode() in words) == (550, True)
            with through(port, "::1", "::1") as client:
                client.ehlo()
                client.mail("sender@sender.test")
                assert client.rcpt(TO)[0] == 250
    assert [event["client"] for event in relay.events("accepted")] == ["127.0.0.1"] * 2
    assert {event["client"] for event in relay.events("refused")} == {STRANGER}


@needs_haproxy
@pytest.mark.parametrize("version", VERSIONS)
def test_tls_begins_behind_the_header(world, tmp_path, version):
    certificate, key = ROOT.leaf([NAME], ["127.0.0.1"]).write(tmp_path)
    relay = balanced(
        world,
        world.sink(),
        CERTIFICATE_PATH=str(certificate),
        KEY_PATH=str(key),
        SUBMISSION_TLS_PORT=str(free_port()),
        AUTH_USERS="app:{PLAIN}correct-horse-battery",
    )
    tls_port = int(relay.environment["SUBMISSION_TLS_PORT"])
    backends = {"clear": (relay.port, VERSIONS[version]), "tls": (tls_port, VERSIONS[version])}
    with Haproxy(tmp_path / "haproxy", backends) as balancer:
        with through(balancer.ports["clear"]) as client:
            assert client.starttls(context=TRUSTING)[0] == 220
            assert client.ehlo()[0] == 250
        with smtplib.SMTP_SSL("127.0.0.1", balancer.ports["tls"], timeout=PATIENCE, context=TRUSTING) as client:
            assert client.ehlo()[0] == 250
            assert not client.has_extn("starttls")


@needs_haproxy
@pytest.mark.parametrize("version", VERSIONS)
def test_checks_of_the_load_balancer_succeed_and_leave_no_line(world, tmp_path, version):
    certificate, key = ROOT.leaf([NAME], ["127.0.0.1"]).write(tmp_path)
    relay = balanced(
        world,
        world.sink(),
        CERTIFICATE_PATH=str(certificate),
        KEY_PATH=str(key),
        SUBMISSION_TLS_PORT=str(free_port()),
        AUTH_USERS="app:{PLAIN}correct-horse-battery",
    )
    relay.wait_for_events("started")
    before = relay.child.text
    tls_port = int(relay.environment["SUBMISSION_TLS_PORT"])
    backends = {"clear": (relay.port, VERSIONS[version])}
    # `option smtpchk` speaks without TLS, so that port gets connections that are closed behind the header.
    closing = {"tls": (tls_port, VERSIONS[version])}
    with Haproxy(tmp_path / "clear", backends, checks=True) as first:
        until(lambda: set(first.checks().values()) == {("L4OK", 0), ("L7OK", 0)}, what="the checks of PORT")
    with Haproxy(tmp_path / "tls", closing, checks=True) as second:
        until(lambda: second.checks()["tls"] == ("L4OK", 0), what="the checks of SUBMISSION_TLS_PORT")
    with relay.client() as client:
        assert client.noop()[0] == 250
    assert relay.child.text == before


@pytest.mark.parametrize("version", HEADERS)
def test_a_header_from_elsewhere_is_never_believed(world, version):
    relay = balanced(world, world.sink())
    commands = b"EHLO c\r\nMAIL FROM:<a@sender.test>\r\nRCPT TO:<someone@example.test>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"
    # From a stranger, and from a trusted client that is no load balancer.
    for source in (STRANGER, "127.0.0.1"):
        said = raw(relay, source, HEADERS[version] + commands).splitlines()
        assert [line[:4] for line in said] == [b"220 ", b"554 "]
        assert b"PROXY_NETWORKS" in said[-1]
    assert relay.events("accepted") == []
    # The same octets from the load balancer.
    said = raw(relay, BALANCER, HEADERS[version] + commands)
    assert b"\r\n354 " in said
    (event,) = relay.wait_for_events("accepted")
    assert event["client"] == "127.0.0.1"


def test_the_load_balancer_itself_is_not_served_without_a_header(world):
    relay = balanced(world, world.sink(), RELAY_NETWORKS=BALANCER)
    for data in (b"EHLO c\r\nQUIT\r\n", b"\x16\x03\x01\x02\0\1", b"PROXY TCP4 127.0.0.1\r\n"):
        assert raw(relay, BALANCER, data) == b""
    (event,) = relay.wait_for_events("trouble")
    assert f"a connection from {BALANCER}, which PROXY_NETWORKS names, was closed" in event["text"]


def test_a_stop_does_not_wait_for_headers(world):
    relay = balanced(world, world.sink())
    with socket.create_connection(("127.0.0.1", relay.port), PATIENCE, source_address=(BALANCER, 0)) as connection:
        connection.sendall(b"PROXY ")
        with relay.client() as client:
            assert client.noop()[0] == 250
        assert relay.stop() == 0
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_the_commands_of_the_host_reach_a_relay_that_expects_headers_from_it(world):
    relay = world.stopped_relay(world.sink(), PROXY_NETWORKS="127.0.0.1")
    relay.child.start()
    relay.wait_for_events("started")
    assert relay.tool("health").returncode == 0
    assert relay.tool("sendmail", "-f", "a@sender.test", TO).returncode == 0
    (event,) = relay.wait_for_events("accepted")
    assert event["client"] == "127.0.0.1"
    assert relay.events("trouble") == []


@needs_haproxy
def test_haproxy_takes_the_example_of_the_page(tmp_path):
    (example,) = (block for block in blocks(ROOT_FOLDER / "docs" / "load-balancer.md") if block.language == "haproxy")
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(example.text)
    checked = subprocess.run(
        [str(find_program("haproxy")), "-c", "-f", str(configuration)], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
