"""TLS as the client: the demands of a route on the handshake, its result, and its failures (RFC 3207, 8314, 9525).

    transport.startTLS(client_options(route))       # or wrapClientTLS(client_options(route), endpoint)
    describe(transport)                             # after the handshake, for the log
    handshake_failure_text(reason)                  # in connectionLost, after a handshake that failed

The trusted authorities are the system's; SSL_CERT_FILE and SSL_CERT_DIR, variables of OpenSSL, name others.
"""

import weakref
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography import x509
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from mta.connection_errors import connection_loss_text, handshake_error_text
from mta.routing.route import Route, TlsRule
from mta.smtp.address import is_ip
from mta.tls.certificate_text import Fault, Problem, certificate_problem, names_problem
from mta.tls.context import new_context, openssl_error_text, protocol_and_cipher
from mta.tls.pem_files import ChainAndKey

__all__ = [
    "CertificateRejected",
    "ClientOptions",
    "Fault",
    "TrustAnchors",
    "clear_contexts",
    "client_options",
    "describe",
    "handshake_failure_text",
]


class CertificateRejected(Exception):
    """The certificate does not prove the host's identity; the message is one line with the reason, `fault` its kind."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.fault = problem.fault


@dataclass(frozen=True, slots=True)
class TrustAnchors:
    """The trusted authorities: the system's, and those in `roots` (PEM, any number)."""

    roots: bytes = b""
    system: bool = True


_SYSTEM = TrustAnchors()
# Cipher suites of TLS 1.2; all of TLS 1.3 are good. A session for which TLS is required, and which may carry a
# password, must not be readable with the server's key years later.
_FORWARD_SECRET = b"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20"
# If every certificate is accepted, a short key is still better than none.
_SHORT_KEYS = b":@SECLEVEL=1"
_CIPHERS = {
    TlsRule.VERIFY: _FORWARD_SECRET,
    TlsRule.REQUIRE: _FORWARD_SECRET + _SHORT_KEYS,
    # A handshake that fails here is followed by clear text, so any cipher suite is better.
    TlsRule.OPPORTUNISTIC: b"DEFAULT" + _SHORT_KEYS,
}
# A domain that demands the certificate of an authority demands no cipher suites, so none is worth to have mail wait.
_FOR_AUTHORITIES = b"DEFAULT"


def client_options(
    route: Route, trust: TrustAnchors | None = None, certificate: ChainAndKey | None = None
) -> "ClientOptions":
    """Return the options for `startTLS` or `wrapClientTLS`, for one connection to this route.

    Under TlsRule.VERIFY a certificate that does not prove `route.host`, and with a `route.proof` that is enforced one
    that does not give this proof, ends the handshake with CertificateRejected as the reason of `connectionLost`. In all
    other cases every certificate is accepted, and `describe` says whether it is valid. VERIFY and REQUIRE need a cipher
    suite with forward secrecy and an AEAD (RFC 9325 section 4.1). The `certificate`, if there is one, is shown to a
    server that asks for one.
    """
    return ClientOptions(route, trust or _SYSTEM, certificate)


def describe(transport: Any) -> str:
    """Return the protection of a connection: `TLSv1.3 TLS_AES_256_GCM_SHA384 verified`, or "" without TLS.

    It ends in `verified sts` if the domain demanded that by MTA-STS, and in `dane` if a TLSA record proved the host. A
    certificate that does not prove the host gives `unverified (self-signed certificate)` and the like.
    """
    options = options_of(transport)
    proof = "" if options is None else f" {options.proof}"
    return f"{protocol_and_cipher(transport)}{proof}"


def options_of(transport: Any) -> "ClientOptions | None":
    """Return the options that a connection was made with; None in clear."""
    handle = transport.getHandle()
    return handle.options if isinstance(handle, _Connection) else None


def handshake_failure_text(reason: Failure) -> str:
    """Return one line that says why a handshake failed; `reason` is the argument of `connectionLost`."""
    error = reason.value
    if isinstance(error, SSL.Error):
        return handshake_error_text(openssl_error_text(error))
    if isinstance(error, CertificateRejected):
        return str(error)
    return f"{connection_loss_text(error)} during the TLS handshake"


@implementer(IOpenSSLClientConnectionCreator)
class ClientOptions:
    """Makes the TLS connection to one route, and keeps the result of the check of its certificate.

    `verified` is False until a certificate has proved the host; `problem` is the reason if it did not.
    """

    def __init__(self, route: Route, trust: TrustAnchors, certificate: ChainAndKey | None = None) -> None:
        self._host = route.host.rstrip(".")
        self._proof = proof = route.proof
        self._names: tuple[str, ...] = (self._host,)
        if proof is not None and proof.names and not proof.records:
            self._names = proof.names
        self._server_name = (proof.server_name if proof is not None else "") or self._host
        # Whether TLSA records decide, and whether authorities and names do.
        self._by_records = proof is not None and proof.records != ()
        self._by_authorities = route.tls is TlsRule.VERIFY or not self._by_records
        demanded = proof is not None and proof.enforced and bool(proof.names or proof.records)
        self._strict = route.tls is TlsRule.VERIFY or demanded
        self._ciphers = _ciphers(route)
        self._trust = trust
        self._certificate = certificate
        self._protocol: weakref.ref[TLSMemoryBIOProtocol] | None = None
        self._record_matched = self._leaf_checked = False
        self.problem: Problem | None = None

    @property
    def verified(self) -> bool:
        """Whether the certificate was checked and proved the host."""
        return self._leaf_checked and self.problem is None

    @property
    def acceptable(self) -> bool:
        """Whether the connection may be used after its handshake, in which every certificate must have been checked.

        None is checked if a session is resumed, which the relay never asks for.
        """
        return self.verified or not self._strict

    @property
    def proof(self) -> str:
        """The result of the check for the log: `verified`, `verified sts`, `dane`, or `unverified` with the reason."""
        if not self.verified:
            return f"unverified ({self.problem.text if self.problem else 'no certificate'})"
        return "verified" if self._proof is None else self._proof.given

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Create the connection; called by Twisted."""
        # A weak reference, because the protocol owns the connection, which owns this object.
        self._protocol = weakref.ref(protocol)
        connection = _Connection(self, _context(self._trust, self._ciphers, self._certificate))
        if not is_ip(self._server_name):
            connection.set_tlsext_host_name(self._server_name.encode("ascii"))
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)
        return connection

    def _verify(self, connection: SSL.Connection, certificate: crypto.X509, code: int, depth: int, ok: int) -> bool:
        """Take OpenSSL's result for one certificate of the chain, the root first; keep the first problem.

        TLSA records are compared with the whole chain, at the first call.
        """
        if self.problem is None:
            self.problem = self._problem_of(connection, certificate, code, depth, trusted=bool(ok))
        self._leaf_checked |= depth == 0
        if self.problem is None or not self._strict:
            return True
        protocol = self._protocol() if self._protocol else None
        if protocol is not None:
            protocol.failVerification(Failure(CertificateRejected(self.problem)))
        return False

    def _problem_of(
        self, connection: SSL.Connection, certificate: crypto.X509, code: int, depth: int, *, trusted: bool
    ) -> Problem | None:
        try:
            if self._by_records and not self._record_matched:
                chain = connection.get_peer_cert_chain(as_cryptography=True)
                if problem := _dane_problem(self._proof, self._server_name, chain or []):
                    return problem
                self._record_matched = True
            if not self._by_authorities:
                return None
            if not trusted:
                return certificate_problem(certificate.to_cryptography(), code, depth)
            return names_problem(certificate.to_cryptography(), self._names) if depth == 0 else None
        except Exception as error:  # noqa: BLE001  the peer made the certificate, so any error in reading it is the peer's
            return Problem(Fault.UNUSABLE, f"certificate cannot be read ({type(error).__name__})")


class _Connection(SSL.Connection):
    """A connection with a reference to its options, because Twisted uses OpenSSL's own application data."""

    def __init__(self, options: ClientOptions, context: SSL.Context) -> None:
        super().__init__(context, None)
        self.options = options


def _dane_problem(proof: Any, base: str, chain: Any) -> Problem | None:
    # Imported if needed, because most relays send their mail to a smarthost, which has no TLSA records.
    from mta.tls.dane.chain_proof import dane_problem  # noqa: PLC0415

    return dane_problem(proof, base, chain)


def _ciphers(route: Route) -> bytes:
    """Return the cipher suites, in OpenSSL's words, for the rule of a route and the proof that it needs."""
    if route.tls in (TlsRule.REQUIRE, TlsRule.VERIFY):
        return _CIPHERS[route.tls]
    proof = route.proof
    if proof is not None and proof.enforced and proof.names and not proof.records:
        return _FOR_AUTHORITIES
    return _CIPHERS[TlsRule.OPPORTUNISTIC]


def clear_contexts() -> None:
    """Make new connections read the system's authorities again."""
    _context.cache_clear()


@lru_cache(maxsize=64)
def _context(trust: TrustAnchors, ciphers: bytes, certificate: ChainAndKey | None = None) -> SSL.Context:
    """Return the context for a connection, which is cached because reading the system's authorities takes long."""
    context = new_context(SSL.TLS_CLIENT_METHOD)
    context.set_cipher_list(ciphers)
    if trust.system:
        context.set_default_verify_paths()
    store = context.get_cert_store()
    assert store is not None
    for root in x509.load_pem_x509_certificates(trust.roots) if trust.roots else ():
        store.add_cert(crypto.X509.from_cryptography(root))
    if certificate is not None:
        certificate.present(context)
    return context
