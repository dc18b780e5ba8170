"""The other way that an operator orders for one attempt: its grammar, and the routes that it gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.message.outcome import TryLater
from mta.routing.carriage import Carriage
from mta.routing.choice import Reroute, read_way
from mta.routing.private_addresses import OwnSockets
from mta.routing.route import Credentials, Local, Plan, Smarthost, TlsRule
from tests.routing.test_choices import ChoiceCase

LOGIN = Smarthost((("nomx.test", 587),), TlsRule.VERIFY, Credentials("user", "secret"), client_certificate=True)


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("mx", "mx"),
        (" Smarthost ", "smarthost"),
        ("Mail.Example.Net:25", "mail.example.net:25"),
        ("192.0.2.1:587", "192.0.2.1:587"),
        ("[192.0.2.1]:587", "192.0.2.1:587"),
        ("[2001:DB8:0::1]:25", "[2001:db8::1]:25"),
        ("localhost:65535", "localhost:65535"),
    ],
)
def test_a_way_is_kept_in_one_form(text, way):
    assert read_way(text) == way
    assert read_way(way) == way


@pytest.mark.parametrize(
    "text",
    [
        *("", "mail.example.net", "mail.example.net:", "mail.example.net:0", "mail.example.net:65536", "a b:25"),
        *("a..b:25", "-a:25", "a:25:25", "2001:db8::1:25", "[a.test]:25", "[::g]:25", "user@a.test:25", "ä.test:25"),
    ],
)
def test_anything_else_is_refused_with_the_forms(text):
    with pytest.raises(ValueError, match="mx, smarthost or HOST:PORT"):
        read_way(text)


@given(st.text(max_size=40))
def test_any_text_is_a_way_or_is_refused(text):
    try:
        way = read_way(text)
    except ValueError:
        return
    assert read_way(way) == way
    assert way.isascii()


class TestRoutes(ChoiceCase):
    def test_the_smarthost_of_the_settings_keeps_its_login_and_its_connections(self) -> None:
        router = self.make(smarthost=LOGIN)
        plan = self.plan_of(router, "example.test", Reroute("smarthost"))
        assert plan == self.plan_of(router, "example.test", None)
        assert plan.routes[0].credentials == LOGIN.credentials

    def test_mx_is_that_of_the_recipients_domain(self) -> None:
        router = self.make(smarthost=LOGIN)
        plan = self.plan_of(router, "nomx.test", Reroute("mx"))
        assert [(route.address, route.port, route.credentials) for route in plan.routes] == [("192.0.2.4", 25, None)]
        assert router.cached("nomx.test", Reroute("mx")) is plan

    def test_a_named_host_gets_no_login_even_if_it_is_the_smarthost(self) -> None:
        router = self.make(smarthost=LOGIN)
        plan = self.plan_of(router, "example.test", Reroute("nomx.test:587"))
        (route,) = plan.routes
        assert (route.host, route.address, route.port, route.tls) == (
            "nomx.test",
            "192.0.2.4",
            587,
            TlsRule.OPPORTUNISTIC,
        )
        assert route.credentials is None
        assert route.smarthost is not None
        assert not route.smarthost.client_certificate
        assert plan.destination == "nomx.test:587"
        assert plan.destination != self.plan_of(router, "example.test", None).destination

    def test_the_tls_of_direct_delivery_and_of_rules_holds_for_a_named_host(self) -> None:
        router = self.make(tls=TlsRule.REQUIRE)
        assert self.plan_of(router, "example.test", Reroute("nomx.test:465")).routes[0].tls is TlsRule.REQUIRE
        asked = []

        def carriage_of(domain: str, smarthost: str, hosts: tuple[str, ...]) -> Carriage:
            asked.append((domain, smarthost, hosts))
            return Carriage(places=("r.toml:1",), apart=("r.toml:1",), tls=TlsRule.VERIFY)

        router.use(carriage_of)
        (route,) = self.plan_of(router, "example.test", Reroute("nomx.test:465")).routes
        assert (route.tls, route.implicit_tls) == (TlsRule.VERIFY, True)
        assert asked == [("example.test", "nomx.test:465", ("nomx.test",))]

    def test_private_addresses_are_for_named_hosts_and_not_for_mx(self) -> None:
        router = self.make()
        assert self.plan_of(router, "example.test", Reroute("10.0.0.5:25")).routes[0].address == "10.0.0.5"
        assert not isinstance(self.chosen(router, "private.test", Reroute("mx")), Plan)

    def test_the_relay_itself_is_no_way(self) -> None:
        router = self.make(listening=OwnSockets([("192.0.2.250", 25)]))
        routing = self.chosen(router, "example.test", Reroute("relay.test:25"))
        assert isinstance(routing, TryLater)
        assert "check the order reroute to relay.test:25" in routing.text

    def test_an_order_that_cannot_be_followed_is_an_attempt_that_failed_for_now(self) -> None:
        router = self.make()
        for order, words in ((Reroute("smarthost"), "there is no SMARTHOST_ADDRESS"), (Reroute("?"), "HOST:PORT")):
            routing = self.chosen(router, "example.test", order)
            assert isinstance(routing, TryLater)
            assert words in routing.text
            assert router.cached("example.test", order) == routing

    def test_a_local_domain_stays_local(self) -> None:
        assert self.make().cached("local.test", Reroute("nomx.test:25")) == Local()
