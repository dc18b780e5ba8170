"""Signals to the real daemon, and to its workers: SIGHUP reads files again, SIGQUIT stops, others do nothing."""

import os
import signal

import pytest

from harness.certificates import self_signed
from harness.daemon import Daemon
from harness.processes import greets
from harness.waiting import until
from mta.dkim.keys import new_key, to_pem
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received

HARMLESS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGRTMIN)


def told(relay, words):
    """Wait for a line of the event log that has these words."""
    until(lambda: words in relay.child.text, what=words)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sighup_reads_certificate_keys_and_aliases_again(world, tmp_path, workers):
    sink = world.sink()
    certificate, key = self_signed(["relay.example.test"]).write(tmp_path)
    dkim = tmp_path / "dkim.pem"
    dkim.write_bytes(to_pem(new_key("dkim", "ed25519")))
    aliases = tmp_path / "aliases"
    aliases.write_text("info: first@example.test\n")
    relay = world.relay(
        sink,
        CERTIFICATE_PATH=str(certificate),
        KEY_PATH=str(key),
        DKIM_KEY_PATH=str(dkim),
        ALIASES_FILE=str(aliases),
        WORKERS=workers,
    )
    relay.wait_for_events("started")
    # A change that a look at the files would not show.
    times = aliases.stat().st_atime_ns, aliases.stat().st_mtime_ns
    aliases.write_text("info: other@example.test\n")
    os.utime(aliases, ns=times)
    os.kill(relay.child.pid, signal.SIGHUP)
    (event,) = relay.wait_for_events("reloaded")
    names = "CERTIFICATE_PATH and KEY_PATH", "DKIM_KEY_PATH", "ALIASES_FILE", "the system's authorities"
    assert event["files"] == ", ".join(names)
    relay.submit(mail(), "info@localhost")
    (message,) = received(sink)
    assert message.recipients == ("other@example.test",)
    for path in (key, dkim):
        path.write_text("no key")
    os.kill(relay.child.pid, signal.SIGHUP)
    told(relay, "the old key stays in use")
    told(relay, "until then STARTTLS uses the old certificate")
    relay.submit(mail(), TO)
    received(sink, 2)
    assert relay.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_other_signals_have_no_effect(tmp_path, workers):
    with Daemon(tmp_path / "relay", WORKERS=workers) as relay:
        relay.wait_for_events("started")
        processes = [relay.child.pid, *relay.workers().values()]
        for pid in processes:
            for number in (*HARMLESS, signal.SIGHUP):
                os.kill(pid, number)
        for name in ("SIGUSR1", "SIGUSR2"):
            told(relay, f"{name} has no effect")
        relay.wait_for_events("reloaded")
        with relay.client() as client:
            assert client.noop()[0] == 250
        assert [relay.child.pid, *relay.workers().values()] == processes
        assert relay.stop() == 0
        assert relay.events("trouble") == []
        assert relay.events("stopped")


def test_sigquit_stops_as_sigterm_does(tmp_path):
    with Daemon(tmp_path / "relay") as relay:
        os.kill(relay.child.pid, signal.SIGQUIT)
        assert relay.child.wait() == 0
        assert relay.events("stopped")


def test_a_relay_that_starts_behind_the_images_trap_survives_signals_from_its_first_moment(tmp_path):
    relay = Daemon(tmp_path / "relay")
    relay.child.command[:0] = ["sh", "-c", """trap '' HUP USR1 USR2; echo trapped; exec "$@" """, "sh"]
    with relay.child:
        told(relay, "trapped")

        def greets_or_ended() -> bool:
            for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
                os.kill(relay.child.pid, number)
            return greets(relay.port) or not relay.child.running

        until(greets_or_ended, what="the greeting")
        assert relay.stop() == 0
