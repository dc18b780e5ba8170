"""The router: a recipient's domain to the place its mail goes. The seam it fills is `route.Router`."""

import random
from collections.abc import Callable

from mta.dns.answers import Resolver
from mta.dns.cache import SingleFlight, TtlCache
from mta.routing.direct import DirectRouting
from mta.routing.nat64 import Nat64
from mta.routing.route import Local, Routing, memory_size
from mta.routing.rules import Decision, RouterRules
from mta.routing.smarthost import DESTINATION, SmarthostRouting

#: Seconds after which the order among equals is drawn anew, however long the DNS says its answers are good.
MAX_PLAN_TTL = 60.0
MAX_PLANS = 50_000

_LOCAL = Local()


class MailRouter:
    """Local domains first, then the smarthost if there is one (RELAY_DOMAINS too), then MX."""

    def __init__(
        self,
        rules: RouterRules,
        resolver: Resolver,
        seconds: Callable[[], float],
        rng: random.Random | None = None,
    ) -> None:
        """Prepare; `seconds` is a monotonic clock, `rng` draws the order among equals."""
        rng = rng or random.SystemRandom()
        self._is_local = rules.is_local
        self._direct = DirectRouting(rules, resolver, Nat64(resolver, seconds), rng)
        self._smarthost = SmarthostRouting(rules.smarthost, rules, resolver, rng) if rules.smarthost else None
        self._plans: TtlCache[str, Routing] = TtlCache(MAX_PLANS, seconds, memory_size)
        self._finding: SingleFlight[str, Routing] = SingleFlight()

    def cached(self, domain: str) -> Routing | None:
        """Return the routing if it was found a short while ago; None means: use `resolve`."""
        if self._is_local(domain):
            return _LOCAL
        return self._plans.get(DESTINATION if self._smarthost else domain)

    async def resolve(self, domain: str) -> Routing:
        """Find the routing, asking the DNS where needed; the order among equals is drawn anew."""
        if self._is_local(domain):
            return _LOCAL
        key = DESTINATION if self._smarthost else domain
        return await self._finding.run(key, lambda: self._resolve(key))

    async def _resolve(self, key: str) -> Routing:
        decision = await self._ask(key)
        self._plans.put(key, decision.routing, min(decision.ttl, MAX_PLAN_TTL))
        return decision.routing

    async def _ask(self, key: str) -> Decision:
        return await (self._smarthost.resolve() if self._smarthost else self._direct.resolve(key))
