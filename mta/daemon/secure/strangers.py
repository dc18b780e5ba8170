"""Builds the client for HTTPS requests to hosts that a stranger has named, and the judge of their addresses."""

from collections.abc import Callable
from functools import cache
from typing import Any

from mta.config.settings import Settings
from mta.dns.resolver import DnsResolver
from mta.https.interface import HttpsRequester
from mta.https.strangers_hosts import StrangersHosts
from mta.routing.nat64 import Nat64
from mta.routing.private_addresses import OwnSockets


def strangers_hosts(settings: Settings, reactor: Any, resolver: DnsResolver, listening: OwnSockets) -> StrangersHosts:
    """Return the judge of addresses; `listening` are the sockets of the relay."""
    return StrangersHosts(Nat64(resolver, reactor.seconds) if settings.ipv6 else None, listening)


def strangers_client(
    settings: Settings, reactor: Any, resolver: DnsResolver, hosts: StrangersHosts
) -> Callable[[], HttpsRequester]:
    """Return a callable that returns the client, always the same. It makes no connection that the judge refuses."""

    @cache
    def client() -> HttpsRequester:
        # Imported for the first request, because the HTTP client of Twisted takes 3 MB of memory.
        from mta.https.client import HttpsClient, HttpsOptions  # noqa: PLC0415

        options = HttpsOptions(ipv6=settings.ipv6, refuses=hosts.refuses, prepare=hosts.refresh)
        return HttpsClient(reactor, resolver, options)

    return client
