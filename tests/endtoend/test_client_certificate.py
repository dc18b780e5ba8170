"""A smarthost that accepts clients by their certificate alone."""

import os
import signal
import ssl

import pytest

from harness.certificates import authority
from harness.daemon import Daemon
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received
from tests.length import choose

ROOT = authority()
NAME = "smtp.provider.test"


def demanding(world, folder):
    """Return a smarthost that completes a TLS handshake only with a certificate of the authority."""
    world.dns.add({NAME: {"A": ["127.0.0.1"]}})
    server = tuple(map(str, ROOT.leaf([NAME]).write(folder, "server")))
    sink = world.sink(tls=server)
    sink.context.verify_mode = ssl.CERT_REQUIRED
    sink.context.load_verify_locations(cadata=ROOT.certificate_pem.decode())
    return sink


def settings(folder, **more):
    return {
        "SMARTHOST_ADDRESS": NAME,
        "SMARTHOST_CA_FILE": str(ROOT.write(folder)),
        "SMARTHOST_CERTIFICATE_PATH": str(folder / "client.pem"),
        "SMARTHOST_KEY_PATH": str(folder / "client.key"),
        **more,
    }


@pytest.mark.parametrize("workers", choose(["2"], ["1", "2"]))
def test_the_relay_shows_its_certificate_and_a_new_one_after_sighup(world, tmp_path, workers):
    sink = demanding(world, tmp_path)
    stranger = authority("Another Authority")
    stranger.leaf(["relay.test"]).write(tmp_path, "client")
    relay = world.relay(sink, **settings(tmp_path, SMARTHOST_PORT=str(sink.port), WORKERS=workers))
    relay.submit(mail(), TO)
    (first, *_) = relay.wait_for_events("deferred")
    # The alert with the reason may be lost, because the sink resets the connection.
    assert "TLS failed: " in first["reply"]
    assert sink.messages == []
    ROOT.leaf(["relay.test"]).write(tmp_path, "client")
    os.kill(relay.child.pid, signal.SIGHUP)
    (event, *_) = relay.wait_for_events("reloaded")
    assert "SMARTHOST_CERTIFICATE_PATH and SMARTHOST_KEY_PATH" in event["files"]
    received(sink)
    (delivered, *_) = relay.wait_for_events("delivered")
    assert delivered["tls"].endswith(" verified")


def test_a_broken_pair_at_sighup_leaves_the_old_one_in_use(world, tmp_path):
    sink = demanding(world, tmp_path)
    _, key = ROOT.leaf(["relay.test"]).write(tmp_path, "client")
    relay = world.relay(sink, **settings(tmp_path, SMARTHOST_PORT=str(sink.port)))
    relay.wait_for_events("started")
    key.write_text("no key")
    os.kill(relay.child.pid, signal.SIGHUP)
    words = "until then the old certificate is shown to the smarthost"
    until(lambda: words in relay.child.text, what=words)
    relay.submit(mail(), TO)
    received(sink)


@pytest.mark.parametrize("workers", choose(["1"], ["1", "2"]))
@pytest.mark.parametrize("wrong", ["pair", "key"])
def test_a_pair_that_cannot_be_used_ends_the_start(tmp_path, wrong, workers):
    ROOT.leaf(["relay.test"]).write(tmp_path, "client")
    _, other = ROOT.leaf(["other.test"]).write(tmp_path, "other")
    (tmp_path / "client.key").write_bytes(other.read_bytes() if wrong == "pair" else b"no key")
    relay = Daemon(tmp_path / "relay", **settings(tmp_path, SMARTHOST_PORT="587", WORKERS=workers))
    words = relay.start_and_fail(os.EX_CONFIG)
    assert f"SMARTHOST_KEY_PATH={tmp_path / 'client.key'}" in words
    assert len([line for line in words.splitlines() if line.startswith("smtprelay: ")]) == 1
