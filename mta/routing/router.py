"""The router: finds the routing of a recipient's domain. It implements `route.Router`."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from mta.dns.answers import Resolver
from mta.dns.cache import SingleFlight, TtlCache
from mta.message.outcome import ErrorKind, Failed, TryLater
from mta.routing.choice import Discard, Fail, MxOf, Reroute, RouteChoice, ViaSmarthost
from mta.routing.direct import DirectRouting, MxRouting
from mta.routing.nat64 import Nat64
from mta.routing.route import Local, Plan, Routing, Smarthost, memory_size
from mta.routing.rules import Decision, RouterRules, ordered_way
from mta.routing.smarthost import SmarthostRouting
from mta.smtp.parameters import TlsDemand

if TYPE_CHECKING:
    from mta.routing.carriage import Carriage

#: Seconds after which the random order of equal hosts changes, even if the DNS answers have a longer TTL.
MAX_PLAN_TTL = 60.0
MAX_PLANS = 50_000

_LOCAL = Local()
# The key of the plan for all domains that are not local, in place of a domain.
_ALL = " "

#: Returns the carriage of mail for a domain, by the name of the smarthost, "" for MX hosts, and the hosts of the plan.
CarriageOf: TypeAlias = Callable[[str, str, tuple[str, ...]], "Carriage | None"]
# Where mail goes: to the MX hosts of a domain, or to a smarthost.
_Way: TypeAlias = str | Smarthost
_Found = TypeVar("_Found", Routing, Routing | None)
# The key of a plan: its way, _ALL for the smarthost of the settings, or with a carriage by the recipient's domain that
# domain as well.
_PlainKey: TypeAlias = _Way | tuple[str, _Way]
# The plans for messages with a demand on TLS are apart.
_Key: TypeAlias = _PlainKey | tuple[TlsDemand, _PlainKey]


class MailRouter:
    """Routes local domains to mailboxes, all others to the smarthost, or without a smarthost to their MX hosts.

    A choice, which an operator's rule makes, routes a domain that is not local differently.
    """

    def __init__(
        self,
        rules: RouterRules,
        resolver: Resolver,
        seconds: Callable[[], float],
        rng: random.Random | None = None,
        carriage_of: CarriageOf | None = None,
        *,
        secure: Callable[[DirectRouting], MxRouting] | None = None,
    ) -> None:
        """Prepare; `seconds` is a monotonic clock, `rng` draws the order of equal hosts.

        `secure` returns the routing by MX that demands proof of the hosts; without it none is demanded.
        """
        rng = rng or random.SystemRandom()
        self._rules = rules
        self._is_local = rules.is_local
        self._shared_key = _ALL if rules.smarthost else ""
        self._seconds = seconds
        direct = DirectRouting(rules, resolver, Nat64(resolver, seconds), rng)
        self._by_mx: MxRouting = direct if secure is None else secure(direct)
        self._by_smarthost = SmarthostRouting(rules, resolver, rng)
        self.use(carriage_of)

    def use(self, carriage_of: CarriageOf | None, *, by_domain: bool = True) -> None:
        """Use other rules for the carriage from now on, and forget all routings, which other rules may have made.

        `by_domain` says that the carriage may depend on the recipient's domain, besides the hosts.
        """
        self._carriage_of = carriage_of
        self._by_domain = by_domain and carriage_of is not None
        self.forget()

    def forget(self) -> None:
        """Look for the hosts of all mail anew from now on; answers of the DNS are valid as long as they say."""
        # New objects, because look-ups that are running still put their routings into the old ones.
        self._plans: TtlCache[_Key, Routing] = TtlCache(MAX_PLANS, self._seconds, memory_size)
        self._running: SingleFlight[_Key, Routing] = SingleFlight()

    def cached(self, domain: str, choice: RouteChoice | None = None, demand: TlsDemand | None = None) -> Routing | None:
        """Return the routing if it needs no look-up or is cached; otherwise None, and `resolve` must be used."""
        if self._is_local(domain):
            return _LOCAL
        if choice is None and demand is None and not self._by_domain:
            return self._plans.get(self._shared_key or domain)
        if isinstance(choice, Discard | Fail):
            return choice
        way = self._way(domain, choice)
        return way if isinstance(way, TryLater) else _of_choice(self._plans.get(self._key(domain, way, demand)), choice)

    async def resolve(self, domain: str, choice: RouteChoice | None = None, demand: TlsDemand | None = None) -> Routing:
        """Return the routing, with DNS look-ups if needed; equal hosts are in a new random order."""
        if self._is_local(domain):
            return _LOCAL
        if isinstance(choice, Discard | Fail):
            return choice
        way = self._way(domain, choice)
        if isinstance(way, TryLater):
            return way
        key = self._key(domain, way, demand)
        return _of_choice(await self._running.run(key, lambda: self._resolve(domain, way, key, demand)), choice)

    def _way(self, domain: str, choice: RouteChoice | None) -> _Way | TryLater:
        """Return where mail for a domain goes by a choice, or without one."""
        match choice:
            case MxOf(other):
                return other or domain
            case ViaSmarthost(smarthost):
                return smarthost
            case Reroute():
                return ordered_way(choice, domain, self._rules)
        return self._rules.smarthost or domain

    def _key(self, domain: str, way: _Way, demand: TlsDemand | None) -> _Key:
        key: _PlainKey = _ALL if way is self._rules.smarthost else way
        if self._by_domain:
            key = domain, way
        return key if demand is None else (demand, key)

    async def _resolve(self, domain: str, way: _Way, key: _Key, demand: TlsDemand | None) -> Routing:
        plans, carriage_of = self._plans, self._carriage_of
        decision = await self._ask(way, demand)
        routing = decision.routing
        if carriage_of is not None and isinstance(routing, Plan):
            name = "" if isinstance(way, str) else way.name
            hosts = tuple(dict.fromkeys(route.host for route in routing.routes))
            carriage = carriage_of(domain, name, hosts)
            if carriage is not None:
                routing = _carried(routing, carriage, self._rules)
        plans.put(key, routing, min(decision.ttl, MAX_PLAN_TTL))
        return routing

    async def _ask(self, way: _Way, demand: TlsDemand | None) -> Decision:
        if isinstance(way, str):
            return await self._by_mx.resolve(way, demand)
        return await self._by_smarthost.resolve(way, demand)


def _of_choice(routing: _Found, choice: RouteChoice | None) -> _Found | TryLater:
    """Return a routing; mail waits for the operator if the domain that a rule names in `mx` takes no mail."""
    if isinstance(routing, Failed) and isinstance(choice, MxOf) and choice.domain:
        text = f"{routing.text}: correct mx in the rule"
        return TryLater(text, status=f"4{routing.status[1:]}", kind=ErrorKind.DNS)
    return routing


def _carried(plan: Plan, carriage: "Carriage", rules: RouterRules) -> Routing:
    # Imported if needed, because a relay without rules has no carriages.
    from mta.routing.carriage import carried  # noqa: PLC0415

    return carried(plan, carriage, rules)
