"""Connections to hosts whose domain demands a proof: over real sockets, with good and bad certificates."""

import ssl
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from harness.certificates import Leaf, authority, self_signed
from harness.sink import Sink
from harness.sink_rules import Rule
from mta.delivery.remote.connector import ConnectorOptions, SmtpConnector
from mta.delivery.remote.tls_session import TlsFailure, TlsSession
from mta.message.outcome import Delivered, ErrorKind, TryLater
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.route import Plan, Route, TlsRule
from mta.tls.client import ClientOptions, TrustAnchors, client_options
from tests.drivers.connector_case import AlwaysNoted, request
from tests.drivers.loopback_case import loopback_options
from tests.drivers.tlsa import tlsa

HOST, DOMAIN = "mx.example.test", "example.test"
AUTHORITY = authority()
GOOD = AUTHORITY.leaf([HOST])
OWN = self_signed(["elsewhere.test"], expired=True)

STS = Proof(ProofSource.STS, DOMAIN, (HOST,))
TESTING = replace(STS, enforced=False)
ANY = Proof(ProofSource.DANE, DOMAIN)
NO_TLS = Rule("STARTTLS", reply="454 4.7.0 TLS not available")


def dane(leaf: Leaf) -> Proof:
    return Proof(ProofSource.DANE, DOMAIN, (HOST,), (tlsa(3, 1, 1, leaf.certificate),))


class _Resuming(ClientOptions):
    """Options that resume a session, as the relay's own never do."""

    def __init__(self, route: Route, trust: TrustAnchors, session: Any) -> None:
        super().__init__(route, trust)
        self._session = session

    def clientConnectionForTLS(self, protocol: Any) -> Any:
        connection = super().clientConnectionForTLS(protocol)
        connection.set_session(self._session)
        return connection


class DemandTests(TestCase):
    timeout = 30

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.sessions: list[TlsSession] = []
        self.in_clear: list[str] = []
        self.unproven: list[str] = []

    async def deliver(
        self, proof: Proof | None, leaf: Leaf | None = GOOD, *rules: Rule, tls: TlsRule = TlsRule.OPPORTUNISTIC
    ) -> Any:
        """Deliver one message to a server with this certificate; return how it was protected, or why it was not."""
        sink = self.sink = Sink(list(rules), tls=None if leaf is None else tuple(map(str, leaf.write(self.folder))))
        sink.__enter__()
        self.addCleanup(sink.close)
        self.sessions.clear()
        options = loopback_options(
            AUTHORITY,
            in_clear=lambda _, reason: self.in_clear.append(reason),
            unproven=lambda _, reason: self.unproven.append(reason),
            session_ended=self.sessions.append,
        )
        route = Route(HOST, "127.0.0.1", sink.port, tls, proof=proof)
        found: Any = await SmtpConnector(options).open(Plan(HOST, (route,), domain=DOMAIN))
        if isinstance(found, TryLater):
            self.assertEqual(sink.messages, [])
            return found
        result = await found.deliver(request())
        self.assertIsInstance(result.outcomes[0], Delivered)
        found.quit()
        return found.security

    def result(self) -> TlsFailure | None:
        """The result of the only session."""
        [session] = self.sessions
        self.assertEqual((session.domain, session.route.host), (DOMAIN, HOST))
        self.assertEqual(session.own_address, "127.0.0.1" if self.sink.context else "")
        self.assertEqual(session.text == "", session.failure is None)
        return session.failure

    async def test_a_proof_that_is_given_is_named(self) -> None:
        for proof, leaf, end in (
            (None, GOOD, " verified"),
            (STS, GOOD, " verified sts"),
            (TESTING, GOOD, " verified sts"),
            (dane(OWN), OWN, " dane"),
        ):
            security = await self.deliver(proof, leaf)
            self.assertTrue(security.endswith(end), security)
            self.assertIs(self.result(), None)
        self.assertEqual((self.in_clear, self.unproven), ([], []))

    async def test_a_wrong_certificate_has_the_mail_wait_and_names_demand_finding_and_setting(self) -> None:
        told = await self.deliver(STS, OWN)
        self.assertEqual(
            told.text,
            "certificate not trusted: self-signed certificate; example.test demands it by MTA-STS; mail stays queued."
            " TLS_POLICY=example.test=opportunistic would send it all the same",
        )
        self.assertEqual((told.status, told.kind), ("4.7.5", ErrorKind.TLS))
        self.assertIs(self.result(), TlsFailure.NOT_TRUSTED)
        told = await self.deliver(dane(OWN), GOOD)
        self.assertIn("matches none of the TLSA records of mx.example.test: 3 1 1 ", told.text)
        self.assertIn("; example.test demands it by DANE; mail stays queued. TLS_POLICY=", told.text)
        self.assertIs(self.result(), TlsFailure.VALIDATION)

    async def test_the_faults_of_a_certificate_are_told_apart(self) -> None:
        for leaf, failure in (
            (AUTHORITY.leaf([HOST], expired=True), TlsFailure.EXPIRED),
            (AUTHORITY.leaf(["other.test"]), TlsFailure.HOST_MISMATCH),
            (authority("Unknown").leaf([HOST]), TlsFailure.NOT_TRUSTED),
        ):
            self.assertIsInstance(await self.deliver(STS, leaf), TryLater)
            self.assertIs(self.result(), failure)

    async def test_a_host_without_tls_gets_nothing_in_clear(self) -> None:
        for proof in (STS, dane(GOOD), ANY):
            told = await self.deliver(proof, None)
            self.assertTrue(told.text.startswith("TLS is required, but: STARTTLS is not offered; example.test demands"))
            self.assertEqual(told.status, "4.7.4")
            self.assertIs(self.result(), TlsFailure.STARTTLS_NOT_SUPPORTED)
            told = await self.deliver(proof, GOOD, NO_TLS)
            self.assertIn("454 4.7.0 TLS not available", told.text)
        self.assertEqual(self.in_clear, [])

    async def test_a_host_whose_tls_fails_gets_nothing_in_clear(self) -> None:
        for proof in (STS, dane(GOOD), ANY):
            for rule in (Rule("STARTTLS", reply=None), Rule("STARTTLS", reply="421 4.7.0 no", close=True)):
                told = await self.deliver(proof, GOOD, rule)
                self.assertTrue(told.text.startswith("TLS failed: "), told.text)
                self.assertIn("example.test demands it by ", told.text)
                self.assertEqual(self.sessions[0].failure, TlsFailure.VALIDATION)
                self.assertEqual(self.sink.connections, 1)
        self.assertEqual(self.in_clear, [])

    async def test_a_session_that_is_resumed_proves_nothing(self) -> None:
        sink = self.sink = Sink(tls=tuple(map(str, OWN.write(self.folder))))
        assert sink.context is not None
        sink.context.maximum_version = ssl.TLSVersion.TLSv1_2
        sink.__enter__()
        self.addCleanup(sink.close)
        route = Route(HOST, "127.0.0.1", sink.port)
        options = ConnectorOptions(reactor, "me.test", client_options, AlwaysNoted())  # type: ignore[arg-type]
        first: Any = await SmtpConnector(options).open(Plan(HOST, (route,)))
        session = first._protocol.transport.getHandle().get_session()
        made: list[Any] = []

        def resuming(again: Route) -> Any:
            made.append(_Resuming(again, TrustAnchors(), session))
            return made[-1]

        again = replace(options, tls_options=resuming)
        told = await SmtpConnector(again).open(Plan(HOST, (replace(route, proof=dane(GOOD)),)))
        self.assertIsInstance(told, TryLater)
        self.assertIn("the host showed no certificate; example.test demands it by DANE", told.text)  # type: ignore[union-attr]
        self.assertFalse(made[0]._leaf_checked)
        first.quit()

    async def test_no_rule_of_a_route_lifts_a_proof(self) -> None:
        self.assertTrue((await self.deliver(STS, tls=TlsRule.NONE)).endswith(" verified sts"))
        self.assertIsInstance(await self.deliver(STS, OWN, tls=TlsRule.NONE), TryLater)
        self.assertIsInstance(await self.deliver(STS, None, tls=TlsRule.NONE), TryLater)

    async def test_records_that_cannot_be_used_demand_tls_alone(self) -> None:
        security = await self.deliver(ANY, OWN)
        self.assertTrue(security.endswith(" unverified (self-signed certificate)"), security)
        self.assertIs(self.result(), TlsFailure.TLSA_INVALID)

    async def test_a_policy_in_testing_delivers_all_the_same_and_tells(self) -> None:
        security = await self.deliver(TESTING, OWN)
        self.assertTrue(security.endswith(" unverified (self-signed certificate)"), security)
        self.assertIs(self.result(), TlsFailure.NOT_TRUSTED)
        self.assertEqual(await self.deliver(TESTING, None), "")
        self.assertIs(self.result(), TlsFailure.STARTTLS_NOT_SUPPORTED)
        self.assertEqual(await self.deliver(TESTING, GOOD, NO_TLS), "none(454 4.7.0 TLS not available)")
        self.assertEqual(await self.deliver(TESTING, GOOD, Rule("STARTTLS", reply=None)), f"none({self.unproven[3]})")
        [session] = self.sessions
        self.assertIs(session.failure, TlsFailure.VALIDATION)
        self.assertEqual(
            self.unproven[:3], ["self-signed certificate", "STARTTLS is not offered", "454 4.7.0 TLS not available"]
        )

    async def test_without_a_policy_any_tls_is_a_success_of_the_session(self) -> None:
        await self.deliver(None, OWN)
        self.assertIs(self.result(), None)
        await self.deliver(None, None)
        self.assertIs(self.result(), TlsFailure.STARTTLS_NOT_SUPPORTED)
        self.assertEqual(self.unproven, [])

    async def test_a_session_that_fails_after_its_handshake_had_its_tls(self) -> None:
        self.assertIsInstance(await self.deliver(STS, GOOD, Rule("EHLO", reply="250 sink", times=0)), str)
        told = await self.deliver(
            STS, GOOD, Rule("EHLO", reply="250-sink\r\n250 STARTTLS", times=1), Rule("EHLO", "451 no")
        )
        self.assertIsInstance(told, TryLater)
        self.assertIs(self.result(), None)

    async def test_a_session_that_ends_before_tls_has_no_result(self) -> None:
        await self.deliver(STS, GOOD, Rule("EHLO", reply="554 no"), Rule("HELO", reply="554 no"))
        self.assertEqual(self.sessions, [])
        await self.deliver(None, GOOD, tls=TlsRule.NONE)
        self.assertEqual(self.sessions, [])
