"""STARTTLS of the real daemon: offered with a certificate, renewed as it runs, refused at start when it is no good."""

import shutil
import smtplib
import ssl
import subprocess
from contextlib import suppress

import pytest

from harness.certificates import authority
from harness.daemon import Daemon
from harness.waiting import PATIENCE, until
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received

NAME = "relay.example.test"
ROOT = authority()
TRUSTING = ssl.create_default_context(cadata=ROOT.certificate_pem.decode())


def over_tls(relay, source="127.0.0.1"):
    """Return a client of the relay that has checked its certificate, and the names in that."""
    client = relay.client(source)
    client._host = NAME
    client.starttls(context=TRUSTING)
    return client, [name for _, name in client.sock.getpeercert()["subjectAltName"]]


def pair(folder, leaf):
    certificate, key = leaf.write(folder)
    return {"CERTIFICATE_PATH": str(certificate), "KEY_PATH": str(key)}


def test_mail_arrives_over_tls_and_a_stranger_gets_no_rights_by_it(world, tmp_path):
    sink = world.sink()
    relay = world.relay(sink, **pair(tmp_path, ROOT.leaf([NAME])))
    world.dns.mail_host("example.test")
    client, _ = over_tls(relay)
    with client:
        client.sendmail("sender@sender.test", TO, mail())
    (message,) = received(sink)
    assert b"with ESMTPS (TLSv1.3" in message.content.replace(b"\r\n\t", b" ")
    stranger, _ = over_tls(relay, "127.0.0.2")
    with stranger:
        stranger.ehlo()
        stranger.mail("sender@sender.test")
        assert stranger.rcpt(TO)[0] == 550


def test_a_renewed_certificate_is_served_without_a_restart(tmp_path):
    with Daemon(tmp_path / "relay", **pair(tmp_path, ROOT.leaf([NAME, "first.test"]))) as relay:
        ROOT.leaf([NAME, "second.test"]).write(tmp_path)
        until(
            lambda: any("the new certificate is in use" in one["text"] for one in relay.events("notice")),
            what="the notice of the new certificate",
        )
        client, names = over_tls(relay)
        with client:
            assert "second.test" in names


def test_a_key_that_does_not_fit_ends_the_start_with_one_line(tmp_path):
    settings = pair(tmp_path, ROOT.leaf([NAME]))
    _, other = ROOT.leaf([NAME]).write(tmp_path, "other")
    words = Daemon(tmp_path / "relay", **{**settings, "KEY_PATH": str(other)}).start_and_fail()
    assert f"KEY_PATH={other} is not the key of CERTIFICATE_PATH=" in words
    assert "Traceback" not in words


def test_without_a_certificate_there_is_no_starttls(tmp_path):
    with Daemon(tmp_path / "relay") as relay, relay.client() as client:
        client.ehlo()
        assert not client.has_extn("STARTTLS")
        with pytest.raises(smtplib.SMTPNotSupportedError):
            client.starttls()


def s_client(relay, *options, say=b"", until_said=b""):
    """Run OpenSSL's own client against STARTTLS; once it has said something, have it do more; return all its words."""
    command = ["openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{relay.port}", *options]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        words = b""
        while until_said and until_said not in words and (more := client.stdout.read(65536)):
            words += more
        with suppress(BrokenPipeError):
            client.stdin.write(say)
        return words + client.communicate(timeout=PATIENCE)[0]


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
SPOKEN = {"-tls1": False, "-tls1_1": False, "-tls1_2": True, "-tls1_3": True}


@needs_openssl
def test_openssls_own_client_is_spoken_with_from_tls_1_2_on_and_never_a_second_time(tmp_path):
    with Daemon(tmp_path / "relay", **pair(tmp_path, ROOT.leaf([NAME]))) as relay:
        for version, spoken in SPOKEN.items():
            words = s_client(relay, version, "-cipher", "ALL:@SECLEVEL=0", say=b"QUIT\r\n")
            assert (b"BEGIN CERTIFICATE" in words) is spoken, (version, words)
            assert (b"Cipher is (NONE)" in words) is not spoken, (version, words)
        # An R at the start of a line has s_client ask for a second handshake.
        words = s_client(relay, "-tls1_2", say=b"R\n", until_said=b"250 ")
        assert b"RENEGOTIATING" in words
        assert b"no renegotiation" in words.partition(b"RENEGOTIATING")[2], words
        assert relay.events("fault") == []
        with relay.client() as client:
            assert client.noop()[0] == 250
