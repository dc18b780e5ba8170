"""TLS of outgoing connections: what each rule demands of a certificate, and the authorities that are trusted."""

import datetime as dt
import os
import tempfile
from dataclasses import replace
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from harness.certificates import Leaf, authority, self_signed
from mta.dns.answers import TlsaRecord
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.route import Route, TlsRule
from mta.tls import client
from mta.tls.client import (
    CertificateRejected,
    TrustAnchors,
    client_options,
    describe,
    handshake_failure_text,
)
from tests.drivers.tlsa import tlsa

AUTHORITY = authority()
TRUST = TrustAnchors(AUTHORITY.certificate_pem, system=False)
HOST = "mx.example.test"
GOOD = AUTHORITY.leaf([HOST])


def _route(rule: TlsRule, host: str = HOST) -> Route:
    return Route(host, "127.0.0.1", 25, rule)


class _Server(Protocol):
    """Answers each line with a hello; `STARTTLS` begins the handshake in place."""

    options: Any
    names: list[bytes | None]

    def dataReceived(self, data: bytes) -> None:
        if data == b"STARTTLS":
            self.transport.write(b"go")
            self.transport.startTLS(self.options)
        else:
            self.names.append(self.transport.getHandle().get_servername())
            self.transport.write(b"hello")


@implementer(IHandshakeListener)
class _Client(Protocol):
    def __init__(self) -> None:
        self.done: Deferred[str] = Deferred()
        self.ended: Deferred[list[Failure]] = Deferred()

    def connectionMade(self) -> None:
        pass

    def handshakeCompleted(self) -> None:
        self.transport.write(b"x")

    def dataReceived(self, data: bytes) -> None:
        if data == b"go":
            self.transport.startTLS(self.options)
        else:
            self.done.callback(describe(self.transport))

    def connectionLost(self, reason: Any = None) -> None:
        if not self.done.called:
            self.done.errback(reason)
        self.ended.callback([reason])


class _Loopback(TestCase):
    def listen(
        self, leaf: Leaf, *, wrapped: bool = True, lowest: int = SSL.TLS1_2_VERSION, highest: int = SSL.TLS1_3_VERSION
    ) -> int:
        factory = Factory.forProtocol(_Server)
        factory.noisy = False
        _Server.options = leaf.server_options(lowest)
        context = _Server.options.getContext()
        context.set_max_proto_version(highest)
        if lowest < SSL.TLS1_2_VERSION:
            context.set_cipher_list(b"ALL:@SECLEVEL=0")
        _Server.names = self.names = []
        listen = reactor.listenSSL if wrapped else reactor.listenTCP
        port = listen(0, factory, *([_Server.options] if wrapped else []), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return port.getHost().port

    async def meet(self, leaf: Leaf, route: Route, trust: TrustAnchors = TRUST, **options: Any) -> str:
        """Shake hands under the route's rule; return the description, or raise what connectionLost got."""
        port = self.listen(leaf, **options)
        endpoint = wrapClientTLS(client_options(route, trust), TCP4ClientEndpoint(reactor, "127.0.0.1", port))
        client = _Client()
        await connectProtocol(endpoint, client)
        try:
            return await client.done
        finally:
            client.transport.loseConnection()
            await client.ended

    async def refusal(self, leaf: Leaf, route: Route, trust: TrustAnchors = TRUST) -> str:
        with pytest.raises(CertificateRejected) as caught:
            await self.meet(leaf, route, trust)
        said = handshake_failure_text(Failure(caught.value))
        assert said.isprintable()
        return said


class TestVerify(_Loopback):
    async def test_a_certificate_for_the_host_from_a_trusted_authority_is_verified(self) -> None:
        said = await self.meet(GOOD, _route(TlsRule.VERIFY))
        assert said.startswith("TLSv1.3 TLS_")
        assert said.endswith(" verified")
        assert self.names == [HOST.encode()]

    async def test_an_ip_address_is_proved_by_an_ip_address_and_sends_no_server_name(self) -> None:
        said = await self.meet(AUTHORITY.leaf(["x.test"], ["127.0.0.1"]), _route(TlsRule.VERIFY, "127.0.0.1"))
        assert said.endswith(" verified")
        assert self.names == [None]

    async def test_an_ip_address_is_not_proved_by_a_name(self) -> None:
        said = await self.refusal(AUTHORITY.leaf(["127.0.0.1"]), _route(TlsRule.VERIFY, "127.0.0.1"))
        assert said == "certificate is for 127.0.0.1, not for 127.0.0.1"

    async def test_a_wildcard_proves_one_label(self) -> None:
        assert (await self.meet(AUTHORITY.leaf(["*.example.test"]), _route(TlsRule.VERIFY))).endswith(" verified")

    async def test_a_final_dot_in_the_name_is_no_trouble(self) -> None:
        assert (await self.meet(GOOD, _route(TlsRule.VERIFY, HOST + "."))).endswith(" verified")

    async def test_a_self_signed_certificate_is_refused(self) -> None:
        assert await self.refusal(self_signed([HOST]), _route(TlsRule.VERIFY)) == "self-signed certificate"

    async def test_another_name_is_refused_with_the_names_in_the_certificate(self) -> None:
        names = ["a.test", "b.test", "c.test", "d.test", "e.test"]
        said = await self.refusal(AUTHORITY.leaf(names), _route(TlsRule.VERIFY))
        assert said == "certificate is for a.test, b.test, c.test and 2 more, not for mx.example.test"

    async def test_an_expired_certificate_is_refused_with_its_last_day(self) -> None:
        said = await self.refusal(AUTHORITY.leaf([HOST], expired=True), _route(TlsRule.VERIFY))
        yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        assert said == f"certificate expired on {yesterday:%Y-%m-%d}"

    async def test_a_foreign_authority_is_refused_by_name(self) -> None:
        said = await self.refusal(authority("Some\nOther").leaf([HOST]), _route(TlsRule.VERIFY))
        assert said.startswith("certificate is signed by an authority not trusted here: CN=Some?Other")

    async def test_the_systems_authorities_do_not_include_the_tests(self) -> None:
        said = await self.refusal(GOOD, _route(TlsRule.VERIFY), TrustAnchors())
        assert "Test Authority" in said

    async def test_ssl_cert_file_names_the_systems_roots(self) -> None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(AUTHORITY.certificate_pem)
            file.flush()
            before = os.environ.get("SSL_CERT_FILE")
            os.environ["SSL_CERT_FILE"] = file.name
            client._context.cache_clear()
            try:
                assert (await self.meet(GOOD, _route(TlsRule.VERIFY), TrustAnchors())).endswith(" verified")
            finally:
                client._context.cache_clear()
                os.environ.pop("SSL_CERT_FILE")
                if before is not None:
                    os.environ["SSL_CERT_FILE"] = before


class TestAnyCertificate(_Loopback):
    async def test_every_certificate_is_accepted_and_its_fault_is_described(self) -> None:
        for leaf, reason in (
            (self_signed([HOST]), "self-signed certificate"),
            (AUTHORITY.leaf(["other.test"]), "certificate is for other.test, not for mx.example.test"),
        ):
            for rule in (TlsRule.OPPORTUNISTIC, TlsRule.REQUIRE):
                assert (await self.meet(leaf, _route(rule))).endswith(f" unverified ({reason})")

    async def test_a_good_certificate_is_verified_here_too(self) -> None:
        assert (await self.meet(GOOD, _route(TlsRule.OPPORTUNISTIC))).endswith(" verified")

    async def test_tls_1_2_is_enough(self) -> None:
        said = await self.meet(GOOD, _route(TlsRule.REQUIRE), highest=SSL.TLS1_2_VERSION)
        assert said.startswith("TLSv1.2 ECDHE-")
        assert said.endswith(" verified")

    async def test_tls_1_1_is_not(self) -> None:
        with pytest.raises(SSL.Error) as caught:
            await self.meet(GOOD, _route(TlsRule.REQUIRE), lowest=SSL.TLS1_VERSION, highest=SSL.TLS1_1_VERSION)
        assert "no TLS 1.2" in handshake_failure_text(Failure(caught.value))

    def test_the_context_is_made_once(self) -> None:
        again = TrustAnchors(TRUST.roots, system=False)
        require, verify = (client._ciphers(_route(rule)) for rule in (TlsRule.REQUIRE, TlsRule.VERIFY))
        assert client._context(TRUST, require) is client._context(again, require)
        assert client._context(TRUST, require) is not client._context(TRUST, verify)


ROOT = authority("Domain's Own", path_length=1)
BELOW = ROOT.intermediate("Below")
OWN_EXPIRED = self_signed(["elsewhere.test"], expired=True)


def _proved(proof: Proof, rule: TlsRule = TlsRule.OPPORTUNISTIC) -> Route:
    return replace(_route(rule), proof=proof)


def _sts(*names: str, enforced: bool = True) -> Route:
    return _proved(Proof(ProofSource.STS, "example.test", names or (HOST,), enforced=enforced))


def _dane(*records: TlsaRecord, names: tuple[str, ...] = (HOST,), server_name: str = "") -> Route:
    return _proved(Proof(ProofSource.DANE, "example.test", names, records, server_name))


class TestDemandsOfDomains(_Loopback):
    async def test_sts_needs_an_authority_and_the_name(self) -> None:
        assert (await self.meet(GOOD, _sts())).endswith(" verified sts")
        assert (await self.refusal(self_signed([HOST]), _sts())) == "self-signed certificate"
        other = AUTHORITY.leaf(["other.test"])
        assert (await self.refusal(other, _sts())) == "certificate is for other.test, not for mx.example.test"
        assert (await self.refusal(AUTHORITY.leaf([HOST], expired=True), _sts())).startswith("certificate expired")

    async def test_one_of_the_names_is_enough(self) -> None:
        assert (await self.meet(GOOD, _sts("other.test", HOST))).endswith(" verified sts")

    async def test_sts_in_testing_takes_every_certificate_and_tells_its_fault(self) -> None:
        said = await self.meet(self_signed([HOST]), _sts(enforced=False))
        assert said.endswith(" unverified (self-signed certificate)")
        assert (await self.meet(GOOD, _sts(enforced=False))).endswith(" verified sts")

    async def test_requiretls_needs_the_same_as_sts(self) -> None:
        route = _proved(Proof(ProofSource.REQUIRETLS, "", (HOST,)))
        assert (await self.meet(GOOD, route)).endswith(" verified")
        await self.refusal(self_signed([HOST]), route)

    async def test_a_record_of_the_host_proves_whatever_the_certificate_says(self) -> None:
        said = await self.meet(OWN_EXPIRED, _dane(tlsa(3, 1, 1, OWN_EXPIRED.certificate)))
        assert said.endswith(" dane")
        assert self.names == [HOST.encode()]

    async def test_a_record_of_an_authority_proves_a_chain_that_nobody_else_trusts(self) -> None:
        leaf = BELOW.leaf([HOST], above=[BELOW, ROOT])
        for record in (tlsa(2, 0, 1, ROOT.certificate), tlsa(2, 1, 1, BELOW.certificate)):
            assert (await self.meet(leaf, _dane(record))).endswith(" dane")
        not_sent = BELOW.leaf([HOST], above=[BELOW])
        assert (await self.meet(not_sent, _dane(tlsa(2, 0, 0, ROOT.certificate)))).endswith(" dane")

    async def test_no_certificate_is_good_that_matches_no_record(self) -> None:
        record = tlsa(3, 1, 1, OWN_EXPIRED.certificate)
        said = await self.refusal(GOOD, _dane(record))
        assert said.startswith("certificate matches none of the TLSA records of mx.example.test: 3 1 1 ")

    async def test_the_name_of_the_records_is_the_one_that_the_host_is_asked_for(self) -> None:
        route = _dane(tlsa(3, 1, 1, GOOD.certificate), server_name="base.test")
        assert (await self.meet(GOOD, route)).endswith(" dane")
        assert self.names == [b"base.test"]
        said = await self.refusal(self_signed([HOST]), route)
        assert "TLSA records of base.test" in said

    async def test_a_rule_of_the_operator_that_is_stricter_holds_too(self) -> None:
        proof = Proof(ProofSource.DANE, "example.test", (HOST,), (tlsa(3, 1, 1, OWN_EXPIRED.certificate),))
        assert await self.refusal(OWN_EXPIRED, _proved(proof, TlsRule.VERIFY)) == "self-signed certificate"
        for_good = replace(proof, records=(tlsa(3, 1, 1, GOOD.certificate),))
        assert (await self.meet(GOOD, _proved(for_good, TlsRule.VERIFY))).endswith(" dane")

    async def test_records_of_which_none_can_be_used_leave_every_certificate_good(self) -> None:
        said = await self.meet(self_signed([HOST]), _proved(Proof(ProofSource.DANE, "example.test")))
        assert said.endswith(" unverified (self-signed certificate)")

    async def test_both_versions_of_tls_will_do(self) -> None:
        route = _dane(tlsa(3, 1, 1, GOOD.certificate))
        said = await self.meet(GOOD, route, highest=SSL.TLS1_2_VERSION)
        assert said.startswith("TLSv1.2 ")
        assert said.endswith(" dane")
        with pytest.raises(CertificateRejected):
            await self.meet(self_signed([HOST]), route, highest=SSL.TLS1_2_VERSION)

    async def test_no_session_is_resumed_so_that_each_certificate_is_checked(self) -> None:
        for highest in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            leaf = AUTHORITY.leaf([HOST])
            good, bad = (_dane(tlsa(3, 1, 1, each.certificate)) for each in (leaf, OWN_EXPIRED))
            port = self.listen(leaf, highest=highest)
            for route in (good, good, bad):
                client = _Client()
                options = client_options(route, TRUST)
                endpoint = wrapClientTLS(options, TCP4ClientEndpoint(reactor, "127.0.0.1", port))
                await connectProtocol(endpoint, client)
                if route is good:
                    await client.done
                    client.transport.loseConnection()
                else:
                    client.done.addErrback(lambda failure: failure.trap(CertificateRejected))
                await client.ended
                assert options.verified == (route is good)


class TestStartTls(_Loopback):
    async def _start(self, leaf: Leaf, rule: TlsRule) -> _Client:
        port = self.listen(leaf, wrapped=False)
        client = _Client()
        client.options = client_options(_route(rule), TRUST)
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), client)
        assert describe(client.transport) == ""
        client.transport.write(b"STARTTLS")
        return client

    async def test_a_connection_in_clear_becomes_a_verified_one(self) -> None:
        client = await self._start(GOOD, TlsRule.VERIFY)
        assert (await client.done).endswith(" verified")
        assert client.options.verified
        client.transport.loseConnection()
        await client.ended

    async def test_a_refused_certificate_ends_it_with_the_reason(self) -> None:
        client = await self._start(self_signed([HOST]), TlsRule.VERIFY)
        client.done.addErrback(lambda failure: None)
        [reason] = await client.ended
        assert handshake_failure_text(reason) == "self-signed certificate"
        assert not client.options.verified


class TestWords(_Loopback):
    async def test_a_server_without_tls_is_reported_in_plain_words(self) -> None:
        factory = Factory.forProtocol(_Babbler)
        factory.noisy = False
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        client = _Client()
        client.done.addErrback(lambda failure: None)
        await connectProtocol(wrapClientTLS(client_options(_route(TlsRule.REQUIRE), TRUST), endpoint), client)
        [reason] = await client.ended
        assert handshake_failure_text(reason) == "the host answers with something that is not TLS"

    def test_a_lost_connection_is_described_as_such(self) -> None:
        assert handshake_failure_text(Failure(ConnectionDone())) == "connection lost during the TLS handshake"
        assert handshake_failure_text(Failure(ConnectionLost())) == "connection reset during the TLS handshake"

    def test_nothing_is_verified_before_the_handshake(self) -> None:
        options = client_options(_route(TlsRule.VERIFY))
        assert not options.verified
        assert options.proof == "unverified (no certificate)"

    def test_the_protocol_is_not_kept_alive(self) -> None:
        options = client_options(_route(TlsRule.VERIFY), TRUST)
        protocol = TLSMemoryBIOProtocol(None, Protocol())  # type: ignore[arg-type]
        options.clientConnectionForTLS(protocol)
        del protocol
        assert options._protocol is not None
        assert options._protocol() is None


class _Babbler(Protocol):
    def connectionMade(self) -> None:
        self.transport.write(b"220 mx.example.test ESMTP\r\n")
