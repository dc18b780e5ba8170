"""What our STARTTLS speaks: TLS 1.2 and newer, forward secrecy, no compression, no renegotiation; the same outwards."""

from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL

from harness.certificates import Leaf, authority
from mta.routing.route import Route, TlsRule
from mta.tls.client import TrustAnchors, client_options
from mta.tls.keypair import KeyPair, read_pair
from tests.drivers.tls_hello import SSL3, TLS1_0, TLS1_1, TLS1_2, answer, client_hello, ssl2_hello

ROOT = authority()
NAME = "mx.example.test"
AES256_GCM = {"ec": 0xC02C, "rsa": 0xC030}
DEFLATE = 1


@pytest.fixture(scope="module", params=["ec", "rsa"])
def kind(request) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def pair(kind, tmp_path_factory) -> KeyPair:
    folder = tmp_path_factory.mktemp(kind)
    private = rsa.generate_private_key(65537, 2048) if kind == "rsa" else None
    return read_pair(*ROOT.leaf([NAME], key=private).write(folder))


@pytest.mark.parametrize(
    ("version", "said"),
    [
        # Releases of OpenSSL differ in this alert.
        (SSL3, {"protocol version", "handshake failure"}),
        (TLS1_0, {"protocol version"}),
        (TLS1_1, {"protocol version"}),
    ],
    ids=["SSL 3.0", "TLS 1.0", "TLS 1.1"],
)
def test_each_old_version_is_refused_by_an_alert(pair, kind, version, said):
    # Ciphers of its time before one of ours.
    assert answer(pair.context, client_hello(version, [0xC00A, 0xC014, 0x0035, 0x000A, AES256_GCM[kind]])) in said


def test_ssl_2_gets_no_handshake(pair):
    assert answer(pair.context, ssl2_hello()) in {"nothing", "protocol version", "handshake failure"}


def test_compression_is_not_taken_up(pair, kind):
    hello = client_hello(TLS1_2, [AES256_GCM[kind]], compression=(DEFLATE, 0))
    assert answer(pair.context, hello) == (AES256_GCM[kind], 0)


TAKEN = {
    "ec": {0xC02B: "AES128-GCM", 0xC02C: "AES256-GCM", 0xCCA9: "CHACHA20-POLY1305", 0xC009: "AES128-SHA"},
    "rsa": {0xC02F: "AES128-GCM", 0xC030: "AES256-GCM", 0xCCA8: "CHACHA20-POLY1305", 0xC013: "AES128-SHA"},
}
REFUSED = {
    0x0000: "NULL-NULL",
    0x0001: "RSA-NULL-MD5",
    0x003B: "RSA-NULL-SHA256",
    0x0003: "RSA-EXPORT-RC4-40",
    0x0004: "RSA-RC4-MD5",
    0x0005: "RSA-RC4-SHA",
    0x0009: "RSA-DES",
    0x000A: "RSA-3DES",
    0x002F: "RSA-AES128-SHA",
    0x0035: "RSA-AES256-SHA",
    0x003C: "RSA-AES128-SHA256",
    0x009C: "RSA-AES128-GCM",
    0x009D: "RSA-AES256-GCM",
    0x0018: "DH-anon-RC4",
    0x0034: "DH-anon-AES128",
    0x006C: "DH-anon-AES128-SHA256",
    0x00A6: "DH-anon-AES128-GCM",
    0xC015: "ECDH-anon-NULL",
    0xC018: "ECDH-anon-AES128",
    0x0016: "DHE-RSA-3DES",
    0x0033: "DHE-RSA-AES128",
    0x009E: "DHE-RSA-AES128-GCM",
    0xC006: "ECDHE-ECDSA-NULL",
    0xC010: "ECDHE-RSA-NULL",
    0xC007: "ECDHE-ECDSA-RC4",
    0xC011: "ECDHE-RSA-RC4",
    0xC008: "ECDHE-ECDSA-3DES",
    0xC012: "ECDHE-RSA-3DES",
    0x0041: "RSA-CAMELLIA128",
    0x0096: "RSA-SEED",
    0x00AE: "PSK-AES128",
}


@pytest.mark.parametrize("cipher", REFUSED, ids=REFUSED.values())
def test_without_forward_secrecy_or_with_a_weak_cipher_there_is_no_handshake(pair, cipher):
    assert answer(pair.context, client_hello(TLS1_2, [cipher])) == "handshake failure"


def test_ciphers_with_forward_secrecy_are_chosen_by_the_servers_order(pair, kind):
    for cipher in TAKEN[kind]:
        assert answer(pair.context, client_hello(TLS1_2, [cipher])) == (cipher, 0)
    everything = [*REFUSED, *reversed(TAKEN[kind])]
    assert answer(pair.context, client_hello(TLS1_2, everything)) == (AES256_GCM[kind], 0)


def connected(client: SSL.Connection, server: SSL.Connection) -> None:
    """Let the two talk until neither has more to say. Raises SSL.Error."""
    for _ in range(10):
        for near, far in ((client, server), (server, client)):
            with suppress(SSL.WantReadError):
                near.do_handshake()
                # Only who reads notices that the other wants a second one.
                near.recv(1)
            with suppress(SSL.WantReadError):
                far.bio_write(near.bio_read(1 << 16))


def a_client(highest: int) -> SSL.Connection:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(highest)
    client = SSL.Connection(context, None)
    client.set_connect_state()
    return client


@pytest.mark.parametrize(
    ("version", "name"), [(SSL.TLS1_2_VERSION, "TLSv1.2"), (SSL.TLS1_3_VERSION, "TLSv1.3"), (0, "TLSv1.3")]
)
def test_tls_1_2_and_newer_are_spoken(pair, version, name):
    server = SSL.Connection(pair.context, None)
    server.set_accept_state()
    client = a_client(version)
    connected(client, server)
    assert client.get_protocol_version_name() == server.get_protocol_version_name() == name


def test_a_client_cannot_begin_a_second_handshake(pair):
    server = SSL.Connection(pair.context, None)
    server.set_accept_state()
    client = a_client(SSL.TLS1_2_VERSION)
    connected(client, server)
    before = server.get_finished()
    assert client.renegotiate()
    with suppress(SSL.Error):
        connected(client, server)
    assert server.total_renegotiations() == 0
    assert client.renegotiate_pending()
    assert server.get_finished() == before


class Peer:
    """Stands for Twisted's protocol, of which our client wants only to tell it of a failed check."""

    def failVerification(self, _reason: object) -> None:  # noqa: N802
        """Do nothing: OpenSSL ends the handshake."""


def our_client(rule: TlsRule) -> tuple[SSL.Connection, Peer]:
    peer = Peer()
    options = client_options(Route(NAME, "127.0.0.1", 25, rule), TrustAnchors(ROOT.certificate_pem, system=False))
    client = options.clientConnectionForTLS(peer)
    client.set_connect_state()
    return client, peer


RULES = [TlsRule.VERIFY, TlsRule.REQUIRE, TlsRule.OPPORTUNISTIC]


@pytest.mark.parametrize("rule", RULES)
def test_the_client_offers_only_ciphers_that_encrypt_and_authenticate(rule):
    client, _ = our_client(rule)
    weak = ("NULL", "ADH", "AECDH", "EXP", "RC4", "DES", "MD5", "SEED", "IDEA")
    assert [name for name in client.get_cipher_list() if any(word in name for word in weak)] == []


def met(rule: TlsRule, leaf: Leaf, ciphers: bytes) -> str:
    """Return the cipher that our client and a server of TLS 1.2 with these ciphers agree on. Raises SSL.Error."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(ciphers + b":@SECLEVEL=0")
    context.use_certificate(leaf.certificate)
    context.use_privatekey(leaf.key)
    server = SSL.Connection(context, None)
    server.set_accept_state()
    client, _peer = our_client(rule)
    connected(client, server)
    return str(client.get_cipher_name())


@pytest.fixture(scope="module")
def rsa_leaf() -> Leaf:
    return ROOT.leaf([NAME], key=rsa.generate_private_key(65537, 2048))


STATIC = [b"AES128-SHA", b"AES256-SHA256", b"AES128-GCM-SHA256"]
NO_AEAD = [b"ECDHE-RSA-AES128-SHA", b"ECDHE-RSA-AES256-SHA384"]


@pytest.mark.parametrize("rule", [TlsRule.VERIFY, TlsRule.REQUIRE])
@pytest.mark.parametrize("cipher", STATIC + NO_AEAD)
def test_required_tls_refuses_ciphers_without_forward_secrecy_or_aead(rsa_leaf, rule, cipher):
    with pytest.raises(SSL.Error, match=r"handshake failure|no shared cipher"):
        met(rule, rsa_leaf, cipher)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("cipher", [b"ECDHE-RSA-AES128-GCM-SHA256", b"ECDHE-RSA-CHACHA20-POLY1305"])
def test_the_client_accepts_forward_secrecy_and_aead_under_every_rule(rsa_leaf, rule, cipher):
    assert met(rule, rsa_leaf, cipher) == cipher.decode()


@pytest.mark.parametrize("cipher", STATIC)
def test_opportunistic_tls_accepts_ciphers_without_forward_secrecy(rsa_leaf, cipher):
    assert met(TlsRule.OPPORTUNISTIC, rsa_leaf, cipher) == cipher.decode()
    assert met(TlsRule.OPPORTUNISTIC, rsa_leaf, cipher + b":ECDHE+AESGCM").startswith("ECDHE-")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("version", [SSL.TLS1_VERSION, SSL.TLS1_1_VERSION])
def test_the_client_uses_no_old_version_under_any_rule(pair, rule, version):
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    server = SSL.Connection(context, None)
    server.set_accept_state()
    client, _ = our_client(rule)
    with pytest.raises(SSL.Error, match=r"version|protocol"):
        connected(client, server)


@pytest.mark.parametrize("rule", RULES)
def test_a_server_cannot_begin_a_second_handshake(tmp_path, rule):
    theirs = SSL.Context(SSL.TLS_METHOD)
    theirs.set_max_proto_version(SSL.TLS1_2_VERSION)
    leaf = ROOT.leaf([NAME])
    theirs.use_certificate(leaf.certificate)
    theirs.use_privatekey(leaf.key)
    server = SSL.Connection(theirs, None)
    server.set_accept_state()
    client, _peer = our_client(rule)
    connected(client, server)
    assert client.get_protocol_version_name() == "TLSv1.2"
    before = client.get_finished()
    assert server.renegotiate()
    with suppress(SSL.Error):
        connected(client, server)
    assert client.total_renegotiations() == 0
    assert client.get_finished() == before
