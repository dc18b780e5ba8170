"""The drivers of the checks, against a name server on loopback and this host."""

import os
import socket
from pathlib import Path

import pytest

from harness.dns_process import Dns
from harness.processes import free_port
from harness.waiting import until
from mta.doctor.drivers import host_facts as host
from mta.doctor.drivers.dns_questions import DnsQuestions, validates
from mta.doctor.drivers.name_server_facts import name_server_facts
from mta.doctor.drivers.outgoing import outgoing_addresses, split_public
from mta.doctor.lookups import Records
from mta.queue.disk.queue_dir import RELAY_LOCK

ZONE = {
    "a.test": {"A": ["192.0.2.1"], "MX": [[10, "MX.a.test"]], "TXT": ['"v=spf1" " -all"']},
    "null.test": {"MX": [[0, ""]]},
    "7.2.0.192.in-addr.arpa": {"PTR": ["Relay.a.test."]},
    "broken.test": {"FAIL": "SERVFAIL"},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    dns = Dns(tmp_path_factory.mktemp("dns"))
    dns.add(ZONE)
    with dns.child:
        until(lambda: "ready" in dns.child.text, what="the DNS server")
        yield "127.0.0.1", dns.port


@pytest.mark.parametrize(
    ("name", "kind", "texts"),
    [
        ("a.test", "A", ("192.0.2.1",)),
        ("A.test.", "MX", ("10 mx.a.test",)),
        ("null.test", "MX", ("0 ",)),
        ("a.test", "TXT", ("v=spf1 -all",)),
        ("7.2.0.192.in-addr.arpa", "PTR", ("relay.a.test",)),
        ("a.test", "AAAA", ()),
        ("none.test", "A", ()),
    ],
)
def test_records_have_the_form_that_the_checks_read(server, name, kind, texts):
    assert DnsQuestions([server])(name, kind) == Records(texts)


def test_a_failure_is_no_answer(server):
    assert DnsQuestions([server])("broken.test", "A").failed
    assert DnsQuestions([("127.0.0.1", free_port())], seconds=0.3)("a.test", "A").failed
    assert DnsQuestions([server])("a..test", "A").failed


def test_a_question_is_asked_once_and_their_number_is_bounded(server):
    ask = DnsQuestions([server], questions=1)
    assert ask("a.test", "A").texts
    assert ask("A.test.", "A").texts
    assert "too much" in ask("null.test", "MX").failed


def test_a_server_that_does_not_validate_says_so(server):
    assert validates(server) is False
    assert validates(("127.0.0.1", free_port()), 0.3) is None


def test_each_server_is_asked_and_a_search_list_is_tried(server):
    facts = name_server_facts([server, server], [("a.test", "A")], ["a.test"], lambda *_: Records(("192.0.2.9",)))
    assert facts.questions == ("a.test A",)
    assert [each.answers for each in facts.servers] == [(Records(("192.0.2.1",)),)] * 2
    assert facts.wildcards == ("a.test",)


def test_private_addresses_are_told_from_public_ones():
    public, private = split_public(["10.0.0.1", "1.1.1.1", "fd00::1", "2606:4700::1", "1.1.1.1"])
    assert (public, private) == (("1.1.1.1", "2606:4700::1"), ("10.0.0.1", "fd00::1"))
    for address in outgoing_addresses():
        socket.getaddrinfo(address, 0, flags=socket.AI_NUMERICHOST)


def test_the_facts_of_this_host_can_be_had(tmp_path):
    (tmp_path / RELAY_LOCK).write_text(f"{os.getpid()}\n")
    facts = host.host_facts(tmp_path)
    assert facts.space is not None
    assert facts.mount is not None
    assert facts.syncs
    assert facts.open_files
    assert facts.memory
    assert sorted(path.name for path in tmp_path.iterdir()) == [RELAY_LOCK]


def test_facts_that_cannot_be_had_are_missing(tmp_path):
    missing = tmp_path / "none"
    facts = host.host_facts(missing)
    assert (facts.space, facts.inodes, facts.syncs, facts.open_files, facts.last_write) == (None, None, (), None, None)
    assert facts.sync_error == "No such file or directory"


def test_the_limit_of_a_container_counts(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 100 kB\nMemAvailable:    2000 kB\n")
    assert host.free_memory(meminfo, Path(tmp_path)) == 2_048_000
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    assert host.free_memory(meminfo, Path(tmp_path)) == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert host.free_memory(meminfo, Path(tmp_path)) == 2_048_000
    assert host.free_memory(tmp_path / "none", Path(tmp_path)) is None
