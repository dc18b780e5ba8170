"""The hints about a smarthost of a rule, which name the place in the rules file and no variable of the settings."""

from dataclasses import replace

import pytest

from mta.delivery.replies.hints import operator_hint
from mta.delivery.replies.smarthost_refusals import Blame, OwnSmarthost
from mta.routing.route import Credentials, Route, Smarthost, TlsRule
from mta.smtp.client.dialogue import FailureKind, SessionFailure
from mta.tls.client import Fault
from tests.delivery.replies.test_smarthost_refusals import ABOUT_US, said

PLACE = "[smarthost.office] in 20-routes.toml:1"
LOGIN = Credentials("the-user", "the-password", PLACE)
OFFICE = Smarthost((("smtp.x.test", 587),), TlsRule.VERIFY, LOGIN, name="office", place=PLACE)
ROUTE = Route("smtp.x.test", "192.0.2.1", 587, TlsRule.VERIFY, credentials=LOGIN, smarthost=OFFICE)
BARE = replace(ROUTE, credentials=None, smarthost=replace(OFFICE, credentials=None))
LISTED = replace(BARE, smarthost=Smarthost(OFFICE.hosts, TlsRule.VERIFY, name="h:587", place="the rule in r.toml:7"))
DIRECT = Route("mx.test", "192.0.2.1", 25, TlsRule.VERIFY, preference=10, tls_place="30-tls.toml:1")


def hint(kind: FailureKind, route: Route, text: str = "x", fault: Fault = Fault.UNUSABLE) -> str:
    whole = operator_hint(SessionFailure(kind, "4.7.0", text), route, fault).text
    assert "the-" not in whole
    return whole


@pytest.mark.parametrize("kind", FailureKind)
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("route", [ROUTE, BARE, LISTED, DIRECT])
def test_no_variable_of_the_smarthost_is_named(kind: FailureKind, fault: Fault, route: Route) -> None:
    if route is ROUTE or kind not in (FailureKind.LOGIN_REFUSED, FailureKind.NO_MECHANISM):
        assert "SMARTHOST" not in hint(kind, route, fault=fault)


@pytest.mark.parametrize("route", [ROUTE, BARE, LISTED])
@pytest.mark.parametrize("found", Blame)
def test_no_variable_is_named_for_a_refusal(route: Route, found: Blame) -> None:
    line = next(row[0] for row in ABOUT_US if row[1] is found)
    assert route.smarthost is not None
    advice = OwnSmarthost(route, route.smarthost).advice(said(line), to_mail=False)
    assert advice
    assert "SMARTHOST" not in advice


@pytest.mark.parametrize(
    ("kind", "route", "words"),
    [
        (FailureKind.LOGIN_REFUSED, ROUTE, f"Check user and password of {PLACE}"),
        (FailureKind.NO_TLS, ROUTE, f'TLS is required by tls = "verify" of {PLACE}, but: x'),
        (FailureKind.NO_TLS, ROUTE, f'only tls = "opportunistic" of {PLACE} sends mail and password in clear'),
        (FailureKind.NO_TLS, LISTED, 'only tls = "opportunistic" of the rule in r.toml:7 sends mail in clear'),
        (FailureKind.NO_TLS, DIRECT, 'TLS is required by tls = "verify" of 30-tls.toml:1, but: x'),
        (FailureKind.NO_MECHANISM, ROUTE, f"or unset user and password of {PLACE}"),
        (FailureKind.LOOPS_BACK, ROUTE, f"Correct the DNS or hosts of {PLACE}, or give"),
        (FailureKind.LOOPS_BACK, DIRECT, "Correct the DNS, or give"),
        (FailureKind.NOT_TRUSTED, ROUTE, f'; tls = "require" of {PLACE} takes any certificate'),
    ],
)
def test_the_place_is_named(kind: FailureKind, route: Route, words: str) -> None:
    assert words in hint(kind, route)


def test_the_tls_of_a_transport_rule_is_not_taken_for_that_of_the_smarthost() -> None:
    assert 'by tls = "verify" of 30-tls.toml:1, but' in hint(
        FailureKind.NO_TLS, replace(BARE, tls_place="30-tls.toml:1")
    )


def test_the_entry_of_tls_policy_is_named() -> None:
    route = replace(DIRECT, tls_place="TLS_POLICY=*.a.test=verify")
    said = hint(FailureKind.NO_TLS, route)
    assert "TLS is required by TLS_POLICY=*.a.test=verify, but" in said
    assert "only TLS_POLICY=*.a.test=opportunistic sends mail in clear" in said
    assert "; TLS_POLICY=*.a.test=require takes any certificate" in hint(FailureKind.NOT_TRUSTED, route)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.UNKNOWN_ISSUER, f"Name its authority in ca_file of {PLACE}"),
        (Fault.SELF_SIGNED, f"name the certificate in ca_file of {PLACE}"),
        (Fault.OTHER_NAME, f"set hosts of {PLACE} to it"),
    ],
)
def test_the_keys_for_a_certificate_are_named(fault: Fault, words: str) -> None:
    assert words in hint(FailureKind.NOT_TRUSTED, ROUTE, fault=fault)


@pytest.mark.parametrize(
    ("route", "line", "words"),
    [
        (ROUTE, "535 5.7.8 no", f"check user and password of {PLACE}"),
        (ROUTE, "550 5.7.60 SendAsDenied", f"the account in user of {PLACE}"),
        (BARE, "530 5.7.0 Authentication required", f"set user and password_file of {PLACE}"),
        (LISTED, "530 5.7.0 Authentication required", "write a [smarthost.NAME] with user and password_file"),
        (BARE, "550 5.7.0 Must issue a STARTTLS command first", f'set tls = "require" of {PLACE}, and in hosts the'),
    ],
)
def test_the_keys_for_a_refusal_are_named(route: Route, line: str, words: str) -> None:
    assert route.smarthost is not None
    assert words in OwnSmarthost(route, route.smarthost).advice(said(line), to_mail=False)


def test_what_only_the_smarthost_of_the_settings_has_is_said_so() -> None:
    offered = "no usable login mechanism: offered XOAUTH2; usable PLAIN"
    assert "only the smarthost of SMARTHOST_ADDRESS logs in with them" in hint(FailureKind.NO_MECHANISM, ROUTE, offered)
    demanded = "the host demands a client certificate"
    assert "A certificate is shown to the host of SMARTHOST_ADDRESS only" in hint(
        FailureKind.TLS_FAILED, ROUTE, demanded
    )
