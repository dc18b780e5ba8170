"""`smtprelay doctor` beside a real relay and name server: the records that it prints mend what it found."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from harness.certificates import Authority, authority
from harness.daemon import Daemon
from harness.dns_process import Dns
from harness.processes import free_port
from harness.sink import Sink
from harness.sink_rules import Rule
from mta.admin.client.client_state import client_of
from mta.admin.wire.findings import run_object
from mta.cli.results import result

NAME, ADDRESS = "relay.example.test", "192.0.2.7"
PTR = "7.2.0.192.in-addr.arpa"
SECRET = "right-password"


def doctor(daemon: Daemon, *words: str) -> tuple[int, dict[str, list[Mapping[str, Any]]]]:
    """Run the command; return its exit status and the findings by check."""
    done = daemon.tool("doctor", "--json", *words)
    assert done.stdout, done.stderr
    found: dict[str, list[Mapping[str, Any]]] = {}
    for each in json.loads(done.stdout)["findings"]:
        found.setdefault(each["check"], []).append(each)
    return done.returncode, found


def levels(found: dict[str, list[Mapping[str, Any]]], *checks: str) -> set[str]:
    return {each["level"] for check in checks for each in found[check]}


def publish(dns: Dns, zone: Mapping[str, Mapping[str, Any]], found: dict[str, list[Mapping[str, Any]]]) -> None:
    """Put the printed records into a zone, as an operator would."""
    records: dict[str, dict[str, Any]] = {name: dict(kinds) for name, kinds in zone.items()}
    for line in (line for every in found.values() for each in every for line in each["records"]):
        name, _, kind, data = line.split(" ", 3)
        records.setdefault(name.removesuffix("."), {})[kind] = [data]
    dns.add(records)


def test_the_printed_records_turn_the_bad_state_into_ok(tmp_path, dns):
    zone = {"sender.test": {"MX": [[10, "mx.sender.test"]]}, "mx.sender.test": {"A": ["192.0.2.8"]}}
    dns.add(zone)
    keys = tmp_path / "keys"
    keys.mkdir()
    settings = {"DNS_SERVERS": dns.setting, "DKIM_KEY_PATH": str(keys)}
    with Daemon(tmp_path / "home", DNS_SERVERS=dns.setting) as daemon:
        assert daemon.tool("dkim", "keygen", "sender.test", "--out", str(keys)).returncode == 0
        daemon.environment |= settings
        words = ("--address", ADDRESS, "sender.test")
        status, before = doctor(daemon, *words)
        assert status == 2
        assert levels(before, "identity/mailname", "identity/ptr", "domain/dkim", "domain/spf") == {"failure"}
        assert levels(before, "domain/dmarc") == {"warning"}
        assert levels(before, "relay/answers", "relay/open", "relay/oldest", "relay/ledger") == {"ok"}
        publish(dns, zone, before)
        _, after = doctor(daemon, *words)
    mended = ("identity/mailname", "identity/ptr", "domain/dkim", "domain/spf", "domain/dmarc", "domain/mx")
    assert levels(after, *mended) == {"ok"}
    assert daemon.queue() == []


def test_an_open_relay_is_found(tmp_path, dns):
    with Daemon(tmp_path / "home", DNS_SERVERS=dns.setting, RELAY_NETWORKS="192.0.2.0/24") as daemon:
        status, found = doctor(daemon)
    assert status == 2
    assert levels(found, "relay/open") == {"failure"}
    assert "192.0.2.66" in found["relay/open"][0]["seen"]


def pair_of(issuer: Authority, folder: Path) -> tuple[str, str]:
    """Write a certificate for 127.0.0.1; return the paths of it and its key."""
    certificate, key = issuer.leaf(ips=["127.0.0.1"]).write(folder)
    return str(certificate), str(key)


@contextmanager
def smarthost(tmp_path: Path, sink: Sink, **settings: str) -> Iterator[Daemon]:
    """Yield a relay that sends through a sink; it is not started, because the checks connect by themselves."""
    yield Daemon(
        tmp_path / "home",
        SMARTHOST_ADDRESS="127.0.0.1",
        SMARTHOST_PORT=str(sink.port),
        SMARTHOST_USER="user",
        SMARTHOST_PASSWORD=SECRET,
        **settings,
    )


def test_the_check_of_a_smarthost_logs_in_and_sends_no_mail(tmp_path):
    ours = authority()
    with Sink(tls=pair_of(ours, tmp_path), users={"user": SECRET}) as sink:
        with smarthost(tmp_path, sink, SMARTHOST_CA_FILE=str(ours.write(tmp_path))) as daemon:
            _, found = doctor(daemon)
        assert levels(found, "smarthost/connect") == {"ok"}
        assert "verified, logged in" in found["smarthost/connect"][0]["seen"]
        assert sink.messages == []
        sink.users = {"user": "another"}
        status, found = doctor(daemon)
        assert status == 2
        assert "login refused" in found["smarthost/connect"][0]["seen"]
        assert SECRET not in json.dumps(found)


def test_the_certificate_of_a_smarthost_is_checked_as_by_the_relay(tmp_path):
    with Sink(tls=pair_of(authority(), tmp_path), users={"user": SECRET}) as sink, smarthost(tmp_path, sink) as daemon:
        _, found = doctor(daemon)
    assert levels(found, "smarthost/connect") == {"failure"}
    assert "certificate not trusted" in found["smarthost/connect"][0]["seen"]


def test_the_mx_hosts_of_a_named_domain_are_tried(tmp_path, dns):
    with Sink([Rule("EHLO", "250 mx.there.test")]) as sink:
        dns.mail_host("there.test")
        dns.mail_host("silent.test")
        environment = {
            "DNS_SERVERS": dns.setting,
            "SMTPPORTOUT": str(sink.port),
            "PRIVATE_DESTINATIONS": "allow",
        }
        daemon = Daemon(tmp_path / "home", **environment)
        _, found = doctor(daemon, "--to", "there.test")
        assert levels(found, "network/mx") == {"ok"}
        daemon.environment["SMTPPORTOUT"] = str(free_port())
        status, found = doctor(daemon, "--to", "silent.test")
    assert status == 2
    assert levels(found, "network/mx") == {"failure"}
    assert "port 25" in found["network/mx"][0]["remedy"]


def test_wrong_settings_are_findings_too(tmp_path):
    status, found = doctor(Daemon(tmp_path / "home", MESSAGE_SIZE_LIMIT="huge"))
    assert status == 2
    assert "MESSAGE_SIZE_LIMIT" in found["relay/settings"][0]["seen"]


def test_the_lines_show_the_remedy_and_the_records(tmp_path, dns):
    done = Daemon(tmp_path / "home", DNS_SERVERS=dns.setting).tool("doctor", "--address", ADDRESS)
    assert f"failure  identity/ptr: {ADDRESS} has no PTR record" in done.stdout
    assert f"{PTR}. IN PTR {NAME}." in done.stdout
    assert "failure" in done.stdout.splitlines()[-1]


def test_the_findings_are_kept_for_the_relay(tmp_path, dns):
    with Daemon(tmp_path / "home", DNS_SERVERS=dns.setting) as daemon:
        state = client_of(daemon.queue_dir)
        assert result(Deferred.fromCoroutine(state.findings())) is None
        printed = json.loads(daemon.tool("doctor", "--json", "--block-list", "none").stdout)
        run = result(Deferred.fromCoroutine(state.findings()))
        assert run is not None
        assert run_object(run) == printed
        assert {"host/clock", "relay/answers"} <= {finding.check for finding in run.findings}
        file = daemon.queue_dir / "doctor.json"
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.stat().st_uid == daemon.queue_dir.stat().st_uid
        daemon.stop()
        daemon.start()
        assert daemon.events("trouble") == [], "a start takes the file for one of the relay's own"
