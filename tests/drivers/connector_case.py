"""A test case with a connector on a reactor in memory."""

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from harness import mail
from mta.delivery.remote.connector import ConnectorOptions, SmtpConnector
from mta.delivery.remote.interface import Connection, DeliveryRequest, IsStale
from mta.message.outcome import TryLater
from mta.routing.route import Plan, Route, TlsRule
from tests.fakes.memory_reactor import Net, Wire

ROUTE = Route("mx.test", "192.0.2.1", 25)
OTHER = Route("mx2.test", "2001:db8::1", 2525)
EHLO = ("250-mx.test", "250-PIPELINING", "250-STARTTLS", "250 CHUNKING")
CLEAR = ("250-mx.test", "250-PIPELINING", "250 CHUNKING")
TAKEN = ("250 2.1.0 ok", "250 2.1.5 ok", "250 2.0.0 taken")


class AlwaysNoted:
    """An InFlightLog that needs no disk."""

    def note_in_flight(self, _: DeliveryRequest, *, again: bool = False) -> "Deferred[IsStale | None]":
        del again
        return succeed(None)


def request(*recipients: str, body: Any = None) -> DeliveryRequest:
    claim = mail.claim(*(recipients or ("bob@b.test",)))
    return DeliveryRequest(claim.id, claim.envelope, body or claim.body, claim.pending)


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Net()
        self.lost: list[Connection] = []
        self.options = ConnectorOptions(self.net, "me.test", self.tls_options, AlwaysNoted(), lost=self.lost.append)

    def tls_options(self, route: Route) -> Any:
        return f"options for {route.host}"

    def open(self, *routes: Route, **options: Any) -> Any:
        return SmtpConnector(replace(self.options, **options)).open(Plan("mx.test", routes or (ROUTE,)))

    def ready(self, *offer: str, route: Route = ROUTE, **options: Any) -> tuple[Connection, Wire]:
        opening = self.open(replace(route, tls=TlsRule.NONE), **options)
        wire = self.net.accept("220 hi", *(offer or CLEAR))
        wire.heard()
        return self.successResultOf(opening), wire

    def trouble(self, opening: Any) -> TryLater:
        outcome = self.successResultOf(opening)
        self.assertIsInstance(outcome, TryLater)
        return outcome  # type: ignore[no-any-return]
