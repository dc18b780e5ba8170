"""The handover of settings and certificate to a worker."""

import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

import mta
from harness.certificates import self_signed
from mta.config.settings import read_settings
from mta.inbound.sockets.port_rule import RELAY_PORT, SUBMISSION_TLS_PORT
from mta.tls.client_certificate import ClientCertificate, read_client_certificate
from mta.tls.server import ServerCertificate
from mta.workers.handover import Handover, HandoverError, read_handover, write_handover

SETTINGS = {
    "SMARTHOST_ADDRESS": "smtp.example.test",
    "SMARTHOST_USER": "user",
    "SMARTHOST_PASSWORD": "correct-horse",
    "RELAY_NETWORKS": ":10.0.0.0/8:!host.test:*",
    "RELAY_DOMAINS": "a.test:*.b.test",
    "LOCAL_DELIVERY": "lmtp:[::1]:24",
    "WORKERS": "4",
}


def settings():
    return read_settings(SETTINGS, host_name=lambda: "host.test", networks=lambda _: (), root=Path("/nowhere"))


def silent(_: str) -> None:
    pass


def test_each_worker_gets_the_handover_of_the_parent() -> None:
    given = Handover(settings(), (RELAY_PORT, SUBMISSION_TLS_PORT), None, 15.0)
    descriptor = write_handover(given)
    for _ in range(3):
        assert read_handover(os.dup(descriptor)) == given
    os.close(descriptor)


def test_each_worker_gets_the_rules_of_the_parent(tmp_path: Path) -> None:
    (tmp_path / "1.toml").write_text(
        "[[acl]]\nclient = 'host.test'\nsender = ['^x@.*', '+ours']\nheader.A = '*b'\nhold = true\n"
    )
    (tmp_path / "2.toml").write_text("[lists]\nours = ['a.test', '*@*.b.test']\n")
    environ = {**SETTINGS, "RULES_DIR": str(tmp_path), "ALLOWED_SENDERS": "c.test"}
    given = read_settings(environ, host_name=lambda: "host.test", networks=lambda _: (), root=Path("/nowhere")).rules
    found = read_handover(
        write_handover(Handover(replace(settings(), rules=given), (RELAY_PORT,), None, None))
    ).settings.rules
    assert given
    assert found
    assert given.acl
    assert found.acl
    assert (found.digest, found.acl.rules) == (given.digest, given.acl.rules)


def test_the_descriptor_is_inherited_only_if_passed() -> None:
    descriptor = write_handover(Handover(settings(), (RELAY_PORT,), None, None))
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_a_certificate_works_where_its_files_cannot_be_read(tmp_path: Path) -> None:
    paths = self_signed(["mail.example.test"]).write(tmp_path)
    certificate = ServerCertificate(*paths, wall_clock=lambda: 0.0, notice=silent, trouble=silent)
    handed = read_handover(write_handover(Handover(settings(), (RELAY_PORT,), certificate.snapshot, None))).certificate
    assert handed is not None
    for path in paths:
        path.unlink()
    copied = ServerCertificate(*paths, wall_clock=lambda: 0.0, notice=silent, trouble=silent, snapshot=handed)
    copied.check()
    assert str(copied) == str(certificate)


def test_the_certificate_for_the_smarthost_works_where_its_files_cannot_be_read(tmp_path: Path) -> None:
    paths = self_signed(["relay.example.test"]).write(tmp_path)
    given = read_client_certificate(paths, silent)
    handover = Handover(settings(), (RELAY_PORT,), None, None, given.files)
    assert "PRIVATE KEY" not in repr(handover)
    for path in paths:
        path.unlink()
    handed = read_handover(write_handover(handover)).client_certificate
    assert handed is not None
    assert ClientCertificate(handed, silent).pair.chain == given.pair.chain


def test_files_that_changed_since_are_taken_up(tmp_path: Path) -> None:
    paths = self_signed(["old.example.test"]).write(tmp_path)
    old = ServerCertificate(*paths, wall_clock=lambda: 0.0, notice=silent, trouble=silent)
    self_signed(["new.example.test"]).write(tmp_path)
    copied = ServerCertificate(*paths, wall_clock=lambda: 0.0, notice=silent, trouble=silent, snapshot=old.snapshot)
    assert "old.example.test" in str(copied)
    copied.check()
    assert "new.example.test" in str(copied)


def test_the_handover_shows_no_secret(tmp_path: Path) -> None:
    paths = self_signed(["mail.example.test"]).write(tmp_path)
    certificate = ServerCertificate(*paths, wall_clock=lambda: 0.0, notice=silent, trouble=silent)
    shown = repr(certificate.snapshot)
    assert "PRIVATE KEY" not in shown


def test_another_version_is_refused_before_anything_of_it_is_read() -> None:
    descriptor = os.memfd_create("test")
    with open(descriptor, "wb", closefd=False) as file:
        pickle.dump("0.0.1", file)
        file.write(b"what this version cannot read")
    with pytest.raises(HandoverError, match=rf"{mta.__version__}, the relay 0.0.1: restart the relay"):
        read_handover(descriptor)
