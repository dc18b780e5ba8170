"""RUN_AS: a relay that is started as root changes its user before it takes mail, in every environment."""

import os
import pwd
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.certificates import self_signed
from harness.daemon import Daemon, program
from harness.network import Network, NoNetworkError
from harness.processes import find_program
from tests.endtoend.submission import TlsWire, certificate, plain
from tests.programs.open_python import NOBODY, with_open_python

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives root up")
SOMEBODY = f"{NOBODY}:{NOBODY}"


@pytest.fixture
def network() -> Iterator[Network]:
    """Return a network in which the low ports are root's."""
    try:
        with Network() as network:
            yield network
    except NoNetworkError as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")


def relay(home: Path, *options: str, **settings: str) -> Daemon:
    """Return a relay whose Python anyone may run, so that it can become anyone."""
    prefix = with_open_python()
    if prefix is None:
        pytest.skip("nobody but root may run this Python")
    daemon = Daemon(home, **settings)
    daemon.port = int(settings.get("PORT", daemon.port))
    daemon.child.command[:] = [*prefix, program("twistd"), *options, "-n", "--pidfile=", "smtprelay"]
    return daemon


def identity(pid: int) -> dict[str, list[int]]:
    """Return the real, effective, saved and file system ids of a process, its groups and its capabilities.

    All threads of the process must have the same.
    """
    threads = [_identity(path.read_text()) for path in Path(f"/proc/{pid}/task").glob("*/status")]
    assert all(thread == threads[0] for thread in threads)
    return threads[0]


def _identity(status: str) -> dict[str, list[int]]:
    lines = dict(line.split(":", 1) for line in status.splitlines())
    decimal = {name: [int(word) for word in lines[name].split()] for name in ("Uid", "Gid", "Groups", "NoNewPrivs")}
    return decimal | {name: [int(lines[name], 16)] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}


NOBODY_AT_ALL = {
    "Uid": [NOBODY] * 4,
    "Gid": [NOBODY] * 4,
    "Groups": [NOBODY],
    "NoNewPrivs": [1],
    "CapInh": [0],
    "CapPrm": [0],
    "CapEff": [0],
    "CapBnd": [0],
    "CapAmb": [0],
}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_opens_port_25_and_reads_files_of_root_and_then_changes_its_user_for_good(home, network, workers):
    (home / "tls").mkdir(0o700)
    certificate, key = self_signed(["relay.example.test"]).write(home / "tls")
    settings = {"CERTIFICATE_PATH": str(certificate), "KEY_PATH": str(key), "WORKERS": workers}
    with network.entered(), relay(home, PORT="25", RUN_AS=SOMEBODY, **settings) as daemon:
        daemon.wait_for_events("started")
        for pid in [daemon.child.pid, *daemon.workers().values()]:
            assert identity(pid) == NOBODY_AT_ALL
        with daemon.client() as client:
            client.starttls()
            assert client.ehlo()[0] == 250
        told = [event["text"] for event in daemon.events("setting")]
        assert f"runs as: {SOMEBODY}, user id {NOBODY}, group id {NOBODY}" in told
        notices = [event["text"] for event in daemon.events("notice")]
        assert len([text for text in notices if "may not read it" in text]) == 2
        assert daemon.stop() == 0
    assert "Traceback" not in daemon.child.text


def owners(folder: Path) -> set[tuple[int, int]]:
    """Return the owners of a folder and of everything in it."""
    return {(path.lstat().st_uid, path.lstat().st_gid) for path in [folder, *folder.rglob("*")]}


def test_a_queue_that_root_filled_goes_on_as_the_users(home):
    with relay(home, DNS_SERVERS="127.0.0.1:9") as daemon:
        daemon.submit(b"Subject: left\r\n\r\nover\r\n" + (b"x" * 70 + b"\r\n") * 5000, "someone@example.test")
        assert any("runs as root" in event["text"] for event in daemon.events("notice"))
        daemon.kill()
    assert owners(daemon.queue_dir) == {(0, 0)}
    daemon.environment["RUN_AS"] = SOMEBODY
    with daemon:
        assert [entry["size"] > 300_000 for entry in daemon.queue()] == [True]
        assert daemon.stop() == 0
    assert owners(daemon.queue_dir) == {(NOBODY, NOBODY)}


def test_a_missing_queue_directory_is_made_for_the_user_and_closed(home):
    with relay(home, RUN_AS=SOMEBODY) as daemon:
        daemon.stop()
    assert owners(daemon.queue_dir) == {(NOBODY, NOBODY)}
    assert stat.S_IMODE(daemon.queue_dir.stat().st_mode) == 0o700


@pytest.mark.parametrize("owner", [0, NOBODY])
def test_an_empty_queue_directory_as_an_image_makes_it_is_closed_without_a_word(home, owner):
    daemon = relay(home, RUN_AS=SOMEBODY)
    daemon.queue_dir.mkdir()
    os.chown(daemon.queue_dir, owner, 0)
    daemon.queue_dir.chmod(0o770)
    with daemon:
        daemon.wait_for_events("started")
        assert [event["text"] for event in daemon.events("notice") if "open to" in event["text"]] == []
        daemon.stop()
    assert stat.S_IMODE(daemon.queue_dir.stat().st_mode) == 0o700


def test_only_a_queue_is_handed_over(home):
    daemon = relay(home, RUN_AS=SOMEBODY)
    daemon.queue_dir.mkdir(0o700)
    (daemon.queue_dir / "passwd").touch()
    words = daemon.start_and_fail()
    assert f"let user id {NOBODY} write there" in words
    assert "Traceback" not in words
    assert owners(daemon.queue_dir) == {(0, 0)}


def test_a_link_in_the_queue_directory_gives_no_file_away(home):
    daemon = relay(home, RUN_AS=SOMEBODY)
    (home / "target").mkdir()
    (home / "shadow").write_text("secret")
    daemon.queue_dir.mkdir(0o777)
    (daemon.queue_dir / "bodies").symlink_to(home / "target")
    (daemon.queue_dir / "queue.sqlite").symlink_to(home / "shadow")
    (daemon.queue_dir / "lock").hardlink_to(home / "shadow")
    words = daemon.start_and_fail()
    assert "Traceback" not in words
    assert len([line for line in words.splitlines() if line.startswith("smtprelay: ")]) == 1
    assert owners(home / "target") | owners(home / "shadow") == {(0, 0)}


@pytest.mark.parametrize("chosen", [{}, {"RUN_AS": "root"}, {"RUN_AS": "0:0"}])
def test_port_25_is_not_held_by_root(home, network, chosen):
    with network.entered():
        daemon = Daemon(home, PORT="25", **chosen)
        words = daemon.start_and_fail()
    if not chosen and "RUN_AS" not in words:
        pytest.skip("this host has a user smtprelay")
    (line,) = (line for line in words.splitlines() if line.startswith("smtprelay: "))
    assert line.startswith("smtprelay: the relay would hold port 25 as root: set RUN_AS to the user it is to become")
    assert not daemon.queue_dir.exists()


@pytest.mark.parametrize("options", [["--euid", f"--uid={NOBODY}"], [f"--gid={NOBODY}"]])
def test_port_25_is_not_held_by_a_process_that_can_become_root_again(home, network, options):
    with network.entered():
        words = relay(home, *options, PORT="25").start_and_fail()
    assert "smtprelay: the relay would hold port 25 as root" in words


def test_twistds_own_options_win(home):
    # Twisted wants one that has a name.
    other = pwd.getpwnam("bin").pw_uid
    queue = home / "queue"
    queue.mkdir(0o700)
    os.chown(queue, other, other)
    with relay(home, f"--uid={other}", f"--gid={other}", RUN_AS=SOMEBODY) as daemon:
        assert identity(daemon.child.pid)["Uid"] == [other] * 4
        assert identity(daemon.child.pid)["NoNewPrivs"] == [1]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_relay_that_keeps_its_user_can_get_no_new_rights(home, workers):
    with relay(home, WORKERS=workers) as daemon:
        daemon.wait_for_events("started")
        for pid in [daemon.child.pid, *daemon.workers().values()]:
            assert identity(pid)["NoNewPrivs"] == [1]


def test_root_without_the_right_to_drop_capabilities_changes_its_user(home):
    daemon = relay(home, RUN_AS=SOMEBODY)
    if find_program("setpriv") is None:
        pytest.skip("util-linux's setpriv is not here")
    daemon.child.command[:0] = ["setpriv", "--bounding-set=-setpcap", "--inh-caps=-setpcap"]
    with daemon:
        found = identity(daemon.child.pid)
    assert found["NoNewPrivs"] == [1]
    assert found["CapPrm"] == found["CapInh"] == [0]


def test_a_user_that_is_not_there_is_a_mistake_in_the_settings(home):
    words = Daemon(home, RUN_AS="nosuchuser").start_and_fail()
    assert "RUN_AS='nosuchuser': there is no user 'nosuchuser' on this host" in words


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ports_of_submission_and_a_file_of_users_are_opened_as_root_too(home, network, workers):
    (home / "secret").mkdir(0o700)
    users = home / "secret" / "users"
    users.write_text("app:{PLAIN}open-sesame/+9\n")
    settings = {**certificate(home / "secret"), "AUTH_USERS_FILE": str(users), "WORKERS": workers}
    ports = {"SUBMISSION_PORT": "587", "SUBMISSION_TLS_PORT": "465"}
    with network.entered(), relay(home, PORT="25", RUN_AS=SOMEBODY, **settings, **ports) as daemon:
        for _ in range(4):
            wire = TlsWire(465)
            wire.say(b"EHLO client.test\r\n")
            assert wire.say(plain("app", "open-sesame/+9")).startswith("235")
        notices = [event["text"] for event in daemon.wait_for_events("notice")]
        assert len([text for text in notices if "may not read it" in text and "AUTH_USERS_FILE" in text]) == 1
        assert daemon.stop() == 0
    assert "Traceback" not in daemon.child.text


def test_rules_that_the_user_may_not_read_stay_as_root_has_read_them_and_the_log_names_the_user(home):
    rules = home / "rules.d" / "10-acl.toml"
    rules.parent.mkdir()

    def write(words: str) -> None:
        rules.write_text(f'[[acl]]\nrecipient = "no@example.test"\ndeny = "{words}"\n')

    write("first")
    rules.chmod(0o600)
    with relay(home, RUN_AS=SOMEBODY, RULES_DIR=str(rules.parent)) as daemon:
        notices = [event["text"] for event in daemon.wait_for_events("notice")]
        assert [f"rules: user id {NOBODY} may not read {rules}, so" in text for text in notices].count(True) == 1
        write("second")
        os.kill(daemon.child.pid, signal.SIGHUP)
        told = [event["text"] for event in daemon.wait_for_events("trouble", 2)]
        assert "1 mistake; those of" in told[0]
        assert told[1] == f"{rules}:1: the file cannot be read: Permission denied; let user id {NOBODY} read it"
        with daemon.client() as client:
            client.ehlo()
            client.mail("a@sender.test")
            assert client.rcpt("no@example.test") == (550, b"5.7.1 first")
            rules.chmod(0o644)
            os.kill(daemon.child.pid, signal.SIGHUP)
            daemon.wait_for_events("rules")
            assert client.rcpt("no@example.test") == (550, b"5.7.1 second")
