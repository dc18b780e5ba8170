"""Routing to a smarthost: order of hosts, credentials, TLS, and failures that keep mail queued."""

from typing import Any

from mta.message.outcome import ErrorKind, TryLater
from mta.routing.private_addresses import OwnSockets
from mta.routing.route import Credentials, Local, Plan, Route, Smarthost, TlsRule
from mta.routing.router import MailRouter
from tests.routing.test_router import RouterCase

PASSWORD = Credentials("user", "secret")


class SmarthostCase(RouterCase):
    def through(self, *hosts: tuple[str, int], rules: dict[str, Any] | None = None, **options: Any) -> MailRouter:
        smarthost = Smarthost(hosts, options.pop("tls", TlsRule.VERIFY), **options)
        return self.make(smarthost=smarthost, **(rules or {}))

    def routes(self, router: MailRouter) -> tuple[Route, ...]:
        routing = self.found(router, "anything.invalid")
        assert isinstance(routing, Plan), routing
        assert routing.destination == "smarthost"
        return routing.routes

    def waits(self, router: MailRouter, status: str, *words: str) -> None:
        routing = self.found(router, "anything.invalid")
        assert isinstance(routing, TryLater), routing
        assert routing.status == status
        assert (routing.kind is ErrorKind.DNS) is (status in {"4.4.3", "4.4.4"})
        for word in words:
            assert word in routing.text


class TestPlan(SmarthostCase):
    def test_all_mail_but_local_goes_there_relay_domains_and_literals_too(self) -> None:
        router = self.through(("nomx.test", 587))
        for domain in ("example.test", "second.test", "nowhere.invalid", "[192.0.2.9]", "null.test"):
            routing = self.found(router, domain)
            assert isinstance(routing, Plan)
            assert [route.label for route in routing.routes] == ["nomx.test[192.0.2.4]:587"]
            assert router.cached("never.seen.test") is routing
        assert self.found(router, "local.test") == router.cached("") == Local()
        assert all(name == "nomx.test" for name, _ in self.resolver.asked)

    def test_hosts_come_in_the_order_written(self) -> None:
        for hosts in (
            (("nomx.test", 25), ("backup.example.test", 26)),
            (("backup.example.test", 26), ("nomx.test", 25)),
        ):
            assert [(route.host, route.port) for route in self.routes(self.through(*hosts))] == list(hosts)

    def test_a_host_is_looked_up_by_address_and_never_by_mx(self) -> None:
        self.routes(self.through(("a.example.test", 25)))
        assert {kind for _, kind in self.resolver.asked} == {"A", "AAAA"}

    def test_an_address_needs_no_look_up_and_may_be_private(self) -> None:
        for host, address in (("10.0.0.9", "10.0.0.9"), ("[2001:DB8::1]", "2001:db8::1"), ("127.0.0.1", "127.0.0.1")):
            [route] = self.routes(self.through((host, 25)))
            assert (route.host, route.address) == (address, address)
        assert self.resolver.asked == []

    def test_a_host_that_is_found_is_enough(self) -> None:
        routes = self.routes(self.through(("broken.test", 25), ("gone.test", 25), ("nomx.test", 25)))
        assert [route.host for route in routes] == ["nomx.test"]

    def test_addresses_are_bounded(self) -> None:
        routes = self.routes(self.through(("one.test", 25), ("nomx.test", 25)))
        assert len(routes) == 10
        assert routes[-1].host == "nomx.test"

    def test_a_final_dot_is_not_part_of_the_name_to_prove(self) -> None:
        assert self.routes(self.through(("nomx.test.", 25)))[0].host == "nomx.test"

    def test_a_short_name_is_completed_from_the_search_list(self) -> None:
        [route] = self.routes(self.through(("nomx", 25)))
        assert (route.host, route.address) == ("nomx", "192.0.2.4")

    def test_port_out_does_not_matter(self) -> None:
        assert self.routes(self.through(("nomx.test", 587), rules={"port_out": 2525}))[0].port == 587


class TestTrouble(SmarthostCase):
    def test_a_name_that_is_not_found_never_bounces_mail(self) -> None:
        self.waits(self.through(("gone.invalid", 25)), "4.4.4", "gone.invalid", "SMARTHOST_ADDRESS")
        self.waits(self.through(("empty.test", 25)), "4.4.4", "empty.test")
        self.waits(self.through(("broken.test", 25), ("gone.invalid", 25)), "4.4.3", "broken.test", "SERVFAIL")

    def test_a_smarthost_that_is_the_relay_itself_gets_no_mail(self) -> None:
        own = {"listening": OwnSockets([("192.0.2.4", 25)])}
        self.waits(self.through(("nomx.test", 25), rules=own), "4.4.6", "SMARTHOST_ADDRESS")
        assert self.routes(self.through(("nomx.test", 26), rules=own))

    def test_ipv6_is_not_used_where_it_is_off(self) -> None:
        off = {"ipv6": False}
        assert [r.address for r in self.routes(self.through(("a.example.test", 25), rules=off))] == ["192.0.2.1"]
        self.waits(self.through(("2001:db8::1", 25), rules=off), "4.4.6", "IPv6")


class TestSecurity(SmarthostCase):
    def _logs_in(self, host: str, *aliases: str) -> bool:
        router = self.through((host, 25), credentials=PASSWORD, aliases=aliases or None)
        found = {route.credentials for route in self.routes(router)}
        return found == {PASSWORD}

    def _withheld(self, *hosts: tuple[str, int], aliases: tuple[str, ...]) -> str:
        router = self.through(*hosts, credentials=PASSWORD, aliases=aliases)
        self.waits(router, "4.7.0", "SMARTHOST_ALIASES", "mail stays queued")
        routing = self.found(router, "anything.invalid")
        assert isinstance(routing, TryLater)
        return routing.text

    def test_the_password_goes_to_the_configured_host_when_no_alias_is_set(self) -> None:
        assert self._logs_in("nomx.test")
        assert self._logs_in("192.0.2.77")

    def test_the_password_goes_to_hosts_that_match_before_or_after_cnames(self) -> None:
        assert self._logs_in("alias.test", "alias.test")
        assert self._logs_in("alias.test", "*.example.test")
        assert self._logs_in("ALIAS.test", "x.test", "Alias.Test")
        assert self._logs_in("192.0.2.77", "192.0.2.77")
        assert self._logs_in("192.0.2.77", "*")

    def test_mail_waits_rather_than_go_without_the_login_that_no_host_may_be_given(self) -> None:
        text = self._withheld(("alias.test", 25), aliases=("*.other.test",))
        assert "does not match alias.test or " in text
        self._withheld(("192.0.2.77", 25), aliases=("*.example.test",))
        self._withheld(("nomx.test", 25), ("alias.test", 25), aliases=("*.other.test",))

    def test_routes_are_known_to_lead_to_the_smarthost(self) -> None:
        assert all(route.smarthost for route in self.routes(self.through(("nomx.test", 25))))

    def test_each_host_is_judged_by_itself(self) -> None:
        router = self.through(
            ("nomx.test", 25), ("backup.example.test", 25), credentials=PASSWORD, aliases=("*.example.test",)
        )
        assert [route.credentials for route in self.routes(router)] == [None, PASSWORD]

    def test_the_tls_rule_is_the_smarthosts(self) -> None:
        for rule in TlsRule:
            assert self.routes(self.through(("nomx.test", 587), tls=rule))[0].tls is rule

    def test_tls_begins_at_once_on_465_and_2465_unless_turned_off(self) -> None:
        router = self.through(("nomx.test", 465), ("nomx.test", 2465), ("nomx.test", 587), tls=TlsRule.OPPORTUNISTIC)
        assert [route.implicit_tls for route in self.routes(router)] == [True, True, False]
        assert not self.routes(self.through(("nomx.test", 465), tls=TlsRule.NONE))[0].implicit_tls

    def test_an_explicit_setting_of_implicit_tls_overrides_the_port(self) -> None:
        hosts = (("nomx.test", 465), ("nomx.test", 587))
        assert [route.implicit_tls for route in self.routes(self.through(*hosts, implicit_tls=True))] == [True, True]
        assert [route.implicit_tls for route in self.routes(self.through(*hosts, implicit_tls=False))] == [False, False]
