"""A plan as the carriage of rules wants it: TLS, port and address families of its routes."""

from dataclasses import replace

import pytest

from mta.message.outcome import TryLater
from mta.routing.carriage import Carriage, carried
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.private_addresses import OwnSockets
from mta.routing.route import Credentials, Plan, Route, TlsRule
from mta.routing.rules import RouterRules
from mta.smtp.domains import domain_list
from tests.fakes.smarthosts import SMARTHOST

RULES = RouterRules("relay.test", domain_list([]), domain_list([]), listening=OwnSockets([("192.0.2.1", 2525)]))
MX = (Route("mx.test", "192.0.2.1", 25), Route("mx.test", "2001:db8::1", 25))
OWN = Route("smtp.test", "192.0.2.1", 465, TlsRule.VERIFY, implicit_tls=True, smarthost=SMARTHOST)
WITH_LOGIN = replace(OWN, credentials=Credentials("u", "p"))
PLACES = ("r.toml:1",)


def routes(carriage: Carriage, *given: Route) -> tuple[Route, ...]:
    plan = carried(Plan("mx.test", given), carriage, RULES)
    assert isinstance(plan, Plan)
    assert plan.carriage is carriage
    return plan.routes


def test_an_empty_carriage_changes_no_route() -> None:
    assert routes(Carriage(places=PLACES), *MX, OWN, WITH_LOGIN) == (*MX, OWN, WITH_LOGIN)


@pytest.mark.parametrize("rule", TlsRule)
def test_the_tls_rule_holds_for_routes_without_login(rule: TlsRule) -> None:
    found = routes(Carriage(tls=rule, places=("r.toml:1", "s.toml:2")), *MX)
    place = "" if rule is MX[0].tls else "r.toml:1 and s.toml:2"
    assert [(route.tls, route.tls_place) for route in found] == [(rule, place)] * 2


def test_a_login_is_never_protected_less_than_its_smarthost_demands() -> None:
    for rule in TlsRule:
        assert routes(Carriage(tls=rule), WITH_LOGIN) == (WITH_LOGIN,)
    lax = replace(WITH_LOGIN, tls=TlsRule.OPPORTUNISTIC)
    strict = routes(Carriage(tls=TlsRule.VERIFY, places=PLACES), lax)[0]
    assert (strict.tls, strict.tls_place) == (TlsRule.VERIFY, "r.toml:1")


@pytest.mark.parametrize("enforced", [True, False])
def test_no_rule_lifts_the_demand_of_a_domain(enforced: bool) -> None:
    # Of direct delivery, so that nothing but the proof keeps the TLS.
    demanded = replace(MX[0], proof=Proof(ProofSource.STS, "a.test", ("mx.test",), enforced=enforced))
    assert demanded.tls is TlsRule.OPPORTUNISTIC
    for rule in (TlsRule.NONE, TlsRule.OPPORTUNISTIC):
        assert routes(Carriage(tls=rule, places=PLACES), demanded) == (demanded,)
    assert routes(Carriage(tls=TlsRule.VERIFY), demanded)[0].tls is TlsRule.VERIFY


def test_an_entry_of_tls_policy_is_never_weakened() -> None:
    entry = "TLS_POLICY=a.test=require"
    demanded = replace(MX[0], tls=TlsRule.REQUIRE, tls_place=entry)
    for rule in (TlsRule.NONE, TlsRule.OPPORTUNISTIC, TlsRule.REQUIRE, None):
        assert routes(Carriage(tls=rule, places=PLACES), demanded) == (demanded,)
    [strict] = routes(Carriage(tls=TlsRule.VERIFY, places=PLACES), demanded)
    assert (strict.tls, strict.tls_place) == (TlsRule.VERIFY, "r.toml:1")
    [lifted] = routes(Carriage(tls=TlsRule.OPPORTUNISTIC), replace(demanded, tls=TlsRule.NONE))
    assert lifted.tls is TlsRule.OPPORTUNISTIC


def test_the_plan_stays_that_of_its_domain() -> None:
    plan = Plan("mx.test", MX, domain="a.test")
    assert carried(plan, Carriage(apart=PLACES), RULES) == replace(
        plan, destination="mx.test (r.toml:1)", carriage=Carriage(apart=PLACES)
    )


def test_without_tls_no_session_begins_with_it() -> None:
    [route] = routes(Carriage(tls=TlsRule.NONE), OWN)
    assert not route.implicit_tls


def test_the_port_is_that_of_mx_hosts_only() -> None:
    assert [route.port for route in routes(Carriage(port=26), *MX, OWN)] == [26, 26, 465]


def test_routes_to_the_relay_itself_are_left_out() -> None:
    assert [route.address for route in routes(Carriage(port=2525), *MX)] == ["2001:db8::1"]
    plan = carried(Plan("mx.test", MX[:1]), Carriage(port=2525, places=PLACES), RULES)
    assert isinstance(plan, TryLater)
    assert plan.text == "mx.test, port 2525, is this relay itself: check r.toml:1"


def test_ipv6_can_be_left_out() -> None:
    assert routes(Carriage(ipv6=False), *MX) == MX[:1]
    assert routes(Carriage(ipv6=True), *MX) == MX
    plan = carried(Plan("mx.test", MX[1:]), Carriage(ipv6=False, places=PLACES), RULES)
    assert isinstance(plan, TryLater)
    assert plan.text == "mx.test is an IPv6 address while IPv6 is off: check r.toml:1"
