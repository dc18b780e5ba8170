"""The addresses of hosts that a stranger has named: every form of a private one is refused, and the relay itself."""

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from harness.zone import Zone, ZoneResolver
from mta.dns.answers import Found
from mta.https.client import HttpsClient, HttpsOptions
from mta.https.interface import HostUnknown, HttpsError
from mta.https.strangers_hosts import StrangersHosts
from mta.routing.nat64 import Nat64
from mta.routing.private_addresses import OwnSockets
from tests.drivers.https_servers import FixedResolver
from tests.routing.test_nat64 import FORMS
from tests.routing.test_private_addresses import PRIVATE, PUBLIC

# The network translates 64:ff9b:1::/96 and, as a prefix of its own, 2001:db8:122:344::/96.
ZONE = Zone({"ipv4only.arpa": {"A": ["192.0.0.170"], "AAAA": ["2001:db8:122:344::c000:aa"]}})


def hosts(*listening: tuple[str, int]) -> StrangersHosts:
    return StrangersHosts(None, OwnSockets(listening))


def translating(*listening: tuple[str, int]) -> StrangersHosts:
    return StrangersHosts(Nat64(ZoneResolver(ZONE), Clock().seconds), OwnSockets(listening))


def connections_for(address: str, judge: StrangersHosts) -> list[tuple[str, int]]:
    """Return the connections that a request to a host with this address opens."""
    reactor = MemoryReactorClock()
    options = HttpsOptions(refuses=judge.refuses, prepare=judge.refresh)
    client = HttpsClient(reactor, FixedResolver(Found((address,), 60.0, "a.test")), options)
    asking = Deferred.fromCoroutine(client.request("GET", "https://a.test/", {}, limit=100))
    asking.addErrback(lambda failure: failure.trap(HttpsError, CancelledError))
    opened = [(host, port) for host, port, *_ in reactor.tcpClients]
    asking.cancel()
    return opened


@pytest.mark.parametrize("address", PRIVATE)
def test_no_form_of_a_private_address_is_connected_to(address: str) -> None:
    assert connections_for(address, hosts()) == []
    assert connections_for(address, translating()) == []


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_connected_to(address: str) -> None:
    assert connections_for(address, hosts()) == [(address, 443)]


@pytest.mark.parametrize("private", [each for each in PRIVATE if ":" not in each])
def test_no_private_address_is_connected_to_through_the_translation_of_the_network(private: str) -> None:
    translated = f"2001:db8:122:344::{private}"
    assert connections_for(translated, translating()) == []
    assert connections_for(translated, hosts()) == [(translated, 443)]


def test_a_public_address_is_connected_to_through_the_translation_of_the_network() -> None:
    assert connections_for(FORMS[96], translating()) == [(FORMS[96], 443)]


@pytest.mark.parametrize("form", ["8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2001:db8:122:344::8.8.8.8"])
def test_the_relay_itself_is_not_connected_to(form: str) -> None:
    assert connections_for(form, translating(("8.8.8.8", 443))) == []
    assert connections_for(form, translating(("8.8.8.8", 25))) == [(form, 443)]


def test_a_silent_answer_about_the_translation_counts_in_the_time_of_a_request() -> None:
    reactor = MemoryReactorClock()
    silent: Deferred[None] = Deferred()
    options = HttpsOptions(refuses=hosts().refuses, prepare=lambda: silent)
    client = HttpsClient(reactor, FixedResolver(Found(("8.8.8.8",), 60.0, "a.test")), options)
    failures: list[Failure] = []
    Deferred.fromCoroutine(client.request("GET", "https://a.test/", {}, limit=100, timeout=3.0)).addErrback(
        failures.append
    )
    reactor.advance(3.1)
    assert [(type(each.value), str(each.value)) for each in failures] == [(HostUnknown, "a.test: no answer within 3 s")]
    assert reactor.tcpClients == []
