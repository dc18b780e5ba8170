"""The certificate that the relay shows to its smarthost: its files, and the routes on which it is shown."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from harness.certificates import Leaf, authority
from mta.routing.route import CertificateCredentials, Credentials, Route, TlsRule, TokenCredentials
from mta.tls.client_certificate import ClientCertificate, read_client_certificate
from mta.tls.context import new_context
from mta.tls.pem_files import CertificateError
from mta.tls.trust_store import TrustStore
from tests.fakes.smarthosts import SMARTHOST

ROOT = authority()
SERVER = ROOT.leaf(["smtp.x.test"])
OWN, NEWER = ROOT.leaf(["relay.test"]), ROOT.leaf(["newer.test"])
ROUTE = Route(
    "smtp.x.test", "192.0.2.1", 587, TlsRule.REQUIRE, credentials=CertificateCredentials(), smarthost=SMARTHOST
)


class Anything:
    """An object that can have weak references."""


# The options hold a weak reference to their protocol.
PROTOCOL: Any = Anything()
Make = Callable[[Leaf], ClientCertificate]


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def make(tmp_path: Path, told: list[str]) -> Make:
    def make_it(leaf: Leaf) -> ClientCertificate:
        return read_client_certificate(leaf.write(tmp_path, "client"), told.append)

    return make_it


def shown(store: TrustStore, route: Route) -> str:
    """Return the name in the certificate that a server gets which asks for one; "" if it gets none."""
    context = new_context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(SERVER.certificate)
    context.use_privatekey(SERVER.key)
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    server = SSL.Connection(context, None)
    client = store.options(route).clientConnectionForTLS(PROTOCOL)
    client.set_connect_state()
    server.set_accept_state()
    for end, other in ((client, server), (server, client)) * 4:
        with suppress(SSL.WantReadError):
            end.do_handshake()
        with suppress(SSL.WantReadError):
            other.bio_write(end.bio_read(65536))
    found = server.get_peer_certificate(as_cryptography=True)
    return "" if found is None else found.subject.rfc4514_string()


@pytest.mark.parametrize("credentials", [CertificateCredentials(), Credentials("u", "p"), TokenCredentials("u")])
@pytest.mark.parametrize("rule", [TlsRule.OPPORTUNISTIC, TlsRule.REQUIRE])
def test_it_is_shown_to_the_smarthost_that_may_be_given_the_login(
    make: Make, told: list[str], credentials: Any, rule: TlsRule
) -> None:
    store = TrustStore(None, told.append, make(OWN))
    assert shown(store, replace(ROUTE, credentials=credentials, tls=rule)) == "CN=relay.test"


@pytest.mark.parametrize(
    "route",
    [
        replace(ROUTE, credentials=None),
        replace(ROUTE, smarthost=None),
        # A smarthost of a rule, with a login of its own.
        replace(ROUTE, smarthost=replace(SMARTHOST, name="office", client_certificate=False)),
    ],
)
def test_it_is_shown_to_no_other_host(make: Make, told: list[str], route: Route) -> None:
    assert shown(TrustStore(None, told.append, make(OWN)), route) == ""
    assert shown(TrustStore(None, told.append), ROUTE) == ""


def test_new_files_are_used_after_a_reload(make: Make, told: list[str], tmp_path: Path) -> None:
    certificate = make(OWN)
    store = TrustStore(None, told.append, certificate)
    assert shown(store, ROUTE) == "CN=relay.test"
    NEWER.write(tmp_path, "client")
    assert shown(store, ROUTE) == "CN=relay.test"
    certificate.reload()
    assert shown(store, ROUTE) == "CN=newer.test"
    assert told == []


def test_files_that_cannot_be_used_leave_the_pair_in_use(make: Make, told: list[str], tmp_path: Path) -> None:
    certificate = make(OWN)
    store = TrustStore(None, told.append, certificate)
    (tmp_path / "client.key").write_bytes(NEWER.key_pem)
    certificate.reload()
    assert shown(store, ROUTE) == "CN=relay.test"
    path = tmp_path / "client"
    expected = (
        f"SMARTHOST_KEY_PATH={path}.key is not the key of SMARTHOST_CERTIFICATE_PATH={path}.pem; give the two files"
        " that were made together; until then the old certificate is shown to the smarthost"
    )
    assert told == [expected]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("client.key", NEWER.key_pem, "is not the key of SMARTHOST_CERTIFICATE_PATH="),
        ("client.key", b"nonsense", "SMARTHOST_KEY_PATH={}: the file holds no readable private key"),
        ("client.pem", b"nonsense", "SMARTHOST_CERTIFICATE_PATH={}: the file holds no readable certificate"),
        ("client.pem", None, "SMARTHOST_CERTIFICATE_PATH={}: the file cannot be read: No such file"),
        ("client.key", None, "SMARTHOST_KEY_PATH={}: the file cannot be read: No such file"),
    ],
)
def test_a_pair_that_cannot_be_used_is_told_with_its_settings(
    make: Make, tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    paths = OWN.write(tmp_path, "client")
    path = tmp_path / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CertificateError) as caught:
        read_client_certificate(paths, lambda _: None)
    assert words.format(path) in str(caught.value)


@pytest.mark.parametrize(
    ("leaf", "days", "words"),
    [
        (OWN, 20, ""),
        (OWN, 6, "expires on {}; renew it, and send the relay SIGHUP"),
        (OWN, -1, "expired on {}, and the smarthost may refuse it; renew it"),
        (OWN, 70, "UTC only; check this host's clock"),
    ],
)
def test_the_dates_of_its_validity_are_told(make: Make, leaf: Leaf, days: int, words: str) -> None:
    end = leaf.certificate.not_valid_after_utc
    problem = make(leaf).problem(end.timestamp() - days * 86400.0)
    assert problem.endswith(words.format(f"{end:%Y-%m-%d}"))
    assert not words or problem.startswith("SMARTHOST_CERTIFICATE_PATH=")
