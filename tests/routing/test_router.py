"""Direct routing by MX records: plans, failures, loops, private addresses, and how long a routing is cached."""

import random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from harness.zone import Zone, ZoneResolver
from mta.dns.answers import FAILURE_TTL
from mta.dns.message import MAX_EXCHANGERS
from mta.message.outcome import ErrorKind, Failed, TryLater
from mta.routing.destination_names import MAX_DESTINATION_LENGTH
from mta.routing.private_addresses import OwnSockets
from mta.routing.route import Local, Plan, Router, Routing, TlsRule
from mta.routing.router import MAX_PLAN_TTL, MailRouter
from mta.routing.rules import RouterRules
from mta.smtp.domains import domain_list

ZONE: dict[str, dict[str, Any]] = {
    "example.test": {"MX": [[20, "backup.example.test"], [10, "a.example.test"], [10, "b.example.test"]]},
    "sister.test": {"MX": [[5, "b.example.test"], [6, "a.example.test"], [7, "backup.example.test"]]},
    "a.example.test": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
    "b.example.test": {"A": ["192.0.2.2", "192.0.2.3"], "AAAA": ["2001:db8::2", "2001:db8::3"]},
    "backup.example.test": {"A": ["192.0.2.9"]},
    "nomx.test": {"A": ["192.0.2.4"]},
    "null.test": {"MX": [[0, ""]]},
    "halfnull.test": {"MX": [[0, ""], [10, "a.example.test"]]},
    "broken.test": {"FAIL": "SERVFAIL"},
    "empty.test": {"TXT": ["nothing"]},
    "deadmx.test": {"MX": [[10, "gone.test"], [20, "empty.test"]]},
    "limping.test": {"MX": [[10, "broken.test"], [20, "gone.test"]]},
    "odd.test": {"MX": [[10, "\\255.test"], [20, "\\000.test"]]},
    "partly.test": {"MX": [[10, "broken.test"], [20, "gone.test"], [30, "a.example.test"]]},
    "cname.test": {"MX": [[10, "alias.test"]]},
    "alias.test": {"CNAME": "backup.example.test"},
    "domainalias.test": {"CNAME": "example.test"},
    "second.test": {"MX": [[10, "a.example.test"], [20, "Relay.Test"], [20, "b.example.test"], [30, "nomx.test"]]},
    "ours.test": {"MX": [[10, "relay.test"], [20, "a.example.test"]]},
    "relay.test": {"A": ["192.0.2.250"]},
    "byaddress.test": {"MX": [[10, "a.example.test"], [20, "othername.test"], [30, "nomx.test"]]},
    "onlyaddress.test": {"MX": [[10, "othername.test"]]},
    "othername.test": {"A": ["192.0.2.251", "192.0.2.250"]},
    "inside.test": {"MX": [[10, "private.test"]]},
    "private.test": {"A": ["10.0.0.5"], "AAAA": ["fd00::5"]},
    "mixed.test": {"MX": [[10, "private.test"], [20, "mixedhost.test"]]},
    "mixedhost.test": {"A": ["10.0.0.6", "192.0.2.6"], "AAAA": ["::ffff:127.0.0.1"]},
    "v6.test": {"AAAA": ["2001:db8::6"]},
    "many.test": {"MX": [[n, f"mx{n}.many.test"] for n in range(9)]},
    **{f"mx{n}.many.test": {"A": [f"192.0.2.{10 * n + m}" for m in range(5)]} for n in range(9)},
    "one.test": {"A": [f"192.0.2.{n}" for n in range(30)]},
}


class RouterCase(SynchronousTestCase):
    def make(self, **rules: Any) -> MailRouter:
        self.clock = Clock()
        self.zone = Zone(ZONE)
        self.resolver = ZoneResolver(self.zone, suffix="test")
        rules.setdefault("local_domains", domain_list(["localhost", "local.test"]))
        rules.setdefault("relay_domains", domain_list(["second.test", "inside.test"]))
        return MailRouter(
            RouterRules(mailname="relay.test", **rules), self.resolver, self.clock.seconds, random.Random(0)
        )

    def resolve(self, domain: str, **rules: Any) -> Routing:
        return self.found(self.make(**rules), domain)

    def found(self, router: Router, domain: str) -> Routing:
        async def finding() -> Routing:
            return await router.resolve(domain)

        return self.successResultOf(Deferred.fromCoroutine(finding()))

    def plan(self, domain: str, **rules: Any) -> Plan:
        routing = self.resolve(domain, **rules)
        assert isinstance(routing, Plan), routing
        return routing

    def hosts(self, domain: str, **rules: Any) -> list[str]:
        return list(dict.fromkeys(route.host for route in self.plan(domain, **rules).routes))

    def addresses(self, domain: str, **rules: Any) -> list[str]:
        return [route.address for route in self.plan(domain, **rules).routes]

    def fails(self, domain: str, status: str, *words: str, **rules: Any) -> None:
        routing = self.resolve(domain, **rules)
        assert isinstance(routing, Failed | TryLater), routing
        assert routing.status == status
        assert isinstance(routing, TryLater if status.startswith("4") else Failed)
        if isinstance(routing, TryLater):
            assert (routing.kind is ErrorKind.DNS) is (status == "4.4.3")
        for word in words:
            assert word in routing.text
        assert "\n" not in routing.text


class TestLocal(RouterCase):
    def test_local_domains_and_bare_postmaster_need_no_look_up(self) -> None:
        router = self.make()
        for domain in ("localhost", "local.test", ""):
            assert router.cached(domain) == Local()
            assert self.found(router, domain) == Local()
        assert self.resolver.asked == []


class TestMx(RouterCase):
    def test_hosts_come_by_preference(self) -> None:
        hosts = self.hosts("example.test")
        assert set(hosts[:2]) == {"a.example.test", "b.example.test"}
        assert hosts[2] == "backup.example.test"

    def test_a_plan_knows_the_domain_whose_hosts_it_has(self) -> None:
        assert self.plan("example.test").domain == "example.test"
        assert self.plan("[198.51.100.7]").domain == ""

    def test_the_order_among_equals_changes_from_find_to_find(self) -> None:
        router = self.make()
        firsts = set()
        for _ in range(40):
            routing = self.found(router, "example.test")
            assert isinstance(routing, Plan)
            firsts.add(routing.routes[0].host)
        assert firsts == {"a.example.test", "b.example.test"}

    def test_a_host_is_tried_by_ipv6_and_ipv4_in_turn(self) -> None:
        families = [":" in address for address in self.addresses("sister.test")[:4]]
        assert families == [True, False, True, False]

    def test_without_ipv6_there_is_none(self) -> None:
        assert all(":" not in address for address in self.addresses("example.test", ipv6=False))
        self.fails("v6.test", "5.4.4", "IPv4", ipv6=False)
        assert self.addresses("v6.test") == ["2001:db8::6"]

    def test_routes_have_the_port_out_and_opportunistic_tls(self) -> None:
        for route in self.plan("example.test", port_out=2525).routes:
            assert (route.port, route.tls) == (2525, TlsRule.OPPORTUNISTIC)
            assert route.credentials is None
            assert not route.implicit_tls

    def test_a_domain_without_mx_is_its_own_host(self) -> None:
        assert self.addresses("nomx.test") == ["192.0.2.4"]
        assert self.hosts("nomx.test") == ["nomx.test"]

    def test_a_null_mx_fails_at_once(self) -> None:
        self.fails("null.test", "5.1.10", "null.test", "null MX")

    def test_a_domain_whose_mx_can_be_no_hosts_fails_at_once(self) -> None:
        self.fails("odd.test", "5.4.4", "odd.test", "MX")

    def test_a_null_mx_among_others_means_nothing(self) -> None:
        assert self.hosts("halfnull.test") == ["a.example.test"]

    def test_a_domain_that_does_not_exist_fails_by_name(self) -> None:
        self.fails("nowhere.invalid", "5.1.2", "nowhere.invalid")

    def test_trouble_with_the_dns_is_tried_later(self) -> None:
        self.fails("broken.test", "4.4.3", "broken.test", "SERVFAIL")

    def test_hosts_without_address_are_passed_over(self) -> None:
        assert self.hosts("partly.test") == ["a.example.test"]

    def test_no_host_with_an_address_fails_unless_the_dns_was_in_trouble(self) -> None:
        self.fails("deadmx.test", "5.4.4", "deadmx.test", "gone.test")
        self.fails("empty.test", "5.4.4", "empty.test")
        self.fails("limping.test", "4.4.3", "broken.test", "SERVFAIL")

    def test_cnames_are_followed_and_the_certificate_must_bear_the_name_of_the_mx(self) -> None:
        assert self.hosts("cname.test") == ["alias.test"]
        assert self.addresses("cname.test") == ["192.0.2.9"]
        assert "backup.example.test" in self.hosts("domainalias.test")

    def test_hosts_and_addresses_are_bounded_and_each_host_gets_its_turn(self) -> None:
        plan = self.plan("many.test")
        assert [route.host for route in plan.routes] == [f"mx{n // 2}.many.test" for n in range(10)]
        assert len(self.plan("one.test").routes) == 10

    def test_a_domain_of_a_hundred_hosts_costs_a_bounded_number_of_questions(self) -> None:
        router = self.make()
        self.zone.add("hundred.test", MX=[[n, f"mx{n}.hundred.test"] for n in range(100)])
        self.found(router, "hundred.test")
        assert len(self.resolver.asked) == 1 + 2 * MAX_EXCHANGERS

    def test_hosts_are_looked_up_until_one_has_an_address(self) -> None:
        router = self.make()
        self.zone.add("twelve.test", MX=[[n, f"mx{n}.twelve.test"] for n in range(12)])
        self.zone.add("mx10.twelve.test", A=["192.0.2.10"])
        self.zone.add("mx11.twelve.test", A=["192.0.2.11"])
        routing = self.found(router, "twelve.test")
        assert isinstance(routing, Plan)
        assert [route.address for route in routing.routes] == ["192.0.2.10", "192.0.2.11"]
        self.zone.records.pop("mx10.twelve.test")
        self.zone.fail("mx11.twelve.test")
        routing = self.found(router, "twelve.test")
        assert isinstance(routing, TryLater)
        assert "looking up mx11.twelve.test, MX of twelve.test, failed: SERVFAIL" in routing.text
        self.zone.records.pop("mx11.twelve.test")
        routing = self.found(router, "twelve.test")
        assert isinstance(routing, Failed)
        assert "mx9.twelve.test and 2 more" in routing.text

    def test_a_mail_fails_only_when_each_host_is_known_not_to_take_it(self) -> None:
        definite: list[dict[str, Any]] = [{}, {"TXT": ["no address"]}, {"A": ["10.0.0.5"]}, {"AAAA": ["fd00::5"]}]
        for place in (0, 11, 21):
            router = self.make()
            self.zone.add("mixture.test", MX=[[n, f"mx{n}.mixture.test"] for n in range(22)])
            for number in range(22):
                kinds = definite[number % len(definite)]
                if kinds:
                    self.zone.add(f"mx{number}.mixture.test", **kinds)
            assert isinstance(self.found(router, "mixture.test"), Failed)
            for failure in ("SERVFAIL", "REFUSED"):
                self.zone.fail(f"mx{place}.mixture.test", failure)
                assert isinstance(self.found(router, "mixture.test"), TryLater)

    def test_a_private_address_is_not_all_of_a_host_when_the_other_family_failed(self) -> None:
        router = self.make()
        self.zone.add("half.test", MX=[[10, "mx.half.test"]])
        self.zone.add("mx.half.test", AAAA=["fd00::5"], A=["192.0.2.1"])
        self.zone.fail_kind("mx.half.test", "A")
        routing = self.found(router, "half.test")
        assert isinstance(routing, TryLater)
        assert "SERVFAIL" in routing.text

    def test_the_networks_own_nat64_does_not_lead_to_private_addresses_or_ourselves(self) -> None:
        own = OwnSockets([("192.0.2.250", 25)])
        router = self.make(listening=own)
        self.zone.add("ipv4only.arpa", A=["192.0.0.170", "192.0.0.171"], AAAA=["2001:db8:64::c000:aa"])
        for name, inner in (
            ("inside", "10.0.0.5"),
            ("loop", "127.0.0.1"),
            ("ours", "192.0.2.250"),
            ("far", "8.8.8.8"),
        ):
            self.zone.add(f"{name}.nat64.test", AAAA=[f"2001:db8:64::{inner}"])
        for name, status in (("inside", "5.4.4"), ("loop", "5.4.4"), ("ours", "5.4.6")):
            routing = self.found(router, f"{name}.nat64.test")
            assert isinstance(routing, Failed)
            assert routing.status == status
        assert isinstance(self.found(router, "far.nat64.test"), Plan)
        assert isinstance(self.found(router, "[IPv6:2001:db8:64::a00:5]"), Failed)
        assert isinstance(self.found(router, "[IPv6:2001:db8:65::a00:5]"), Plan)

    def test_a_domain_with_more_hosts_than_are_looked_up_waits(self) -> None:
        router = self.make()
        self.zone.add("hundred.test", MX=[[n, f"mx{n}.hundred.test"] for n in range(100)])
        assert isinstance(self.found(router, "hundred.test"), TryLater)

    def test_a_short_mx_name_is_not_completed_from_the_search_list(self) -> None:
        router = self.make()
        self.zone.add("short.test", MX=[[10, "nomx"]])
        assert isinstance(self.found(router, "short.test"), Failed)

    def test_domains_at_one_place_share_a_destination(self) -> None:
        destination = self.plan("example.test").destination
        assert destination == "a.example.test,b.example.test,backup.example.test"
        assert self.plan("sister.test").destination == destination
        assert self.plan("nomx.test").destination == "nomx.test"

    def test_two_places_are_never_taken_for_one_however_many_hosts_they_share(self) -> None:
        router = self.make()
        shared: list[list[Any]] = [[10, f"a{n}.example.test"] for n in range(25)]
        for number in range(len(shared)):
            self.zone.add(f"a{number}.example.test", A=["192.0.2.1"])
        self.zone.add("victim.test", MX=shared)
        self.zone.add("sister.test", MX=shared[::-1])
        self.zone.add("evil.test", MX=[*shared, [1, "z.evil.test"]])
        self.zone.add("z.evil.test", A=["192.0.2.66"])
        plans = [self.found(router, domain) for domain in ("victim.test", "sister.test", "evil.test")]
        victim, sister, evil = (plan.destination for plan in plans if isinstance(plan, Plan))
        assert victim == sister != evil

    def test_a_destination_has_a_short_name_however_many_and_long_its_hosts_are(self) -> None:
        long = "x" * 63
        ours = [f"mx{n}.{long}.{long}.{long}.test" for n in range(20)]
        for count in (1, 2, 20):
            router = self.make()
            self.zone.add("long.test", MX=[[10, host] for host in ours[:count]])
            for host in ours:
                self.zone.add(host, A=["192.0.2.1"])
            plan = self.found(router, "long.test")
            assert isinstance(plan, Plan)
            assert plan.destination.startswith(ours[0])
            assert len(plan.destination) < 350
        assert f"{ours[0]} and 19 more (" in plan.destination

    def test_hosts_that_fit_are_all_named(self) -> None:
        router = self.make()
        hosts = [f"mx{n:03}.test" for n in range(MAX_DESTINATION_LENGTH // 11 + 1)]
        for host in hosts:
            self.zone.add(host, A=["192.0.2.1"])
        for count in (len(hosts) - 1, len(hosts)):
            self.zone.add(f"fits{count}.test", MX=[[10, host] for host in hosts[:count]])
        fits, more = (self.found(router, f"fits{count}.test") for count in (len(hosts) - 1, len(hosts)))
        assert isinstance(fits, Plan)
        assert isinstance(more, Plan)
        assert fits.destination == ",".join(hosts[:-1])
        assert len(more.destination) < MAX_DESTINATION_LENGTH


class TestOurselves(RouterCase):
    def test_the_relays_name_cuts_the_list_there(self) -> None:
        assert self.hosts("second.test") == ["a.example.test"]
        assert self.plan("second.test").destination == "a.example.test"

    def test_the_best_host_being_ourselves_is_a_loop(self) -> None:
        self.fails("ours.test", "5.4.6", "ours.test", "OTHER_HOSTNAMES")
        self.fails("relay.test", "5.4.6")
        self.fails("ours.test", "5.4.6", relay_domains=domain_list(["ours.test"]))

    def test_the_relays_address_and_port_cut_the_list_too(self) -> None:
        own = OwnSockets([("192.0.2.250", 25)])
        assert self.hosts("byaddress.test", listening=own) == ["a.example.test"]
        assert self.plan("byaddress.test", listening=own).destination == "a.example.test"
        self.fails("onlyaddress.test", "5.4.6", listening=own)
        assert isinstance(self.resolve("[192.0.2.250]", listening=own), Local)
        assert self.addresses("[192.0.2.250]", listening=own, port_out=26) == ["192.0.2.250"]
        assert self.hosts("onlyaddress.test", listening=own, port_out=26) == ["othername.test"]

    def test_a_name_whose_cnames_lead_to_the_relays_name_is_the_relay(self) -> None:
        router = self.make()
        self.zone.add("mx.sly.test", CNAME="hop.sly.test")
        self.zone.add("hop.sly.test", CNAME="relay.test")
        self.zone.add("sly.test", MX=[[10, "mx.sly.test"], [20, "a.example.test"]])
        self.zone.add("behind.test", MX=[[5, "nomx.test"], [10, "mx.sly.test"], [20, "a.example.test"]])
        self.zone.add("itself.test", CNAME="relay.test")
        for domain in ("sly.test", "itself.test"):
            routing = self.found(router, domain)
            assert isinstance(routing, Failed)
            assert routing.status == "5.4.6"
        plan = self.found(router, "behind.test")
        assert isinstance(plan, Plan)
        assert [route.host for route in plan.routes] == ["nomx.test"]

    def test_no_form_of_the_relays_address_is_delivered_to_even_for_a_relay_domain(self) -> None:
        own = OwnSockets([("127.0.0.1", 25), ("::1", 25), ("192.0.2.250", 25)])
        forms = ("127.0.0.1", "0.0.0.0", "192.0.2.250")
        forms6 = ("::1", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "::ffff:192.0.2.250", "64:ff9b::192.0.2.250")
        for number, address in enumerate((*forms, *forms6)):
            router = self.make(listening=own, private=True, relay_domains=domain_list(["*"]))
            self.zone.add("mx.loop.test", **{"AAAA" if ":" in address else "A": [address]})
            self.zone.add("loop.test", MX=[[number, "mx.loop.test"], [number, "nomx.test"], [99, "a.example.test"]])
            routing = self.found(router, "loop.test")
            assert isinstance(routing, Failed), address
            assert routing.status == "5.4.6", address

    def test_an_address_literal_of_this_host_is_local_by_address_and_port(self) -> None:
        own = OwnSockets([("0.0.0.0", 25)])
        assert isinstance(self.resolve("[127.0.0.1]", listening=own, private=True), Local)
        assert self.addresses("[127.0.0.1]", listening=own, private=True, port_out=26) == ["127.0.0.1"]


class TestPrivate(RouterCase):
    def test_private_addresses_are_refused_for_ordinary_domains(self) -> None:
        ordinary = domain_list([])
        self.fails("inside.test", "5.4.4", "PRIVATE_DESTINATIONS=allow", relay_domains=ordinary)
        self.fails("private.test", "5.4.4", "PRIVATE_DESTINATIONS=allow")
        self.fails("[10.0.0.5]", "5.4.4", "PRIVATE_DESTINATIONS=allow")
        self.fails("[IPv6:::1]", "5.4.4", "PRIVATE_DESTINATIONS=allow")

    def test_no_form_of_a_private_address_gets_mail_of_a_strangers_domain(self) -> None:
        for address in ("127.0.0.1", "0.0.0.0", "169.254.169.254", "::1", "::", "::ffff:127.0.0.1", "64:ff9b::7f00:1"):
            router = self.make()
            self.zone.add("sly.test", MX=[[1, "mx.sly.test"]])
            self.zone.add("mx.sly.test", **{"AAAA" if ":" in address else "A": [address]})
            routing = self.found(router, "sly.test")
            assert isinstance(routing, Failed), address
            assert routing.status == "5.4.4", address

    def test_only_the_public_addresses_of_a_list_are_left(self) -> None:
        assert self.addresses("mixed.test") == ["192.0.2.6"]

    def test_relay_domains_may_be_anywhere(self) -> None:
        assert set(self.addresses("inside.test")) == {"10.0.0.5", "fd00::5"}

    def test_all_may_be_anywhere_when_the_operator_says_so(self) -> None:
        assert set(self.addresses("private.test", private=True)) == {"10.0.0.5", "fd00::5"}
        assert self.addresses("[127.0.0.1]", private=True) == ["127.0.0.1"]


class TestLiterals(RouterCase):
    def test_an_address_literal_is_the_route(self) -> None:
        for domain, address in (("[192.0.2.1]", "192.0.2.1"), ("[IPv6:2001:db8::1]", "2001:db8::1")):
            [route] = self.plan(domain).routes
            assert (route.host, route.address, route.port) == (address, address, 25)
        assert self.plan("[192.0.2.1]").destination == "[192.0.2.1]"
        assert self.resolver.asked == []

    def test_an_ipv6_literal_fails_where_ipv6_is_off(self) -> None:
        self.fails("[IPv6:2001:db8::1]", "5.4.4", "DISABLE_IPV6", ipv6=False)


class TestMemory(RouterCase):
    def test_no_routing_is_cached_before_it_was_resolved(self) -> None:
        router = self.make()
        assert router.cached("example.test") is None
        found = self.found(router, "example.test")
        assert router.cached("example.test") is found

    def test_an_order_of_the_operator_forgets_all_routings(self) -> None:
        router = self.make()
        before = self.found(router, "example.test")
        router.forget()
        assert router.cached("example.test") is None
        self.zone.add("example.test", MX=[[10, "localhost"]])
        assert self.found(router, "example.test") != before

    def test_a_plan_is_good_as_long_as_the_shortest_answer_and_no_longer_than_a_minute(self) -> None:
        router = self.make()
        self.zone.add("backup.example.test", TTL=7)
        self.found(router, "example.test")
        self.found(router, "nomx.test")
        self.clock.advance(6.9)
        assert router.cached("example.test") is not None
        self.clock.advance(0.1)
        assert router.cached("example.test") is None
        self.clock.advance(MAX_PLAN_TTL - 7.1)
        assert router.cached("nomx.test") is not None
        self.clock.advance(0.1)
        assert router.cached("nomx.test") is None

    def test_a_failure_is_believed_for_a_few_seconds(self) -> None:
        router = self.make()
        self.found(router, "broken.test")
        assert isinstance(router.cached("broken.test"), TryLater)
        self.clock.advance(FAILURE_TTL)
        assert router.cached("broken.test") is None
