"""The router: finds the routing of a recipient's domain. It implements `route.Router`."""

import random
from collections.abc import Callable

from mta.dns.answers import Resolver
from mta.dns.cache import SingleFlight, TtlCache
from mta.routing.direct import DirectRouting
from mta.routing.nat64 import Nat64
from mta.routing.route import Local, Routing, memory_size
from mta.routing.rules import Decision, RouterRules
from mta.routing.smarthost import DESTINATION, SmarthostRouting

#: Seconds after which the random order of equal hosts changes, even if the DNS answers have a longer TTL.
MAX_PLAN_TTL = 60.0
MAX_PLANS = 50_000

_LOCAL = Local()


class MailRouter:
    """Routes local domains to mailboxes, all others to the smarthost, or without a smarthost to their MX hosts."""

    def __init__(
        self,
        rules: RouterRules,
        resolver: Resolver,
        seconds: Callable[[], float],
        rng: random.Random | None = None,
    ) -> None:
        """Prepare; `seconds` is a monotonic clock, `rng` draws the order of equal hosts."""
        rng = rng or random.SystemRandom()
        self._is_local = rules.is_local
        self._direct = DirectRouting(rules, resolver, Nat64(resolver, seconds), rng)
        self._smarthost = SmarthostRouting(rules.smarthost, rules, resolver, rng) if rules.smarthost else None
        self._plans: TtlCache[str, Routing] = TtlCache(MAX_PLANS, seconds, memory_size)
        self._running: SingleFlight[str, Routing] = SingleFlight()

    def cached(self, domain: str) -> Routing | None:
        """Return the routing if it is local or cached; otherwise None, and `resolve` must be used."""
        if self._is_local(domain):
            return _LOCAL
        return self._plans.get(DESTINATION if self._smarthost else domain)

    async def resolve(self, domain: str) -> Routing:
        """Return the routing, with DNS look-ups if needed; equal hosts are in a new random order."""
        if self._is_local(domain):
            return _LOCAL
        key = DESTINATION if self._smarthost else domain
        return await self._running.run(key, lambda: self._resolve(key))

    async def _resolve(self, key: str) -> Routing:
        decision = await self._ask(key)
        self._plans.put(key, decision.routing, min(decision.ttl, MAX_PLAN_TTL))
        return decision.routing

    async def _ask(self, key: str) -> Decision:
        return await (self._smarthost.resolve() if self._smarthost else self._direct.resolve(key))
