import ipaddress

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mta.inbound.networks import HostName, TrustItem, TrustList, network
from mta.inbound.trust import Addresses, TrustedClients
from mta.ops.journal import Journal

LIST = TrustList((TrustItem(network("127.0.0.1")), TrustItem(HostName("app.test"))))


class TrustedClientsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.answer = Addresses(frozenset({ipaddress.ip_address("192.0.2.7")}), ttl=120.0)
        self.asked: list[str] = []
        journal = Journal(self.lines.append, self.clock.seconds)
        self.trusted = TrustedClients(LIST, self.look_up, self.clock, journal)
        self.trusted.startService()
        self.addCleanup(self.trusted.stopService)

    async def look_up(self, name: str) -> Addresses:
        self.asked.append(name)
        return self.answer

    def test_networks_and_resolved_names_are_ours_and_nobody_else(self) -> None:
        assert self.trusted("127.0.0.1")
        assert self.trusted("192.0.2.7")
        assert not self.trusted("192.0.2.8")

    def test_a_name_is_looked_up_again_when_its_time_ends(self) -> None:
        self.answer = Addresses(frozenset({ipaddress.ip_address("192.0.2.8")}), ttl=120.0)
        self.clock.advance(119)
        assert self.trusted("192.0.2.7")
        self.clock.advance(1)
        assert self.trusted("192.0.2.8")
        assert not self.trusted("192.0.2.7")

    def test_a_name_that_stops_resolving_matches_nobody_and_is_logged(self) -> None:
        self.answer = Addresses(None, reason="no such name")
        self.clock.advance(120)
        assert not self.trusted("192.0.2.7")
        assert "RELAY_NETWORKS: app.test does not resolve" in self.lines[0]
        assert self.asked == ["app.test", "app.test"]
        self.clock.advance(60)
        assert len(self.asked) == 3
