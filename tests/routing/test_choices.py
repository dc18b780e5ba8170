"""Routing by the choice of an operator's rule: another domain's MX, smarthosts, no host, and what is cached of it."""

from typing import Any

from twisted.internet.defer import Deferred

from mta.message.outcome import ErrorKind, Failed, TryLater
from mta.routing.carriage import Carriage
from mta.routing.choice import Discard, Fail, MxOf, RouteChoice, ViaSmarthost
from mta.routing.private_addresses import OwnSockets
from mta.routing.route import Credentials, Local, Plan, Routing, Smarthost, TlsRule
from mta.routing.router import MailRouter
from tests.routing.test_router import RouterCase

DEFAULT = Smarthost((("nomx.test", 587),), TlsRule.VERIFY)
OFFICE = Smarthost(
    (("a.example.test", 587),),
    TlsRule.VERIFY,
    Credentials("office", "secret", "[smarthost.office] in 20-routes.toml:1"),
    name="office",
    place="[smarthost.office] in 20-routes.toml:1",
)
SALES = Smarthost(OFFICE.hosts, TlsRule.VERIFY, Credentials("sales", "other"), name="sales")
HOSTS = Smarthost(
    (("backup.example.test", 25),), TlsRule.OPPORTUNISTIC, name="backup.example.test:25", place="the rule in r.toml:7"
)


class ChoiceCase(RouterCase):
    def chosen(self, router: MailRouter, domain: str, choice: RouteChoice | None) -> Routing:
        return self.successResultOf(Deferred.fromCoroutine(router.resolve(domain, choice)))

    def plan_of(self, router: MailRouter, domain: str, choice: RouteChoice | None) -> Plan:
        routing = self.chosen(router, domain, choice)
        assert isinstance(routing, Plan), routing
        return routing


class TestChoices(ChoiceCase):
    def test_a_local_domain_stays_local(self) -> None:
        router = self.make()
        for choice in (MxOf(), MxOf("example.test"), ViaSmarthost(OFFICE), Discard(), Fail("no")):
            for domain in ("local.test", ""):
                assert router.cached(domain, choice) == self.chosen(router, domain, choice) == Local()
        assert self.resolver.asked == []

    def test_a_domain_goes_to_its_own_mx_although_there_is_a_smarthost(self) -> None:
        router = self.make(smarthost=DEFAULT)
        assert self.plan_of(router, "example.test", None).destination == "smarthost"
        assert self.plan_of(router, "sister.test", MxOf()).destination.startswith("a.example.test,")
        assert router.cached("sister.test", MxOf("sister.test")) is router.cached("sister.test", MxOf())
        assert self.plan_of(router, "sister.test", None).destination == "smarthost"

    def test_a_domain_goes_to_the_mx_of_another(self) -> None:
        router = self.make()
        plan = self.plan_of(router, "gone.invalid", MxOf("nomx.test"))
        assert [route.address for route in plan.routes] == ["192.0.2.4"]
        assert router.cached("elsewhere.test", MxOf("nomx.test")) is plan
        assert router.cached("nomx.test") is plan
        assert router.cached("gone.invalid") is None

    def test_mail_waits_if_the_domain_that_a_rule_names_takes_no_mail(self) -> None:
        router = self.make()
        for domain in ("example.test", "gone.invalid"):
            routing = self.chosen(router, domain, MxOf("gone.invalid"))
            assert routing == router.cached(domain, MxOf("gone.invalid"))
            assert routing == TryLater(
                "domain gone.invalid does not exist: correct mx in the rule", status="4.1.2", kind=ErrorKind.DNS
            )
        # A recipient's own domain fails, with and without a rule.
        for choice in (None, MxOf()):
            assert isinstance(self.chosen(router, "gone.invalid", choice), Failed)

    def test_a_domain_goes_to_a_smarthost_with_its_login_and_place(self) -> None:
        for smarthost in (None, DEFAULT):
            router = self.make(smarthost=smarthost)
            plan = self.plan_of(router, "gone.invalid", ViaSmarthost(OFFICE))
            assert plan.destination == "office"
            assert {(route.host, route.credentials, route.smarthost) for route in plan.routes} == {
                ("a.example.test", OFFICE.credentials, OFFICE)
            }
            assert router.cached("other.test", ViaSmarthost(OFFICE)) is plan
            assert router.cached("other.test") is None

    def test_smarthosts_with_the_same_hosts_have_destinations_and_logins_of_their_own(self) -> None:
        router = self.make()
        plans = [self.plan_of(router, "gone.invalid", ViaSmarthost(each)) for each in (OFFICE, SALES)]
        assert [plan.destination for plan in plans] == ["office", "sales"]
        assert [{route.credentials for route in plan.routes} for plan in plans] == [
            {OFFICE.credentials},
            {SALES.credentials},
        ]
        assert self.plan_of(router, "a.example.test", None).destination not in ("office", "sales")

    def test_hosts_of_a_rule_get_the_mail_by_address_although_it_is_private(self) -> None:
        router = self.make()
        self.zone.add("inner.test", A=["10.0.0.7"])
        inner = Smarthost((("inner.test", 2525), ("[2001:db8::9]", 26)), TlsRule.REQUIRE, name="inner.test:2525")
        plan = self.plan_of(router, "anything.test", ViaSmarthost(inner))
        assert [route.label for route in plan.routes] == ["inner.test[10.0.0.7]:2525", "2001:db8::9[2001:db8::9]:26"]
        assert not any(kind == "MX" for _, kind in self.resolver.asked)

    def test_trouble_names_the_place_of_the_rule(self) -> None:
        router = self.make(listening=OwnSockets([("192.0.2.9", 25)]))
        routing = self.chosen(router, "x.test", ViaSmarthost(HOSTS))
        assert isinstance(routing, TryLater)
        assert routing.text.endswith("check the rule in r.toml:7")

    def test_mail_for_no_host_needs_no_look_up(self) -> None:
        router = self.make()
        for carriage_of in (None, lambda *_: Carriage(connections=1)):
            router.use(carriage_of)
            for choice in (Discard(), Fail("no such project", "5.1.1")):
                assert router.cached("example.test", choice) is self.chosen(router, "example.test", choice) is choice
        assert self.resolver.asked == []


class TestChange(ChoiceCase):
    def test_all_routings_are_forgotten_with_the_rules(self) -> None:
        router = self.make()
        self.plan_of(router, "nomx.test", None)
        self.plan_of(router, "nomx.test", ViaSmarthost(OFFICE))
        router.use(None)
        assert router.cached("nomx.test") is None
        assert router.cached("nomx.test", ViaSmarthost(OFFICE)) is None

    def test_a_look_up_of_before_the_change_is_neither_cached_nor_shared_afterwards(self) -> None:
        router = self.make()
        slow: Deferred[Any] = Deferred()
        answer = self.resolver.mx
        self.patch(self.resolver, "mx", lambda _: slow)
        before = Deferred.fromCoroutine(router.resolve("nomx.test"))
        router.use(lambda *_: Carriage(places=("r.toml:1",), connections=1))
        self.patch(self.resolver, "mx", answer)
        assert self.plan_of(router, "nomx.test", None).carriage is not None
        slow.callback(self.successResultOf(Deferred.fromCoroutine(_awaited(answer("nomx.test")))))
        early = self.successResultOf(before)
        assert isinstance(early, Plan)
        assert early.carriage is None
        cached = router.cached("nomx.test")
        assert isinstance(cached, Plan)
        assert cached.carriage is not None


async def _awaited(answer: Any) -> Any:
    return await answer


class TestCarriage(ChoiceCase):
    def test_rules_are_asked_about_the_domain_the_smarthost_and_the_hosts(self) -> None:
        router, asked = self.make(), []
        router.use(lambda *question: asked.append(question))
        plan = self.plan_of(router, "nomx.test", None)
        assert plan.carriage is None
        assert plan.destination == "nomx.test"
        self.plan_of(router, "x.test", ViaSmarthost(OFFICE))
        assert asked == [("nomx.test", "", ("nomx.test",)), ("x.test", "office", ("a.example.test",))]

    def test_a_domain_with_a_carriage_has_a_destination_of_its_own(self) -> None:
        router = self.make()
        slowly = Carriage(places=("30-pace.toml:1", "40.toml:2"), apart=("30-pace.toml:1",), connections=1)
        router.use(lambda domain, *_: slowly if domain == "sister.test" else None)
        apart, plain = self.plan_of(router, "sister.test", None), self.plan_of(router, "example.test", None)
        assert apart.carriage is slowly
        assert apart.destination == f"{plain.destination} (30-pace.toml:1)"
        assert router.cached("sister.test") is apart
        assert router.cached("example.test") is plain

    def test_domains_of_one_smarthost_are_told_apart_too(self) -> None:
        router = self.make(smarthost=DEFAULT)
        slowly = Carriage(places=("r.toml:1",), apart=("r.toml:1",), connections=1)
        router.use(lambda domain, *_: slowly if domain == "slow.test" else None)
        found = [self.plan_of(router, domain, None) for domain in ("slow.test", "fast.test", "faster.test")]
        assert [plan.destination for plan in found] == ["smarthost (r.toml:1)", "smarthost", "smarthost"]

    def test_a_carriage_of_the_hosts_alone_is_one_plan_for_all_domains_of_a_smarthost(self) -> None:
        router = self.make(smarthost=DEFAULT)
        router.use(lambda *_: Carriage(places=("SEND_RATE",), connections=1), by_domain=False)
        plan = self.plan_of(router, "one.test", None)
        assert router.cached("two.test") is plan
        assert plan.destination == "smarthost"
        assert plan.carriage == Carriage(places=("SEND_RATE",), connections=1)
