"""The MX hosts of a domain, and the reasons why some are left out, which agree with the relay's own plans."""

import random

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from harness.zone import Zone, ZoneResolver
from mta.explain.destination.mx_hosts import MxHosts, find_mx_hosts
from mta.routing.private_addresses import OwnSockets
from mta.routing.route import Plan, Routing
from mta.routing.router import MailRouter
from mta.routing.rules import RouterRules
from mta.smtp.domains import domain_list
from tests.cli.queue.test_command import result

RULES = RouterRules(
    "relay.test", domain_list([]), domain_list([]), listening=OwnSockets([("192.0.2.250", 25)]), max_hosts=3
)


def found(zone: Zone, rules: RouterRules = RULES) -> MxHosts:
    hosts: MxHosts = result(Deferred.fromCoroutine(find_mx_hosts("b.test", ZoneResolver(zone), rules, lambda: 0.0)))
    return hosts


def reasons(zone: Zone, rules: RouterRules = RULES) -> list[tuple[str, str]]:
    return [(host.name, host.left_out) for host in found(zone, rules).hosts]


def zone(*hosts: tuple[int, str, str]) -> Zone:
    """Return a zone in which b.test has these hosts: preference, name and address, `private`, `none` or `fail`."""
    made = Zone({"b.test": {"MX": [[preference, name] for preference, name, _ in hosts]}})
    for _, name, kind in hosts:
        if kind == "fail":
            made.fail(name)
        elif kind != "none":
            made.add(name, A=["10.0.0.9" if kind == "private" else kind])
    return made


def test_each_host_has_its_addresses_or_the_reason_why_it_is_left_out() -> None:
    told = reasons(
        zone(
            (10, "mx1.b.test", "192.0.2.1"),
            (20, "mx2.b.test", "private"),
            (30, "mx3.b.test", "none"),
            (40, "mx4.b.test", "fail"),
            (50, "relay.test", "192.0.2.7"),
            (60, "mx6.b.test", "192.0.2.6"),
        )
    )
    assert told == [
        ("mx1.b.test", ""),
        ("mx2.b.test", "all its addresses are private (PRIVATE_DESTINATIONS)"),
        ("mx3.b.test", "it has no address"),
        ("mx4.b.test", "the look-up of its addresses failed: SERVFAIL"),
        ("relay.test", "it is this relay itself"),
        ("mx6.b.test", "this relay is itself an MX host of the same or a better preference"),
    ]


def test_hosts_beyond_those_that_the_relay_tries_are_left_out() -> None:
    many = [(number, f"mx{number:02}.b.test", f"192.0.2.{number + 1}") for number in range(12)]
    told = dict(reasons(zone(*many)))
    assert told["mx02.b.test"] == ""
    assert told["mx03.b.test"] == "the relay tries the first 3 hosts only"
    assert told["mx11.b.test"] == "not looked up, because the hosts before it are enough"


def test_a_domain_without_mx_is_its_own_host() -> None:
    hosts = found(Zone({"b.test": {"A": ["192.0.2.1"]}}))
    assert (hosts.implicit, [host.name for host in hosts.hosts]) == (True, ["b.test"])


def test_a_domain_without_mail_has_no_host_and_a_reason() -> None:
    assert found(Zone({"b.test": {"MX": [[0, ""]]}})) == MxHosts(problem="domain b.test accepts no mail (null MX)")
    broken = Zone()
    broken.fail("b.test")
    assert found(broken).problem == "looking up the MX of b.test failed: SERVFAIL"


_KINDS = st.sampled_from(["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.250", "private", "none", "fail"])
_NAMES = st.sampled_from([*(f"mx{number:02}.b.test" for number in range(14)), "relay.test"])
_HOSTS = st.lists(
    st.tuples(st.sampled_from([0, 10, 20, 30]), _NAMES, _KINDS), max_size=14, unique_by=lambda host: host[1]
)


@given(_HOSTS)
def test_the_hosts_that_are_not_left_out_are_those_of_the_plan(hosts: list[tuple[int, str, str]]) -> None:
    given_zone = zone(*hosts) if hosts else Zone({"b.test": {"MX": [[0, ""]]}})
    told = found(given_zone)
    router = MailRouter(RULES, ZoneResolver(given_zone), lambda: 0.0, _InOrder())
    routing: Routing = result(Deferred.fromCoroutine(router.resolve("b.test")))
    used = [host.name for host in told.hosts if not host.left_out]
    if isinstance(routing, Plan):
        assert used == list(dict.fromkeys(route.host for route in routing.routes))
    else:
        assert used == []


class _InOrder(random.Random):
    """Leaves the hosts in the order in which the zone has them, which is that of their names."""

    def random(self) -> float:
        return 0.0
