"""Certificates of every fault, judged in real handshakes: the kind of fault, and the words for an operator."""

import datetime as dt
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from OpenSSL import SSL, crypto
from twisted.internet.protocol import Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol

from harness.certificates import Authority, Key, Leaf, authority, self_signed
from mta.routing.route import Route, TlsRule
from mta.tls.certificate_text import Fault, certificate_problem
from mta.tls.client import ClientOptions, TrustAnchors, client_options

HOST = "mx.example.test"
ROOT = authority()
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
NAMED = (x509.SubjectAlternativeName([x509.DNSName(HOST)]), False)


def made(
    *extensions: tuple[x509.ExtensionType, bool],
    key: Key | None = None,
    by: Authority = ROOT,
    subject: str = HOST,
    days: tuple[int, int] = (-30, 30),
) -> Leaf:
    """Return a certificate with these extensions, valid between two days from now."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + days[0] * DAY)
        .not_valid_after(NOW + days[1] * DAY)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return Leaf(builder.sign(by.key, hashes.SHA256()), key)


def signed_with_sha1(leaf: Leaf) -> Leaf:
    """Return the certificate with a signature of the root by SHA-1, which `cryptography` no longer makes."""
    copy = crypto.X509.from_cryptography(leaf.certificate)
    copy.sign(crypto.PKey.from_cryptography_key(ROOT.key), "sha1")
    return Leaf(copy.to_cryptography(), leaf.key)


def judged(leaf: Leaf, *chain: Leaf, host: str = HOST, rule: TlsRule = TlsRule.REQUIRE) -> ClientOptions:
    """Return the options of a client after a handshake in memory with a server that sends these certificates."""
    server_context = SSL.Context(SSL.TLS_SERVER_METHOD)
    server_context.set_cipher_list(b"ALL:@SECLEVEL=0")
    server_context.use_certificate(crypto.X509.from_cryptography(leaf.certificate))
    server_context.use_privatekey(crypto.PKey.from_cryptography_key(leaf.key))
    for each in chain:
        server_context.add_extra_chain_cert(crypto.X509.from_cryptography(each.certificate))
    options = client_options(Route(host, "192.0.2.1", 25, rule), TrustAnchors(ROOT.certificate_pem, system=False))
    protocol = TLSMemoryBIOProtocol(TLSMemoryBIOFactory(options, True, None), Protocol())  # type: ignore[arg-type] # noqa: FBT003
    client, server = options.clientConnectionForTLS(protocol), SSL.Connection(server_context, None)
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(10):
        for end, other in ((client, server), (server, client)):
            with suppress(SSL.Error):
                end.do_handshake()
            with suppress(SSL.Error):
                other.bio_write(end.bio_read(1 << 16))
    return options


MIDDLE = made((x509.BasicConstraints(ca=True, path_length=None), True), subject="Middle")
NO_AUTHORITY = made((x509.BasicConstraints(ca=False, path_length=None), True), subject="Nobody")

STRANGE = made(subject="x" * 50 + "\nEvil: 1")
YESTERDAY, TOMORROW = f"{NOW - DAY:%Y-%m-%d}", f"{NOW + DAY:%Y-%m-%d}"


def below(signer: Leaf) -> Leaf:
    return made(NAMED, by=Authority(signer.certificate, signer.key))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chain", "fault", "words"),
    [
        ((made(NAMED, days=(-30, -1)),), Fault.EXPIRED, f"certificate expired on {YESTERDAY}"),
        ((made(NAMED, days=(1, 30)),), Fault.NOT_YET_VALID, f"certificate is not valid before {TOMORROW}"),
        ((self_signed([HOST]),), Fault.SELF_SIGNED, "self-signed certificate"),
        (
            (authority("Some\nOther").leaf([HOST]),),
            Fault.UNKNOWN_ISSUER,
            "certificate is signed by an authority not trusted here: CN=Some?Other",
        ),
        (
            (below(MIDDLE),),
            Fault.UNKNOWN_ISSUER,
            "certificate is signed by an authority not trusted here: CN=Middle",
        ),
        (
            (made((x509.SubjectAlternativeName([x509.DNSName("a.test")]), False)),),
            Fault.OTHER_NAME,
            "certificate is for a.test, not for mx.example.test",
        ),
        ((made(),), Fault.NO_NAME, "certificate names no host, so it is not for mx.example.test"),
        (
            (made(NAMED, key=rsa.generate_private_key(65537, 1024)),),
            Fault.WEAK,
            "certificate has an RSA key of 1024 bits, which is too short",
        ),
        (
            (signed_with_sha1(made(NAMED)),),
            Fault.WEAK,
            "certificate is signed with SHA-1, which can be forged",
        ),
        (
            (made(NAMED, (x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4.5"), b"\x05\x00"), True)),),
            Fault.UNUSABLE,
            "certificate has a critical extension that is unknown here: 1.2.3.4.5",
        ),
        (
            (made(NAMED, (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), True)),),
            Fault.UNUSABLE,
            "certificate is not for servers by its extended key usage",
        ),
        (
            (below(NO_AUTHORITY), NO_AUTHORITY),
            Fault.UNUSABLE,
            "the certificate of the authority CN=Nobody is not an authority's, but signed another",
        ),
        (
            (below(MIDDLE), MIDDLE),
            Fault.UNUSABLE,
            "the certificate of the authority CN=Test Authority allows fewer authorities below it than there are",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_each_fault_is_described_by_its_cause(chain: tuple[Leaf, ...], fault: Fault, words: str) -> None:
    options = judged(*chain, rule=TlsRule.VERIFY)
    assert options.problem is not None
    assert (options.problem.fault, options.problem.text) == (fault, words)
    assert not options.verified


def test_a_good_certificate_has_no_problem() -> None:
    options = judged(made(NAMED), rule=TlsRule.VERIFY)
    assert options.problem is None
    assert options.verified


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("code", [*range(2, 100), 9999])
def test_every_number_of_openssl_has_one_line(code: int, depth: int) -> None:
    problem = certificate_problem(STRANGE.certificate, code, depth)
    assert problem.text.isprintable()
    assert len(problem.text) < 300


def test_an_unknown_error_number_is_shown_as_it_is() -> None:
    problem = certificate_problem(made(NAMED).certificate, 9999, 0)
    assert problem.text == "certificate is not acceptable (OpenSSL verification error 9999)"
