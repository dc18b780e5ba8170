"""Builds the source of MTA-STS policies, as a service."""

from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred

from mta.daemon.parts.context import RelayContext
from mta.daemon.periodic import PeriodicService
from mta.daemon.secure.strangers import strangers_client, strangers_hosts
from mta.dns.resolver import DnsResolver
from mta.routing.private_addresses import OwnSockets
from mta.sts.fetches import FetchParts
from mta.sts.fetching import PolicyFetcher
from mta.sts.policy_file import PolicyFile
from mta.sts.policy_source import WORK_INTERVAL, PolicySourceParts, StsPolicySource


class StsPolicies(MultiService):
    """The policies of a relay as a service; `source` is the PolicySource. Each worker has its own."""

    def __init__(self, context: RelayContext, resolver: DnsResolver) -> None:
        super().__init__()
        self.source = _policy_source(context, resolver)
        self.addService(PeriodicService(self.source.work, WORK_INTERVAL, context.reactor))

    def startService(self) -> None:
        """Begin to read the file of policies."""
        super().startService()
        self.source.start()

    def stopService(self) -> "Deferred[Any]":
        """End the fetches that run, and write the policies that are new."""
        return gatherResults([maybeDeferred(super().stopService), self.source.stop()], consumeErrors=True)


def _policy_source(context: RelayContext, resolver: DnsResolver) -> StsPolicySource:
    settings, reactor = context.settings, context.reactor
    hosts = strangers_hosts(settings, reactor, resolver, OwnSockets(each.address for each in context.sockets))
    fetcher = PolicyFetcher(strangers_client(settings, reactor, resolver, hosts))
    fetching = FetchParts(fetcher, reactor, context.wall_clock, context.event_log)
    return StsPolicySource(PolicySourceParts(resolver, fetching, PolicyFile(context.home), context.in_thread))
