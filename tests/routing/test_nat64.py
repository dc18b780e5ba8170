"""The network's own NAT64 prefix, in each of the forms of RFC 6052."""

import ipaddress

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from harness.zone import Zone, ZoneResolver
from mta.dns.answers import AddressAnswer, Found, LookupFailed
from mta.routing.nat64 import Nat64, ipv4_under_prefix, prefixes

# RFC 6052 section 2.4: 192.0.2.33 under 2001:db8:122:344::/96 and shorter ones.
FORMS = {
    32: "2001:db8:c000:221::",
    40: "2001:db8:1c0:2:21::",
    48: "2001:db8:122:c000:2:2100::",
    56: "2001:db8:122:3c0:0:221::",
    64: "2001:db8:122:344:c0:2:2100::",
    96: "2001:db8:122:344::192.0.2.33",
}


@pytest.mark.parametrize("length", FORMS)
def test_each_form_of_the_rfc_is_read(length: int) -> None:
    assert ipv4_under_prefix(ipaddress.IPv6Address(FORMS[length]), length) == ipaddress.IPv4Address("192.0.2.33")


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("64:ff9b::c000:aa", "64:ff9b::/96"),
        ("2001:db8:122:344::192.0.0.171", "2001:db8:122:344::/96"),
        ("2001:db8:c000:aa::", "2001:db8::/32"),
        ("2001:db8:1c0:0:aa::", "2001:db8:100::/40"),
        ("2001:db8:122:c000:0:aa00::", "2001:db8:122::/48"),
        ("2001:db8:122:3c0:0:aa::", "2001:db8:122:300::/56"),
        ("2001:db8:122:344:c0:0:aa00::", "2001:db8:122:344::/64"),
    ],
)
def test_the_prefix_shows_in_the_address_of_the_well_known_name(address: str, prefix: str) -> None:
    assert prefixes(["192.0.0.170", address]) == (ipaddress.IPv6Network(prefix),)


def test_an_address_without_a_well_known_one_in_it_shows_no_prefix() -> None:
    assert prefixes(["192.0.0.170", "2001:db8::1", "2001:db8::192.0.0.172"]) == ()


class Nat64Tests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.zone = Zone({"ipv4only.arpa": {"A": ["192.0.0.170"], "AAAA": ["2001:db8:1::c000:aa"]}})
        self.resolver = ZoneResolver(self.zone)
        self.nat64 = Nat64(self.resolver, self.clock.seconds)

    def refresh(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.nat64.refresh()))

    def test_an_address_under_the_prefix_reaches_ipv4(self) -> None:
        assert self.nat64.translated("2001:db8:1::a00:5") == "2001:db8:1::a00:5"
        self.refresh()
        assert self.nat64.translated("2001:db8:1::a00:5") == "10.0.0.5"
        for other in ("2001:db8:2::a00:5", "10.0.0.5"):
            assert self.nat64.translated(other) == other

    def test_the_prefix_known_last_counts_while_the_dns_is_in_trouble(self) -> None:
        self.refresh()
        self.zone.fail("ipv4only.arpa")
        self.clock.advance(600)
        self.refresh()
        assert self.nat64.translated("2001:db8:1::a00:5") == "10.0.0.5"
        self.zone.heal("ipv4only.arpa")
        self.zone.add("ipv4only.arpa", AAAA=["2001:db8:2::c000:ab"])
        self.clock.advance(60)
        self.refresh()
        assert self.nat64.translated("2001:db8:2::a00:5") == "10.0.0.5"
        assert self.nat64.translated("2001:db8:1::a00:5") == "2001:db8:1::a00:5"

    def test_only_the_first_look_up_is_waited_for(self) -> None:
        answers: list[Deferred[AddressAnswer]] = []

        class Slow(ZoneResolver):
            async def addresses(self, name: str, *, ipv6: bool = True, search: bool = False) -> AddressAnswer:
                answers.append(Deferred())
                return await answers[-1]

        nat64 = Nat64(Slow(self.zone), self.clock.seconds)
        waiting = [Deferred.fromCoroutine(nat64.refresh()) for _ in range(2)]
        self.clock.advance(1)
        waiting.append(Deferred.fromCoroutine(nat64.refresh()))
        assert not any(each.called for each in waiting)
        answers[0].callback(LookupFailed("silence"))
        for each in waiting:
            self.successResultOf(each)
        self.clock.advance(61)
        self.successResultOf(Deferred.fromCoroutine(nat64.refresh()))
        assert len(answers) == 2
        answers[1].callback(Found(("2001:db8:1::c000:aa",), 60, "ipv4only.arpa"))
        assert nat64.translated("2001:db8:1::a00:5") == "10.0.0.5"

    def test_the_name_is_looked_up_every_ten_minutes_only(self) -> None:
        for _ in range(3):
            self.refresh()
            self.clock.advance(199)
        assert len(self.resolver.asked) == 2
        self.clock.advance(3)
        self.refresh()
        assert len(self.resolver.asked) == 4
