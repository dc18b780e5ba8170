"""The authorities that each route trusts: the system's or a CA file, and how files are read again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.protocol import Protocol

from harness.certificates import authority
from mta.routing.route import Route, Smarthost, TlsRule
from mta.tls.client import TrustAnchors
from mta.tls.trust_store import TrustStore

FIRST, SECOND, THIRD = authority("First"), authority("Second"), authority("Third")
DIRECT = Route("mx.test", "192.0.2.1", 25, TlsRule.VERIFY)
OFFICE = Smarthost((("smtp.test", 587),), TlsRule.VERIFY, name="office", place="[smarthost.office] in r.toml:1")


def trusts(store: TrustStore, route: Route) -> TrustAnchors:
    return store.options(route)._trust


def only(given: Any) -> TrustAnchors:
    return TrustAnchors(given.certificate_pem, system=False)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return the file of SMARTHOST_CA_FILE."""
    path = tmp_path / "own.pem"
    path.write_bytes(FIRST.certificate_pem)
    return path


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """Return the file that a rule names."""
    path = tmp_path / "private.pem"
    path.write_bytes(SECOND.certificate_pem)
    return path


def through(path: Path | None) -> Route:
    return replace(DIRECT, smarthost=replace(OFFICE, ca_file=path))


def own_route(path: Path) -> Route:
    return replace(DIRECT, smarthost=Smarthost((("smtp.test", 587),), TlsRule.VERIFY, ca_file=path))


def test_each_route_trusts_the_file_of_its_smarthost_alone(own: Path, private: Path) -> None:
    store = TrustStore(own, pytest.fail)
    assert trusts(store, own_route(own)) == only(FIRST)
    assert trusts(store, through(private)) == only(SECOND)
    assert trusts(store, through(None)) == trusts(store, DIRECT) == TrustAnchors()


def test_a_new_file_counts_after_a_reload_and_not_before(own: Path, private: Path) -> None:
    store = TrustStore(own, pytest.fail)
    assert trusts(store, through(private)) == only(SECOND)
    for path in (own, private):
        path.write_bytes(THIRD.certificate_pem)
    assert trusts(store, own_route(own)) == only(FIRST)
    assert trusts(store, through(private)) == only(SECOND)
    store.reload()
    assert trusts(store, own_route(own)) == trusts(store, through(private)) == only(THIRD)


@pytest.mark.parametrize("spoil", ["nonsense", "gone"])
def test_a_file_that_cannot_be_used_is_reported_and_changes_nothing(own: Path, private: Path, spoil: str) -> None:
    told: list[str] = []
    store = TrustStore(own, told.append)
    trusts(store, through(private))
    for path in (own, private):
        if spoil == "gone":
            path.unlink()
        else:
            path.write_text(spoil)
    store.reload()
    assert trusts(store, own_route(own)) == only(FIRST)
    assert trusts(store, through(private)) == only(SECOND)
    by_setting, by_rule = told
    assert by_setting.startswith(f"SMARTHOST_CA_FILE={own}: ")
    assert by_rule.startswith(f"ca_file={private} of [smarthost.office] in r.toml:1: ")
    assert all(line.endswith("the authorities known so far stay in use") for line in told)


@pytest.mark.parametrize("spoil", ["nonsense", "gone"])
def test_hosts_whose_file_cannot_be_used_are_not_trusted_until_it_can(private: Path, spoil: str) -> None:
    told: list[str] = []
    store = TrustStore(None, told.append)
    if spoil == "gone":
        private.unlink()
    else:
        private.write_text(spoil)
    for _ in range(3):
        assert trusts(store, through(private)) == TrustAnchors(system=False)
    [line] = told
    assert line.startswith(f"ca_file={private} of [smarthost.office] in r.toml:1: ")
    private.write_bytes(SECOND.certificate_pem)
    assert trusts(store, through(private)) == only(SECOND)


def test_files_of_rules_are_forgotten_with_the_rules(own: Path, private: Path) -> None:
    store = TrustStore(own, pytest.fail)
    trusts(store, through(private))
    private.unlink()
    store.forget_rules()
    store.reload()
    assert trusts(store, own_route(own)) == only(FIRST)


def test_an_https_host_may_have_a_certificate_of_the_systems_authorities_as_well(own: Path) -> None:
    assert TrustStore(own, pytest.fail).for_https() == TrustAnchors(FIRST.certificate_pem, system=True)
    assert TrustStore(None, pytest.fail).for_https() == TrustAnchors()


def test_the_systems_authorities_are_read_again_for_the_next_connection() -> None:
    store = TrustStore(None, pytest.fail)
    protocol: Any = Protocol()

    def context() -> Any:
        return store.options(DIRECT).clientConnectionForTLS(protocol).get_context()

    first = context()
    assert context() is first
    store.reload()
    assert context() is not first
