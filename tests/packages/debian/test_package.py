"""The Debian package on a Debian that has just been installed, as docs/debian.md says. `make debian-test` runs it."""

import os
import re
import shutil
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.sink import Sink
from harness.sink_rules import Rule
from harness.waiting import until
from mta import __version__
from tests.endtoend.world import TO, World, received, world_of_one_test
from tests.packages.debian.build import BEFORE_VERSION
from tests.systemd.debian import ROOT, copy_bare
from tests.systemd.machine import Machine
from tests.systemd.unit import blocks

FOLDER = os.environ.get("RELAY_DEBIAN_TEST", "")
PAGE = ROOT / "docs" / "debian.md"
SETTINGS = "/etc/default/smtprelay"
ALTERNATIVES = ("/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases")

needs_machine = pytest.mark.skipif(not FOLDER, reason="needs root and a Debian of its own: make debian-test")


def test_the_manual_page_names_each_command() -> None:
    named = re.findall(r"^\.TP\n\.B ([a-z\\-]+)$", (ROOT / "debian/man/smtprelay.8").read_text(), re.MULTILINE)
    from mta.cli.main import main

    shown = [name for name in main.list_commands(None) if not main.get_command(None, name).hidden]
    assert [name.replace("\\", "") for name in named] == sorted(shown)


def prepare(folder: Path, copy: Path) -> None:
    """Make a fresh Debian with the packages in its root, and only the repository as a source of others."""
    copy_bare(folder, copy)
    (copy / "etc/apt/sources.list").write_text("deb [trusted=yes] file:/repository ./\n")
    shutil.copy(folder / "smtprelay.deb", copy / "root")
    (package,) = (folder / "before").glob("*.deb")
    shutil.copy(package, copy / "root" / "before.deb")


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    folder = Path(FOLDER).resolve()
    with Machine(folder, bound="repository", prepare=prepare, directory="/root") as machine:
        machine.shell("apt-get update -qq && useradd ann", seconds=120)
        yield machine


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_of_one_test(tmp_path) as world:
        yield world


@pytest.fixture
def host(machine: Machine) -> Iterator[Machine]:
    """The machine without a mail server."""
    yield machine
    machine.shell("dpkg --purge --force-depends smtprelay msmtp-mta bsd-mailx", seconds=120)


def install(host: Machine, package: str = "./smtprelay.deb") -> str:
    """Install a package as the page says, and return apt's words. Changed settings are kept without a question."""
    options = "--yes --no-install-recommends --option Dpkg::Options::=--force-confold"
    return host.shell(f"apt install {options} {package} 2>&1", seconds=300)


def configure(host: Machine, sink: Sink, *more: str) -> None:
    """Write the three lines of the page, with the address of a sink, and restart the relay."""
    (lines,) = blocks(PAGE, "The first message", "ini")
    assert lines.count("\n") == 2
    text = lines.replace("smtp.example.com", "127.0.0.1").replace("587", str(sink.port))
    host.shell(f"cat >>{SETTINGS} <<'END'\n{text}\n" + "".join(f"{line}\n" for line in more) + "END")
    host.shell("systemctl restart smtprelay")


def listening(port: int) -> set[str]:
    """Return the addresses at which a program in this network listens, as the kernel shows them."""
    tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    lines = [line.split() for table in tables for line in table]
    return {line[1].partition(":")[0] for line in lines if line[3] == "0A" and line[1].endswith(f":{port:04X}")}


def sendmail(host: Machine, message: str, *options: str, user: str = "ann") -> tuple[int, str]:
    """Send a message as a user; return exit status and output."""
    host.write("/var/tmp/message", message)
    host.shell("chmod 644 /var/tmp/message")
    done = host.run(
        "runuser", "-u", user, "--", "sh", "-c", f"sendmail {' '.join(options)} </var/tmp/message", check=False
    )
    return done.returncode, done.stdout + done.stderr


def emptied(host: Machine) -> None:
    until(lambda: "Nothing is waiting." in host.run("mailq").stdout, what="an empty queue")


@needs_machine
def test_lintian_finds_no_fault() -> None:
    said = (Path(FOLDER) / "lintian.txt").read_text().splitlines()
    assert [line for line in said if not line.startswith("N:")] == []


@needs_machine
def test_a_fresh_host_delivers_a_message_after_three_lines_of_settings(host: Machine, world: World) -> None:
    sink = world.sink()
    install(host)
    assert host.shell("systemctl is-enabled smtprelay; systemctl is-active smtprelay").split() == ["enabled", "active"]
    # Until the settings say otherwise, only this host is served.
    assert listening(25) == {"0100007F", "00000000000000000000000001000000"}
    configure(host, sink)
    message = f"To: {TO}\nBcc: hidden@example.test\nSubject: hello\n\nThe first message\n.\nand more\n"
    assert sendmail(host, message, "-t", "-i") == (0, "")
    (seen,) = received(sink)
    assert seen.recipients == (TO, "hidden@example.test")
    assert seen.sender == "ann@mail.example.com"
    assert seen.header("From") == "<ann@mail.example.com>"
    assert seen.header("Date")
    assert seen.header("Message-ID")
    assert seen.header("Bcc") is None
    assert seen.content.endswith(b"\r\n\r\nThe first message\r\n.\r\nand more\r\n")
    emptied(host)


@needs_machine
def test_the_block_of_the_page_sends_a_message(host: Machine, world: World) -> None:
    sink = world.sink()
    install(host)
    configure(host, sink)
    commands, _ = blocks(PAGE, "The first message", "sh")
    host.shell(commands.replace("smtprelay -e", "smtprelay"))
    assert received(sink)[0].recipients == ("you@example.org",)


@needs_machine
def test_programs_of_the_host_send_through_it(host: Machine, world: World) -> None:
    sink = world.sink()
    install(host)
    install(host, "bsd-mailx")
    configure(host, sink)
    host.shell(f"echo hello | runuser -u ann -- mail -s subject {TO}")
    assert received(sink)[0].header("Subject") == "subject"
    lines = ("HELO ann", "MAIL FROM:<ann>", f"RCPT TO:<{TO}>", "DATA", "Subject: smtp", "", "hello", ".", "QUIT")
    assert sendmail(host, "".join(f"{line}\n" for line in lines), "-bs")[0] == 0
    assert received(sink, 2)[1].header("Subject") == "smtp"


@needs_machine
def test_sendmail_of_a_relay_that_is_stopped_says_that_nothing_was_sent(host: Machine) -> None:
    install(host)
    host.shell("systemctl stop smtprelay")
    status, output = sendmail(host, "hello\n", TO)
    assert (status, output.count("\n")) == (os.EX_TEMPFAIL, 1)
    assert "the relay cannot be reached at 127.0.0.1 port 25, nothing was sent: Connection refused" in output


@needs_machine
def test_sendmail_finds_a_relay_on_another_port(host: Machine, world: World) -> None:
    sink = world.sink()
    install(host)
    configure(host, sink, "PORT=2525")
    assert sendmail(host, "hello\n", TO) == (0, "")
    received(sink)


@needs_machine
def test_only_operators_see_the_queue(host: Machine) -> None:
    install(host)
    status, output = sendmail(host, "", "-bp")
    assert (status, output.count("\n")) == (os.EX_UNAVAILABLE, 1)
    assert "only root and the relay's own user may do this" in output
    assert sendmail(host, "", "-q", user="root") == (0, "")


@needs_machine
def test_an_upgrade_keeps_settings_and_mail(host: Machine, world: World) -> None:
    sink = world.sink(Rule("RCPT", "451 4.3.0 not now"))
    install(host, "./before.deb")
    assert host.shell("dpkg-query --show --showformat '${Version}' smtprelay") == BEFORE_VERSION
    configure(host, sink, "RETRY_SCHEDULE=F,10m,1s")
    with smtplib.SMTP("127.0.0.1", 25, timeout=20) as client:
        client.sendmail("ann@example.com", [TO], b"Subject: from before\r\n\r\nhello\r\n")
    until(lambda: "451" in host.run("smtprelay", "queue", "list").stdout, what="a first attempt that fails")
    before, settings = host.shell("systemctl show --value --property=MainPID smtprelay"), host.shell(f"cat {SETTINGS}")
    install(host)
    assert host.shell("dpkg-query --show --showformat '${Version}' smtprelay") == __version__
    assert host.shell("systemctl show --value --property=MainPID smtprelay") != before
    assert host.shell("systemctl is-active smtprelay").strip() == "active"
    assert host.shell(f"cat {SETTINGS}") == settings
    sink.rules.clear()
    assert received(sink)[0].header("Subject") == "from before"
    emptied(host)


@needs_machine
def test_mail_waits_over_a_removal_and_is_deleted_by_a_purge(host: Machine, world: World) -> None:
    sink = world.sink(Rule("RCPT", "451 4.3.0 not now"))
    install(host)
    configure(host, sink, "RETRY_SCHEDULE=F,10m,1s")
    host.shell("mkdir -p /var/mail/ann/new && touch /var/mail/ann/new/1 /etc/smtprelay/own")
    sendmail(host, "hello\n", TO)
    until(lambda: "451" in host.run("mailq").stdout, what="a first attempt that fails")
    removed = host.shell("apt-get remove --yes smtprelay 2>&1", seconds=120)
    assert "Mail still waits in the queue." in removed
    assert host.run("sh", "-c", f"ls {' '.join(ALTERNATIVES)} /run/smtprelay", check=False).stdout == ""
    sink.rules.clear()
    install(host)
    received(sink)
    emptied(host)
    assert "Mail still waits" not in host.shell("apt-get purge --yes smtprelay 2>&1", seconds=120)
    gone = (SETTINGS, "/var/lib/smtprelay", "/run/smtprelay", *ALTERNATIVES)
    assert host.run("sh", "-c", f"ls -d {' '.join(gone)}", check=False).stdout == ""
    assert host.shell("ls /var/mail/ann/new /etc/smtprelay").split()[1::2] == ["own", "1"]
    assert host.run("systemctl", "list-unit-files", "--no-legend", "smtprelay*", check=False).stdout == ""
    kept = " ".join(f"-not -path '{path}*'" for path in ("/root/", "/etc/smtprelay", "/var/log/", "/repository/"))
    assert host.shell(f"find / -xdev -path '*smtprelay*' {kept}") == ""


@needs_machine
def test_another_mail_server_takes_its_place_and_gives_it_back(host: Machine) -> None:
    install(host, "msmtp-mta")
    assert "msmtp-mta" in install(host)
    assert host.shell("readlink -f /usr/sbin/sendmail").strip() == "/usr/bin/smtprelay"
    install(host, "msmtp-mta")
    assert host.shell("readlink -f /usr/sbin/sendmail").strip() == "/usr/bin/msmtp"
