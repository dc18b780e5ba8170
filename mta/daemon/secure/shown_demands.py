"""The demands on MX hosts for explanations: made as in the relay, by the policies that it keeps, or by those of now."""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from mta.blocking import RunBlocking
from mta.config.readers.secure_delivery import StsUse
from mta.config.settings import Settings
from mta.daemon.parts.deciding import own_sockets
from mta.daemon.secure.secured_mx import demand_terms
from mta.daemon.secure.strangers import strangers_client, strangers_hosts
from mta.dns.answers import Found
from mta.dns.dnssec.authenticity import Authenticity
from mta.dns.dnssec.choosing import DnssecUnavailable, choose
from mta.dns.resolver import DnsResolver
from mta.explain.demands.facts import PolicyFacts
from mta.queue.disk.queue_dir import homes
from mta.queue.interface import QueueError
from mta.routing.demands.dane import Dane
from mta.routing.demands.secured import SecuredRouting
from mta.routing.direct import DirectRouting
from mta.sts.fetching import PolicyFetcher, PolicyFetchError
from mta.sts.kept import KeptPolicy
from mta.sts.policy import StsMode, StsPolicy
from mta.sts.policy_file import PolicyFile
from mta.sts.record import RecordError, policy_id, record_name

#: Seconds for the fetch of a policy.
PATIENCE = 4.0

# Domains whose facts are known, because the page shows any number of them.
_MAX_FACTS = 100


class ShownDemands:
    """A DemandSource, which keeps no policy and tells no relay of one. Call `close` at the end."""

    def __init__(self, settings: Settings, reactor: Any, resolver: DnsResolver, run: RunBlocking) -> None:
        self._settings = settings
        self._reactor = reactor
        self._resolver = resolver
        secure = settings.secure_delivery
        self._policies = None if secure.sts is StsUse.OFF else _ShownPolicies(settings, reactor, resolver, run)
        self._authenticity = _authenticity(settings, reactor, resolver) if secure.uses_dane else None
        if self._authenticity is not None:
            self._authenticity.start()

    def routing(self, direct: DirectRouting) -> SecuredRouting:
        """Return the routing by MX with demands."""
        return SecuredRouting(
            direct,
            self._resolver,
            demand_terms(self._settings),
            dane=None if self._authenticity is None else Dane(self._authenticity),
            policies=self._policies,
            seconds=self._reactor.seconds,
        )

    def about(self, domain: str) -> PolicyFacts:
        """Return the facts about the policy of a domain that was just routed."""
        return PolicyFacts() if self._policies is None else self._policies.facts.get(domain.lower(), PolicyFacts())

    def close(self) -> None:
        """End all look-ups."""
        if self._authenticity is not None:
            self._authenticity.stop()


class _ShownPolicies:
    """A PolicySource that reads the files of the relay, and fetches the policy of a domain that is in none."""

    def __init__(self, settings: Settings, reactor: Any, resolver: DnsResolver, run: RunBlocking) -> None:
        hosts = strangers_hosts(settings, reactor, resolver, own_sockets(settings))
        self._fetcher = PolicyFetcher(strangers_client(settings, reactor, resolver, hosts))
        self._directory = settings.queue_dir
        self._resolver = resolver
        self._run = run
        #: By domain; the latest is at the end.
        self.facts: dict[str, PolicyFacts] = {}

    async def policy(self, domain: str) -> StsPolicy | None:
        """Return the policy that the relay keeps, or the present one."""
        now = time.time()
        try:
            kept = await self._run(lambda: self._kept(domain, now)) or await self._fetched(domain, now)
        except (RecordError, PolicyFetchError) as error:
            self._note(domain, PolicyFacts(failure=str(error)))
            return None
        if kept is None or kept.policy.mode is StsMode.NONE:
            self._note(domain, PolicyFacts())
            return None
        self._note(domain, PolicyFacts(kept.until))
        return kept.policy

    def look_again(self, domain: str) -> None:
        """Do nothing, because each explanation looks at the present policies."""

    def _note(self, domain: str, facts: PolicyFacts) -> None:
        self.facts.pop(domain, None)
        self.facts[domain] = facts
        if len(self.facts) > _MAX_FACTS:
            del self.facts[next(iter(self.facts))]

    def _kept(self, domain: str, now: float) -> KeptPolicy | None:
        found: list[KeptPolicy] = []
        # A command may be run by a user that must not read the files, or where there is no queue.
        with suppress(OSError, QueueError):
            for home in homes(self._directory):
                kept = PolicyFile(home).look_up(domain)
                if kept is not None and kept.until > now:
                    found.append(kept)
        return max(found, key=lambda each: each.fetched, default=None)

    async def _fetched(self, domain: str, now: float) -> KeptPolicy | None:
        """Return the policy that a domain announces. Raises RecordError and PolicyFetchError."""
        id = await self._announced(domain)
        return None if id is None else KeptPolicy(await self._fetcher.fetch(domain, PATIENCE), id, now, now)

    async def _announced(self, domain: str) -> str | None:
        name = record_name(domain)
        answer = await self._resolver.txt(name) if name else None
        texts: Sequence[str] = answer.records if isinstance(answer, Found) else ()
        return policy_id(texts)


def _authenticity(settings: Settings, reactor: Any, resolver: DnsResolver) -> Authenticity | None:
    try:
        return choose(settings.secure_delivery.dnssec.value, reactor, resolver.client)
    except DnssecUnavailable:
        return None
