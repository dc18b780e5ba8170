"""The unit under a systemd of its own, installed as docs/systemd.md says. `make systemd-test` runs it."""

import os
import re
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.certificates import authority
from harness.sink import Sink
from harness.sink_rules import Rule
from harness.waiting import until
from tests.endtoend.world import TO, World, received, world_of_one_test
from tests.systemd.debian import ROOT
from tests.systemd.machine import Machine
from tests.systemd.unit import UNIT, Unit, blocks

FOLDER = os.environ.get("RELAY_SYSTEMD_TEST", "")
PAGE = ROOT / "docs" / "systemd.md"
SUBMISSION = ROOT / "docs" / "submission.md"
PASSWORD = "correct-horse-battery-staple"

pytestmark = pytest.mark.skipif(not FOLDER, reason="needs root and a Debian of its own: make systemd-test")


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with Machine(Path(FOLDER).resolve()) as machine:
        (installation,) = blocks(PAGE, "Install", "sh")
        machine.shell(f"{installation}\nsystemctl is-active smtprelay", seconds=300)
        yield machine


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_of_one_test(tmp_path) as world:
        yield world


@pytest.fixture
def unit(machine: Machine) -> Iterator[Unit]:
    unit = Unit(machine)
    yield unit
    unit.systemctl("stop")
    machine.shell("rm -rf /var/lib/smtprelay/* /var/mail/*")


def by_mx(world: World, sink: Sink) -> dict[str, str]:
    """Return settings for delivery by MX to a sink."""
    return {
        "MAILNAME": "relay.example.test",
        "DNS_SERVERS": world.dns.setting,
        "SMTPPORTOUT": str(sink.port),
        "PRIVATE_DESTINATIONS": "allow",
        "RETRY_SCHEDULE": "F,10m,1m",
    }


def test_the_installation_in_the_docs_ends_with_a_relay_that_runs_as_its_own_user(unit: Unit) -> None:
    unit.systemctl("start")
    assert unit.show("ActiveState") == "active"
    assert unit.show("UnitFileState") == "enabled"
    assert unit.show("Type") == "notify"
    status = unit.machine.shell(f"cat /proc/{unit.pid()}/status")
    uid = unit.machine.shell("id --user smtprelay").strip()
    assert uid != "0"
    assert re.search(rf"^Uid:\t{uid}\t{uid}\t{uid}\t{uid}$", status, re.MULTILINE)
    # CAP_NET_BIND_SERVICE is the capability of number 10.
    assert re.search(r"^CapBnd:\t0*400$", status, re.MULTILINE)
    assert re.search(r"^CapEff:\t0*400$", status, re.MULTILINE)


def test_it_is_active_only_once_it_greets_and_then_shows_a_status(unit: Unit) -> None:
    unit.configure(MAILNAME="relay.example.test")
    unit.systemctl("restart")
    with smtplib.SMTP("127.0.0.1", 25, timeout=20) as client:
        assert client.noop()[0] == 250
    until(lambda: "relay.example.test" in unit.show("StatusText"), what="a status")


def test_mail_goes_through_port_25_to_the_mx(unit: Unit, world: World) -> None:
    sink = world.sink()
    unit.configure(**by_mx(world, sink))
    unit.systemctl("restart")
    unit.submit(TO)
    (message,) = received(sink)
    assert message.recipients == (TO,)
    unit.emptied()


def test_local_mail_reaches_a_maildir_in_var_mail(unit: Unit) -> None:
    (making,) = blocks(PAGE, "Local delivery", "sh")
    unit.machine.shell(making)
    unit.configure(OTHER_HOSTNAMES="local.test")
    unit.systemctl("restart")
    unit.submit("alice@local.test")
    unit.emptied()
    assert "hello" in unit.machine.shell("cat /var/mail/alice/new/*")


def test_a_restart_keeps_the_queue_and_delivers_it(unit: Unit, world: World) -> None:
    sink = world.sink(Rule("RCPT", "451 4.3.0 not now"))
    unit.configure(**by_mx(world, sink))
    unit.systemctl("restart")
    unit.submit(TO)
    until(lambda: "451" in unit.command("queue", "list"), what="a first attempt that fails")
    page_command, *_ = blocks(PAGE, "Status and commands", "sh")
    assert TO in unit.machine.shell(page_command)
    sink.rules.clear()
    before = unit.pid()
    unit.systemctl("restart")
    assert unit.pid() != before
    received(sink)
    unit.emptied()


def test_the_watchdog_hears_it_and_replaces_it_when_it_hangs(unit: Unit) -> None:
    unit.configure("[Service]", "WatchdogSec=2", "RestartSec=0")
    unit.systemctl("restart")
    heard = unit.show("WatchdogTimestampMonotonic")
    until(lambda: unit.show("WatchdogTimestampMonotonic") != heard, 10, what="a second sign of life")
    hung = unit.pid()
    unit.machine.run("systemctl", "kill", "--signal=SIGSTOP", UNIT)
    until(
        lambda: unit.show("NRestarts") == "1" and unit.show("ActiveState") == "active", 30, what="a relay in its place"
    )
    assert unit.pid() != hung
    assert "watchdog" in unit.event_log().lower()


def test_with_two_workers_the_relay_is_active_when_both_are_and_replaces_one_that_hangs(
    unit: Unit, world: World
) -> None:
    sink = world.sink()
    unit.configure("[Service]", "WatchdogSec=2", WORKERS="2", **by_mx(world, sink))
    unit.systemctl("restart")
    parent, workers = unit.pid(), unit.workers()
    assert len(workers) == 2
    unit.machine.shell(f"kill -STOP {workers[0]}")
    until(lambda: len(unit.workers()) == 2 and workers[0] not in unit.workers(), 30, what="another worker")
    assert workers[1] in unit.workers()
    assert unit.pid() == parent
    assert "sent no heartbeat" in unit.event_log()
    for _ in range(6):
        unit.submit(TO)
    received(sink, 6)
    unit.emptied()
    unit.systemctl("stop")
    assert unit.show("Result") == "success"
    assert unit.machine.run("ls", "/var/lib/smtprelay/worker-2").stdout


def test_a_secret_is_handed_over_where_no_other_user_sees_it(unit: Unit, world: World, tmp_path: Path) -> None:
    trust = authority()
    chain, key = trust.leaf(["smart.example.test"]).write(tmp_path)
    world.dns.add({"smart.example.test": {"A": ["127.0.0.1"]}})
    sink = world.sink(tls=(str(chain), str(key)), users={"me": PASSWORD})
    unit.machine.write("/etc/smtprelay/authority.pem", trust.certificate_pem.decode())
    unit.machine.write("/etc/smtprelay/smarthost-user", "me\n")
    unit.machine.write("/etc/smtprelay/smarthost-password", f"{PASSWORD}\n")
    unit.machine.shell("chmod 600 /etc/smtprelay/smarthost-*")
    (drop_in,) = blocks(PAGE, "Secrets", "ini")
    unit.configure(
        drop_in,
        DNS_SERVERS=world.dns.setting,
        SMARTHOST_ADDRESS=f"smart.example.test::{sink.port}",
        SSL_CERT_FILE="/etc/smtprelay/authority.pem",
    )
    unit.systemctl("restart")
    unit.submit(TO)
    (message,) = received(sink)
    assert (message.user, message.tls) == ("me", True)
    seen = unit.machine.shell(
        "systemctl show smtprelay; systemctl cat smtprelay; journalctl --no-pager;"
        f"cat /proc/{unit.pid()}/environ /proc/{unit.pid()}/cmdline"
    )
    assert "smarthost-password" in seen
    assert PASSWORD not in seen


def test_clients_log_in_as_the_page_of_submission_says(unit: Unit, tmp_path: Path) -> None:
    chain, key = authority().leaf(["mail.example.test"]).write(tmp_path)
    unit.machine.write("/etc/smtprelay/fullchain.pem", chain.read_text())
    unit.machine.write("/etc/smtprelay/privkey.pem", key.read_text())
    (commands,) = blocks(SUBMISSION, "Under systemd", "sh")
    lines, drop_in = blocks(SUBMISSION, "Under systemd", "ini")
    settings = dict(line.split("=", 1) for line in lines.splitlines())
    unit.configure(**settings)
    unit.machine.shell("chgrp smtprelay /etc/smtprelay/*.pem && chmod 640 /etc/smtprelay/*.pem")
    for name in ("app", "other"):
        add = commands.replace(" user add app ", f" user add {name} ").replace("\n/opt/", f"\necho {PASSWORD} | /opt/")
        # Only the first user needs a start.
        unit.machine.shell(add if name == "app" else add.replace("systemctl restart smtprelay", ""))
        until(
            lambda name=name: logs_in(smtplib.SMTP_SSL("127.0.0.1", 465, timeout=20), name), what=f"a login of {name}"
        )
    unit.machine.shell("chown root:root /etc/smtprelay/users && chmod 600 /etc/smtprelay/users")
    unit.configure(drop_in, **{name: text for name, text in settings.items() if name != "AUTH_USERS_FILE"})
    unit.systemctl("restart")
    client = smtplib.SMTP("127.0.0.1", 587, timeout=20)
    client.starttls()
    assert logs_in(client, "app")
    assert PASSWORD not in unit.machine.shell("journalctl --no-pager")


def logs_in(client: smtplib.SMTP, name: str) -> bool:
    """Return whether a user can log in, and end the session."""
    with client:
        try:
            return client.login(name, PASSWORD)[0] == 235
        except smtplib.SMTPAuthenticationError:
            return False


def test_wrong_settings_are_named_in_the_journal(unit: Unit) -> None:
    unit.configure(PORT="none")
    assert unit.machine.run("systemctl", "restart", "smtprelay", check=False).returncode != 0
    assert "PORT='none'" in unit.event_log()
    assert unit.show("ActiveState") == "failed"


def test_it_stops_by_itself_in_the_middle_of_a_session(unit: Unit) -> None:
    unit.configure()
    unit.systemctl("restart")
    with smtplib.SMTP("127.0.0.1", 25, timeout=20) as client:
        client.ehlo()
        unit.systemctl("stop")
    assert unit.show("ActiveState") == "inactive"
    assert unit.show("Result") == "success"
    assert unit.show("ExecMainStatus") == "0"
