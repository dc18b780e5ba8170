"""Messages with REQUIRETLS over the hosts of a destination: real handshakes with servers that offer it or do not."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from harness.certificates import authority
from harness.mail import claim
from harness.sink import EXTENSIONS, Sink
from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.destination import Destination
from mta.delivery.destinations.window import WindowLimits, own_windows
from mta.delivery.job import Group, Job
from mta.delivery.remote.connector import ConnectorOptions, SmtpConnector
from mta.event_log.log import EventLog
from mta.message.envelope import TlsDemand
from mta.message.outcome import Delivered, Failed, Outcome, TryLater
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.route import Plan, Route, TlsRule
from mta.tls.client import TrustAnchors, client_options
from tests.drivers.connector_case import AlwaysNoted

AUTHORITY = authority()
NAMES = ("mx1.test", "mx2.test", "mx3.test")


class RequireTlsTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.certificate = tuple(map(str, AUTHORITY.leaf(NAMES).write(Path(folder.name))))
        trust = TrustAnchors(AUTHORITY.certificate_pem, system=False)
        clock: Any = reactor
        log = EventLog(lambda line: None, clock.seconds)
        options = ConnectorOptions(clock, "me.test", lambda route: client_options(route, trust), AlwaysNoted())
        windows = own_windows(WindowLimits())
        self.destination = Destination(
            "mx", windows, SmtpConnector(options), DeliveryContext(clock, clock.seconds, log)
        )
        self.addCleanup(self.destination.close)

    def sink(self, *, offers: bool) -> Sink:
        # In clear too, where it must not count.
        sink = Sink(extensions=(*EXTENSIONS, "REQUIRETLS") if offers else EXTENSIONS, tls=self.certificate)
        sink.__enter__()
        self.addCleanup(sink.close)
        return sink

    async def send(self, *sinks: Sink, tls: TlsRule = TlsRule.OPPORTUNISTIC, proof: bool = True) -> Outcome:
        """Send a message that demands REQUIRETLS to these hosts, in this order; return its outcome."""
        routes = tuple(
            Route(
                name, "127.0.0.1", sink.port, tls, proof=Proof(ProofSource.REQUIRETLS, "", (name,)) if proof else None
            )
            for name, sink in zip(NAMES, sinks, strict=False)
        )
        whole = claim("bob@b.test")
        job = Job(replace(whole, envelope=replace(whole.envelope, tls_demand=TlsDemand.REQUIRED)), 0.0)
        clock: Any = reactor
        job.tasks.start(self.destination.send(Group(job, job.claim.pending, clock.seconds()), Plan("mx", routes)))
        while await job.tasks.next_end():
            pass
        return job.results[0].outcome  # type: ignore[return-value]

    async def test_a_host_that_offers_it_gets_it(self) -> None:
        sink = self.sink(offers=True)
        self.assertIsInstance(await self.send(sink), Delivered)
        self.assertIn("REQUIRETLS", sink.messages[0].mail_parameters)

    async def test_hosts_without_it_are_passed_over(self) -> None:
        lacking = [self.sink(offers=False), self.sink(offers=False)]
        offering = self.sink(offers=True)
        self.assertIsInstance(await self.send(*lacking, offering), Delivered)
        self.assertEqual([sink.messages for sink in lacking], [[], []])
        self.assertEqual(len(offering.messages), 1)

    async def test_the_message_fails_after_the_last_host_without_it(self) -> None:
        sinks = [self.sink(offers=False) for _ in NAMES]
        failed = await self.send(*sinks)
        self.assertIsInstance(failed, Failed)
        self.assertEqual(failed.status, "5.7.30")
        self.assertEqual([sink.messages for sink in sinks], [[], [], []])
        self.assertEqual([sink.connections for sink in sinks], [1, 1, 1])

    async def test_a_host_that_could_not_be_reached_may_offer_it_later(self) -> None:
        gone = self.sink(offers=True)
        gone.close()
        self.assertIsInstance(await self.send(gone, self.sink(offers=False)), TryLater)

    async def test_a_host_that_did_not_prove_its_name_gets_nothing(self) -> None:
        sink = self.sink(offers=True)
        for tls in (TlsRule.OPPORTUNISTIC, TlsRule.NONE):
            outcome = await self.send(sink, tls=tls, proof=False)
            self.assertIsInstance(outcome, TryLater)
            self.assertEqual(outcome.status, "4.7.10")
            self.destination._pool.idle.close()
        self.assertEqual(sink.messages, [])

    async def test_a_certificate_that_the_operator_has_verified_will_do(self) -> None:
        sink = self.sink(offers=True)
        self.assertIsInstance(await self.send(sink, tls=TlsRule.VERIFY, proof=False), Delivered)
