"""Builds the client for HTTPS requests to hosts that a stranger has named, and the judge of their addresses."""

from mta.daemon.parts.context import RelayContext
from mta.dns.resolver import DnsResolver
from mta.https.interface import HttpsRequester
from mta.https.strangers_hosts import StrangersHosts
from mta.https.when_needed import HttpsWhenNeeded
from mta.routing.nat64 import Nat64
from mta.routing.private_addresses import OwnSockets


def strangers_hosts(context: RelayContext, resolver: DnsResolver) -> StrangersHosts:
    """Return the judge of addresses."""
    nat64 = Nat64(resolver, context.reactor.seconds) if context.settings.ipv6 else None
    return StrangersHosts(nat64, OwnSockets(each.address for each in context.sockets))


def strangers_client(context: RelayContext, resolver: DnsResolver, hosts: StrangersHosts) -> HttpsRequester:
    """Return the client, which makes no connection that the judge refuses."""

    def make() -> HttpsRequester:
        from mta.https.client import HttpsClient, HttpsOptions  # noqa: PLC0415

        return HttpsClient(context.reactor, resolver, HttpsOptions(ipv6=context.settings.ipv6, refuses=hosts.refuses))

    return HttpsWhenNeeded(make)
