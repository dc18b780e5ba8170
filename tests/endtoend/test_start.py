"""Starts that must not succeed: one clear message, an exit status, and no change on disk."""

import os
import socket
import sqlite3
from hashlib import sha256

import pytest

from harness.certificates import self_signed
from harness.daemon import Daemon
from harness.sink_rules import Rule
from tests.endtoend.mails import mail
from tests.endtoend.world import TO
from tests.length import choose
from tests.programs.small_disk import NoDiskError, small_disk


def contents(folder):
    """Return the files of a folder by name, with a hash of each, but for the locks: they hold the last process's id."""
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in {"lock", "relay.lock"}
    }


def queue_file(relay):
    """Return the relay's SQLite file."""
    (file,) = (path for path in relay.queue_dir.rglob("*") if path.is_file() and is_sqlite(path))
    return file


def is_sqlite(path):
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def test_all_mistakes_in_the_settings_are_reported_together_and_no_file_is_created(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("from-file")
    relay = Daemon(
        tmp_path / "relay",
        PORT="none",
        BIND_IP="300.1.1.1",
        RETRY_SCHEDULE="F,soon",
        MESSAGE_SIZE_LIMIT="huge",
        DNS_SERVERS="not an address",
        LOG_FORMAT="xml",
        SMARTHOST_PASSWORD="s3cret",
        SMARTHOST_PASSWORD_FILE=str(secret),
    )
    words = relay.start_and_fail()
    for name in ("PORT", "BIND_IP", "RETRY_SCHEDULE", "MESSAGE_SIZE_LIMIT", "DNS_SERVERS", "LOG_FORMAT"):
        assert f"{name}" in words
    assert "SMARTHOST_PASSWORD_FILE" in words
    for value in ("none", "300.1.1.1", "F,soon", "huge", "not an address", "xml"):
        assert value in words
    assert "s3cret" not in words
    assert "from-file" not in words
    assert "Traceback" not in words
    assert not relay.queue_dir.exists()
    assert not relay.mail_dir.exists()


def test_the_output_goes_on_with_a_line_of_its_own_after_one_that_a_kill_has_cut(tmp_path):
    relay = Daemon(tmp_path / "relay", PORT="none")
    cut = '{"time": "2026-11-30T14:39:16.979Z", "event": "acc'
    relay.child.output.write_text(cut)
    before, mistake, *_ = relay.start_and_fail().split("\n")
    assert before == cut
    assert mistake.startswith("smtprelay: PORT")


@pytest.mark.parametrize(
    ("wrong", "workers"),
    [
        *(("pair", "1"), ("dkim", "2"), ("users", "1"), ("shown", "2")),
        *choose([], [("pair", "2"), ("dkim", "1"), ("users", "2"), ("shown", "1")]),
    ],
)
def test_a_mistake_in_a_file_that_a_setting_names_has_the_status_of_one_in_the_settings(tmp_path, wrong, workers):
    certificate, _ = self_signed(["a.test"]).write(tmp_path)
    _, other = self_signed(["b.test"]).write(tmp_path, "other")
    (tmp_path / "broken.pem").write_text("no key")
    settings = {
        "pair": {"CERTIFICATE_PATH": str(certificate), "KEY_PATH": str(other)},
        "dkim": {"DKIM_KEY_PATH": str(tmp_path / "broken.pem")},
        "users": {"AUTH_USERS_FILE": str(tmp_path / "broken.pem"), "AUTH_IN_CLEAR": "trusted"},
        "shown": {
            "SMARTHOST_ADDRESS": "a.test",
            "SMARTHOST_CERTIFICATE_PATH": str(certificate),
            "SMARTHOST_KEY_PATH": str(other),
        },
    }
    words = Daemon(tmp_path / "relay", WORKERS=workers, **settings[wrong]).start_and_fail(os.EX_CONFIG)
    assert len([line for line in words.splitlines() if line.startswith("smtprelay: ")]) == 1


def test_a_port_that_is_taken_is_named_and_the_queue_is_left_alone(tmp_path):
    relay = Daemon(tmp_path / "relay")
    with socket.create_server(("127.0.0.1", relay.port)):
        words = relay.start_and_fail(1)
    assert str(relay.port) in words
    assert "Traceback" not in words
    assert not list(relay.queue_dir.rglob("*.sqlite*"))


def test_a_second_daemon_on_the_same_queue_is_refused(tmp_path):
    with Daemon(tmp_path / "first") as first:
        second = Daemon(tmp_path / "second", QUEUE_DIR=str(first.queue_dir))
        words = second.start_and_fail()
        with first.client() as client:
            assert client.noop()[0] == 250
    assert str(first.queue_dir) in words
    assert "Traceback" not in words


def test_a_file_in_place_of_the_queue_directory_is_named(tmp_path):
    relay = Daemon(tmp_path / "relay")
    relay.queue_dir.write_text("in the way")
    words = relay.start_and_fail()
    assert str(relay.queue_dir) in words
    assert "Traceback" not in words
    assert relay.queue_dir.read_text() == "in the way"


def test_a_queue_directory_that_cannot_be_written_is_named(tmp_path):
    relay = Daemon(tmp_path / "relay")
    try:
        with small_disk(relay.queue_dir, "1M", ",ro"):
            words = relay.start_and_fail()
    except NoDiskError as error:
        pytest.skip(str(error))
    assert str(relay.queue_dir) in words
    assert "Traceback" not in words


def used_queue(world):
    """Return a stopped relay with one message in its queue."""
    relay = world.relay(world.sink(Rule("RCPT", "451 4.3.0 come back")), RETRY_SCHEDULE="F,1h,30m")
    relay.submit(mail(), TO)
    relay.wait_for_events("deferred")
    relay.stop()
    relay.child.output.write_text("")
    return relay


def test_a_queue_file_of_a_newer_version_is_refused_and_left_alone(world):
    relay = used_queue(world)
    with sqlite3.connect(queue_file(relay)) as connection:
        connection.execute("PRAGMA user_version = 999")
        # A newer file that an older program can still work with says so here.
        connection.execute("UPDATE meta SET value = 999 WHERE name = 'oldest_compatible'")
    connection.close()
    before = contents(relay.queue_dir)
    words = relay.start_and_fail()
    assert "999" in words
    assert "Traceback" not in words
    assert contents(relay.queue_dir) == before


def test_a_corrupt_queue_file_is_refused_and_left_alone(world):
    relay = used_queue(world)
    file = queue_file(relay)
    data = file.read_bytes()
    damaged = {
        "head": b"\xff" * 4096 + data[4096:],
        "page": data[:4096] + b"\xff" * 8192 + data[12288:],
        "cut": data[: len(data) // 2 - 100],
        "empty": b"",
    }
    for damage, octets in damaged.items():
        file.write_bytes(octets)
        before = contents(relay.queue_dir)
        said = len(relay.child.text)
        words = relay.start_and_fail()[said:]
        assert file.name in words, damage
        assert "Traceback" not in words
        assert contents(relay.queue_dir) == before
