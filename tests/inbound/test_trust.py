"""The host names in RELAY_NETWORKS and their look-ups."""

import ipaddress

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mta.event_log.log import EventLog
from mta.inbound.networks import HostName, TrustItem, TrustList, network
from mta.inbound.trust import Addresses, HostAddresses, TrustedClients

LIST = TrustList((TrustItem(network("127.0.0.1")), TrustItem(HostName("app.test"))))
ADDRESSES = Addresses(frozenset({ipaddress.ip_address("192.0.2.7")}), ttl=120.0)


class TrustedClientsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.answer = Addresses(frozenset({ipaddress.ip_address("192.0.2.7")}), ttl=120.0)
        self.asked: list[str] = []
        event_log = EventLog(self.lines.append, self.clock.seconds)
        self.trusted = TrustedClients(LIST, self.look_up, self.clock, event_log)
        self.trusted.startService()
        self.addCleanup(self.trusted.stopService)

    async def look_up(self, name: str) -> Addresses:
        self.asked.append(name)
        return self.answer

    def test_only_networks_and_resolved_names_are_trusted(self) -> None:
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

    def test_a_name_without_addresses_matches_no_client_and_is_logged_once(self) -> None:
        self.answer = Addresses(frozenset(), reason="there is no such host")
        self.clock.advance(120)
        assert not self.trusted("192.0.2.7")
        assert not self.trusted.may_be_trusted("192.0.2.7")
        assert (
            "RELAY_NETWORKS: app.test does not resolve (there is no such host): it matches no client" in self.lines[0]
        )
        assert self.asked == ["app.test", "app.test"]
        self.clock.advance(60)
        assert len(self.asked) == 3
        assert len(self.lines) == 1

    def test_a_name_keeps_its_addresses_while_look_ups_fail(self) -> None:
        known, self.answer = self.answer, Addresses(None, ttl=5, reason="SERVFAIL")
        self.clock.advance(120)
        for _ in range(100):
            self.clock.advance(30)
            assert self.trusted("192.0.2.7")
        assert not self.trusted.may_be_trusted("192.0.2.8")
        assert "does not resolve (SERVFAIL): the addresses that it had last still count" in self.lines[0]
        self.answer = known
        self.clock.advance(30)
        assert "resolves again" in self.lines[1]
        assert len(self.lines) == 2

    def test_a_family_whose_look_up_fails_keeps_its_addresses(self) -> None:
        addresses = "192.0.2.7", "2001:db8::7", "2001:db8::8"
        v4, v6, new = map(ipaddress.ip_address, addresses)
        for found, trusted in (({v4, v6}, (v4, v6)), ({new}, (v4, new)), ({v4}, (v4, new))):
            self.answer = Addresses(frozenset(found), reason="" if len(found) == 2 else "SERVFAIL")
            self.clock.advance(120)
            assert [text for text in addresses if self.trusted(text)] == list(map(str, trusted))

    def test_the_addresses_of_a_name_are_known_after_the_first_complete_answer(self) -> None:
        answers = {"a.test": Addresses(None, reason="SERVFAIL"), "b.test": self.answer}

        async def look_up(name: str) -> Addresses:
            return answers[name]

        event_log = EventLog(self.lines.append, self.clock.seconds)
        hosts = HostAddresses(("a.test", "b.test"), look_up, self.clock, event_log, subject="the rules")
        assert hosts.addresses("b.test") is None
        hosts.startService()
        self.addCleanup(hosts.stopService)
        assert (hosts.addresses("a.test"), hosts.addresses("b.test")) == (None, self.answer.found)
        assert "the rules: a.test does not resolve (SERVFAIL)" in self.lines[0]
        answers["a.test"] = Addresses(frozenset(), reason="there is no such host")
        self.clock.advance(5)
        assert hosts.addresses("a.test") == frozenset()
        answers["a.test"] = Addresses(None, reason="SERVFAIL")
        self.clock.advance(120)
        assert hosts.addresses("a.test") == frozenset()


class FollowTests(SynchronousTestCase):
    """Host names of rules that are replaced."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[str] = []
        self.answers: dict[str, Deferred[Addresses]] = {}

        async def look_up(name: str) -> Addresses:
            self.asked.append(name)
            return await self.answers.setdefault(name, succeed(ADDRESSES))

        event_log = EventLog(self.fail, self.clock.seconds)
        self.hosts = HostAddresses(("a.test", "b.test"), look_up, self.clock, event_log, subject="the rules")
        self.hosts.startService()
        self.addCleanup(self.hosts.stopService)

    def test_new_names_are_looked_up_and_those_left_out_are_not_any_more(self) -> None:
        self.hosts.follow(("b.test", "c.test"))
        assert self.asked == ["a.test", "b.test", "c.test"]
        assert self.hosts.addresses("c.test") == ADDRESSES.found
        self.clock.advance(120)
        assert self.asked[3:] == ["b.test", "c.test"]

    def test_a_name_that_is_left_out_keeps_its_addresses_until_the_next_change(self) -> None:
        self.hosts.follow(("b.test",))
        assert self.hosts.addresses("a.test") == ADDRESSES.found
        self.hosts.follow(("b.test",))
        assert self.hosts.addresses("a.test") is None

    def test_a_new_name_has_no_addresses_before_its_first_answer(self) -> None:
        self.answers["c.test"] = Deferred()
        self.hosts.follow(("c.test",))
        assert self.hosts.addresses("c.test") is None
        self.answers["c.test"].callback(ADDRESSES)
        assert self.hosts.addresses("c.test") == ADDRESSES.found

    def test_an_answer_that_comes_after_its_name_was_left_out_is_dropped(self) -> None:
        self.answers["c.test"] = Deferred()
        self.hosts.follow(("c.test",))
        self.hosts.follow(())
        self.answers["c.test"].callback(ADDRESSES)
        assert self.hosts.addresses("c.test") is None
        self.clock.advance(4000)
        assert self.asked == ["a.test", "b.test", "c.test"]

    def test_a_name_that_was_left_out_for_a_while_is_looked_up_once_in_each_lifetime(self) -> None:
        first, second = Deferred[Addresses](), Deferred[Addresses]()
        self.answers["c.test"] = first
        self.hosts.follow(("c.test",))
        self.hosts.follow(())
        self.answers["c.test"] = second
        self.hosts.follow(("c.test",))
        self.answers["c.test"] = succeed(ADDRESSES)
        first.callback(ADDRESSES)
        second.callback(ADDRESSES)
        asked = len(self.asked)
        self.clock.advance(120)
        assert len(self.asked) == asked + 1


class UnknownNameTests(SynchronousTestCase):
    """Names of which the DNS has not yet given an answer."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.answer = Addresses(None, ttl=5, reason="SERVFAIL")
        self.asked = 0

    async def look_up(self, _name: str) -> Addresses:
        self.asked += 1
        return self.answer

    def begin(self, trust: TrustList) -> TrustedClients:
        trusted = TrustedClients(trust, self.look_up, self.clock, EventLog(self.lines.append, self.clock.seconds))
        trusted.startService()
        self.addCleanup(trusted.stopService)
        return trusted

    def test_a_client_may_be_trusted_until_the_name_is_known(self) -> None:
        trusted = self.begin(LIST)
        for _ in range(3):
            assert not trusted("192.0.2.7")
            assert trusted.may_be_trusted("192.0.2.7")
            assert trusted.verdict("192.0.2.7") is None
            assert trusted("127.0.0.1")
            assert trusted.verdict("127.0.0.1")
            self.clock.advance(5)
        assert self.asked == 4
        (line,) = self.lines
        assert "app.test does not resolve (SERVFAIL): clients that nothing else in the list matches" in line
        self.answer = Addresses(frozenset({ipaddress.ip_address("192.0.2.7")}), ttl=120.0)
        self.clock.advance(5)
        assert trusted("192.0.2.7")
        assert not trusted.may_be_trusted("192.0.2.8")
        assert (trusted.verdict("192.0.2.7"), trusted.verdict("192.0.2.8")) == (True, False)

    def test_a_failed_family_leaves_other_clients_undecided(self) -> None:
        self.answer = Addresses(frozenset({ipaddress.ip_address("2001:db8::7")}), reason="SERVFAIL")
        trusted = self.begin(LIST)
        assert trusted("2001:db8::7")
        assert trusted.may_be_trusted("192.0.2.7")

    def test_a_name_that_may_exclude_a_client_leaves_it_undecided(self) -> None:
        excluded = TrustItem(HostName("bad.test"), excluded=True)
        trusted = self.begin(TrustList((TrustItem(network("10.0.0.1")), excluded, TrustItem(network("10.0.0.0/8")))))
        assert trusted("10.0.0.1")
        assert not trusted("10.0.0.2")
        assert trusted.may_be_trusted("10.0.0.2")
        assert not trusted.may_be_trusted("192.0.2.1")
