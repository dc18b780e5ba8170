"""`smtprelay doctor` in a network of its own with two name servers: each check in its good state and in a bad one."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from harness.certificates import authority
from harness.daemon import ROOT, Daemon, program
from harness.network import Network, NoNetworkError, connect
from harness.processes import Child, free_port, with_mounts
from harness.shifted_clock import WallClock
from harness.sink import Sink
from harness.sink_rules import Rule
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.programs.power_disk import PowerDisk
from tests.programs.small_disk import NoDiskError, small_disk

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes namespaces of its own"),
    pytest.mark.long,
]

NAME, ADDRESS, GATEWAY = "relay.example.test", "45.0.0.7", "45.0.0.1"
POINTER = "7.0.0.45.in-addr.arpa"
DOMAIN = "sender.test"
LIST = "list.test"
SERVERS = ("127.0.0.1", "127.0.0.2")
ZoneRecords = dict[str, dict[str, Any]]
GOOD: ZoneRecords = {
    NAME: {"A": [ADDRESS]},
    POINTER: {"PTR": [f"{NAME}."]},
    DOMAIN: {"MX": [[10, NAME]], "TXT": [f'"v=spf1 ip4:{ADDRESS} -all"']},
    f"_dmarc.{DOMAIN}": {"TXT": ['"v=DMARC1; p=reject"']},
    f"2.0.0.127.{LIST}": {"A": ["127.0.0.2"]},
    "there.test": {"MX": [[10, "mx.there.test"]]},
    "mx.there.test": {"A": ["127.0.0.1"]},
    "down.test": {"MX": [[10, "mx.down.test"]]},
    "mx.down.test": {"A": ["127.0.0.9"]},
    "search.test": {"A": [ADDRESS]},
    "wild.test": {"A": [ADDRESS]},
    "*.wild.test": {"A": [ADDRESS]},
}


class States:
    """A relay in a network, and the files by which a test changes the state that the command sees."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.zones = [folder / f"zone-{server}.json" for server in SERVERS]
        self.resolv_conf = folder / "resolv.conf"
        self.meminfo = folder / "meminfo"
        self.meminfo.write_text(Path("/proc/meminfo").read_text())
        # Files over those of the host, which only the command and the relay see.
        self.mounts = {"/etc/resolv.conf": self.resolv_conf, "/proc/meminfo": self.meminfo}
        # The records that the last run printed, by check.
        self.printed: dict[str, list[str]] = {}
        self.sink = stack.enter_context(Sink([Rule("EHLO", "250 mx.there.test")]))
        certificate, key = authority().leaf(names=[NAME]).write(folder)
        self.smarthost = stack.enter_context(Sink([Rule("EHLO", "250 smarthost.test")]))
        keys = folder / "keys"
        keys.mkdir()
        self.relay = Daemon(
            folder / "relay",
            MAILNAME=NAME,
            NET_DEV="lo",
            DKIM_KEY_PATH=str(keys),
            SMTPPORTOUT=str(self.sink.port),
            PRIVATE_DESTINATIONS="allow",
            CERTIFICATE_PATH=str(certificate),
            KEY_PATH=str(key),
        )
        self.relay.child.command[:0] = self.mounted()
        self.records = deepcopy(GOOD)
        made = self.relay.tool("dkim", "keygen", DOMAIN, "--out", str(keys))
        assert made.returncode == 0, made.stderr
        self.reset()

    def mounted(self) -> list[str]:
        """Return the beginning of a command that sees the files in place of the host's, and its folder as a volume."""
        return with_mounts({**self.mounts, str(self.folder): self.folder})

    def publish(self, changes: Mapping[str, Any], servers: tuple[str, ...] = SERVERS) -> None:
        """Have some of the servers answer with changed records; None takes a name away."""
        records = {name: kinds for name, kinds in (self.records | dict(changes)).items() if kinds is not None}
        for server, path in zip(SERVERS, self.zones, strict=True):
            if server in servers:
                new = path.with_suffix(".new")
                new.write_text(json.dumps(records))
                new.replace(path)

    def reset(self) -> None:
        """Bring back the good state."""
        self.publish({})
        self.search()

    def search(self, domain: str = "search.test") -> None:
        """Write resolv.conf with a search list."""
        lines = [f"nameserver {server}" for server in SERVERS]
        self.resolv_conf.write_text("\n".join([*lines, f"search {domain}", ""]))

    def publish_key(self) -> None:
        """Publish the DKIM key of the relay, as the command prints it."""
        self.findings()
        (line,) = self.printed["domain/dkim"]
        name, _, _, data = line.split(" ", 3)
        self.records[name.removesuffix(".")] = {"TXT": [data]}
        self.reset()

    def findings(self, *words: str, **settings: str) -> dict[str, set[str]]:
        """Run the command; return the levels of each check."""
        words = words or ("--to", "there.test", "--block-list", LIST, DOMAIN)
        command = [*self.mounted(), program("smtprelay"), "doctor", "--json", *words]
        environment = {**self.relay.environment, **settings}
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.stdout, done.stderr
        found: dict[str, set[str]] = {}
        for each in json.loads(done.stdout)["findings"]:
            found.setdefault(each["check"], set()).add(each["level"])
            self.printed |= {each["check"]: each["records"]}
        return found


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[States]:
    folder = tmp_path_factory.mktemp("states")
    with ExitStack() as stack:
        try:
            network = stack.enter_context(Network())
            connect(network, f"{ADDRESS}/24", stack.enter_context(Network()), f"{GATEWAY}/24")
        except NoNetworkError as error:
            pytest.skip(f"network namespaces cannot be made here: {error}")
        stack.enter_context(network.entered())
        made = States(folder, stack)
        for server, zone in zip(SERVERS, made.zones, strict=True):
            stack.enter_context(name_server(folder, server, zone))
        with made.relay:
            made.publish_key()
            yield made


@contextmanager
def name_server(folder: Path, address: str, zone: Path) -> Iterator[Child]:
    command = [sys.executable, "-m", "harness.dns_server", "--validating", "--port", "53", "--interface", address]
    with Child([*command, "--zone", str(zone)], folder / f"dns-{address}.log", {"PYTHONPATH": str(ROOT)}) as child:
        until(lambda: "ready" in child.text or not child.running, what="the DNS server")
        assert child.running, child.text
        yield child


# The checks of one run in the good state.
CHECKS = {
    *(f"identity/{name}" for name in ("mailname", "ptr")),
    *(f"host/{name}" for name in ("clock", "space", "sync", "file-system", "open-files", "memory")),
    *(f"relay/{name}" for name in ("answers", "open", "certificate", "settings", "oldest", "ledger")),
    *("relay/destinations", "relay/alarms"),
    *(f"domain/{name}" for name in ("spf", "dkim", "dmarc", "mx", "mta-sts", "dane")),
    *(f"destination/{name}" for name in ("mta-sts", "dane", "tls-reports")),
    *(f"dns/{name}" for name in ("answers", "agreement", "dnssec", "search")),
    *("network/mx", "smarthost/connect", "blocklist/address"),
}


# Whether a time service keeps the clock of this host, and how busy its disk is, is not in the hand of a test.
_OF_THE_HOST = {"host/clock", "host/sync"}


def test_all_checks_are_ok_in_the_good_state(states):
    found = states.findings()
    others = {check: levels for check, levels in found.items() if levels != {"ok"} and check not in _OF_THE_HOST}
    # Domains without MTA-STS, TLSA records and TLS reports; `test_doctor_proofs` has domains with them.
    proofs = ("domain/mta-sts", "domain/dane", "destination/mta-sts", "destination/dane", "destination/tls-reports")
    assert others == {check: {"skipped"} for check in ("smarthost/connect", *proofs)}
    assert set(found) == CHECKS


DKIM_NAME = f"dkim._domainkey.{DOMAIN}"
#: The check, the level, and the changed records.
RECORDS: list[tuple[str, str, ZoneRecords]] = [
    ("identity/mailname", "failure", {NAME: None}),
    ("identity/ptr", "failure", {POINTER: None}),
    ("identity/ptr", "warning", {POINTER: {"PTR": ["other.test."]}, "other.test": {"A": [ADDRESS]}}),
    ("domain/spf", "failure", {DOMAIN: {**GOOD[DOMAIN], "TXT": ['"v=spf1 ip4:45.0.0.8 -all"']}}),
    ("domain/dkim", "failure", {DKIM_NAME: {"TXT": ['"v=DKIM1; p="']}}),
    ("domain/dmarc", "warning", {f"_dmarc.{DOMAIN}": None}),
    ("domain/mx", "failure", {DOMAIN: {**GOOD[DOMAIN], "MX": [[0, ""]]}}),
    ("domain/mta-sts", "failure", {f"_mta-sts.{DOMAIN}": {"TXT": ['"v=STSv1; id=1"']}}),
    ("blocklist/address", "failure", {f"7.0.0.45.{LIST}": {"A": ["127.0.0.4"], "TXT": ['"spam was seen"']}}),
    ("network/mx", "failure", {"mx.there.test": {"A": ["127.0.0.9"]}}),
]


@pytest.mark.parametrize(("check", "level", "changes"), RECORDS, ids=[f"{each[0]}-{each[1]}" for each in RECORDS])
def test_a_fault_in_the_dns_is_found(states, check, level, changes):
    states.publish(changes)
    try:
        assert level in states.findings()[check]
    finally:
        states.reset()


def test_name_servers_that_differ_are_found(states):
    states.publish({DOMAIN: {**GOOD[DOMAIN], "MX": [[10, "other.test"]]}}, SERVERS[1:])
    try:
        assert states.findings()["dns/agreement"] == {"warning"}
    finally:
        states.reset()


def test_a_search_list_that_makes_names_up_is_found(states):
    states.search("wild.test")
    try:
        assert states.findings()["dns/search"] == {"warning"}
    finally:
        states.reset()


def test_a_name_server_that_is_silent_or_does_not_validate_is_found(states):
    found = states.findings(DNS_SERVERS=f"127.0.0.1 127.0.0.3:{free_port()}")
    assert found["dns/answers"] == {"ok", "warning"}
    assert found["dns/dnssec"] == {"skipped"}


def certificate(states: States, name: str, *, expired: bool = False) -> dict[str, str]:
    """Return the settings of a certificate for a name."""
    pair = authority().leaf(names=[name], expired=expired).write(states.folder, f"own-{name}-{expired}")
    return dict(zip(("CERTIFICATE_PATH", "KEY_PATH"), map(str, pair), strict=True))


#: The check, the level, and the settings of the command as the relay would have them.
SETTINGS: list[tuple[str, str, Callable[[States], dict[str, str]]]] = [
    ("relay/open", "failure", lambda _: {"RELAY_NETWORKS": "192.0.2.0/24"}),
    ("relay/settings", "warning", lambda _: {"SMARTHOST_ADDRESS": "127.0.0.1", "SMARTHOST_TLS": "none"}),
    ("relay/certificate", "failure", lambda states: certificate(states, NAME, expired=True)),
    ("relay/certificate", "warning", lambda states: certificate(states, "other.test")),
    ("relay/answers", "failure", lambda _: {"PORT": str(free_port())}),
    ("smarthost/connect", "ok", lambda states: smarthost(states.smarthost.port)),
    ("smarthost/connect", "failure", lambda _: smarthost(free_port())),
]


def smarthost(port: int) -> dict[str, str]:
    return {"SMARTHOST_ADDRESS": "127.0.0.1", "SMARTHOST_PORT": str(port), "SMARTHOST_TLS": "opportunistic"}


@pytest.mark.parametrize(("check", "level", "settings"), SETTINGS, ids=[f"{each[0]}-{each[1]}" for each in SETTINGS])
def test_a_fault_of_the_relay_is_found(states, check, level, settings):
    assert level in states.findings(**settings(states))[check]


def test_little_memory_is_found(states):
    good = states.meminfo.read_text()
    states.meminfo.write_text("MemTotal: 900000 kB\nMemAvailable: 5000 kB\n")
    try:
        assert states.findings()["host/memory"] == {"warning"}
    finally:
        states.meminfo.write_text(good)


@contextmanager
def disk(made: AbstractContextManager[Any]) -> Iterator[Any]:
    try:
        with made as mounted:
            yield mounted
    except NoDiskError as error:
        pytest.skip(f"no disk can be mounted: {error}")


def test_a_full_disk_in_memory_is_found(states, tmp_path):
    with disk(small_disk(tmp_path / "disk", "8M")) as mount:
        found = states.findings(QUEUE_DIR=str(mount))
    assert found["host/space"] == {"failure"}
    assert found["host/file-system"] == {"warning"}


def test_few_inodes_are_found(states, tmp_path):
    with disk(small_disk(tmp_path / "disk", "4G", ",nr_inodes=100")) as mount:
        assert states.findings(QUEUE_DIR=str(mount))["host/space"] == {"warning"}


def test_a_slow_disk_is_found(states, tmp_path):
    with disk(PowerDisk(tmp_path)) as slow:
        slow.slow(0.6)
        assert states.findings(QUEUE_DIR=str(slow.mount))["host/sync"] == {"failure"}


def test_a_small_limit_of_open_files_is_found(states, tmp_path):
    with relay(states, tmp_path) as few:
        subprocess.run(["prlimit", "--pid", str(few.child.pid), "--nofile=1000:1000"], check=True)
        assert states.findings(**own(few))["host/open-files"] == {"warning"}


def test_old_mail_and_a_clock_that_runs_behind_are_found(states, tmp_path):
    clock = WallClock(tmp_path / "ahead")
    with relay(states, tmp_path) as other:
        other.submit(mail(), "someone@down.test")
        until(other.queue, what="the message")
        clock.ahead = 20 * 3600
        assert states.findings(**own(other), **clock.settings(str(ROOT)))["relay/oldest"] == {"warning"}
        clock.ahead = -20 * 3600
        assert states.findings(**own(other), **clock.settings(str(ROOT)))["host/clock"] == {"failure"}


def test_a_destination_that_is_down_is_found(states, tmp_path):
    with relay(states, tmp_path) as other:
        other.submit(mail(), "someone@down.test")
        until(lambda: other.events("deferred"), what="a failed attempt")
        found = states.findings(**own(other))
    assert found["relay/destinations"] == {"warning"}
    assert found["relay/alarms"] == {"ok"}


def test_an_error_in_the_log_is_found(states, tmp_path):
    settings = certificate(states, NAME)
    with relay(states, tmp_path, **settings) as other:
        Path(settings["CERTIFICATE_PATH"]).write_text("broken")
        os.kill(other.child.pid, signal.SIGHUP)
        other.wait_for_events("trouble")
        assert states.findings(**own(other))["relay/alarms"] == {"warning"}


def test_a_ledger_that_does_not_add_up_is_found(states, tmp_path):
    with relay(states, tmp_path) as other:
        other.submit(mail(), "someone@there.test")
        other.wait_until_empty()
    with sqlite3.connect(other.queue_dir / "queue.sqlite") as queue:
        queue.execute("UPDATE ledger SET accepted = accepted + 1")
    assert states.findings(**own(other))["relay/ledger"] == {"failure"}


def relay(states: States, folder: Path, **settings: str) -> Daemon:
    """Return another relay in the same network."""
    other = Daemon(
        folder / "other", SMTPPORTOUT=str(states.sink.port), PRIVATE_DESTINATIONS="allow", MAILNAME=NAME, **settings
    )
    other.child.command[:0] = states.mounted()
    return other


def own(relay: Daemon) -> dict[str, str]:
    """Return the settings by which the command finds a relay."""
    return {name: relay.environment[name] for name in ("QUEUE_DIR", "PORT")}
