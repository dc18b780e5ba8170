"""Our own networks as they are now: the trust list, with the addresses of the host names in it kept up to date."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from mta.inbound.networks import IPAddress, TrustList
from mta.ops.journal import Journal

# Bounds, in seconds, of the time between two look-ups of a name; and the wait after one that failed.
_SOONEST = 30.0
_LATEST = 3600.0
_AFTER_FAILURE = 60.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a host name stands for now, for `ttl` seconds. None: it does not resolve, and `reason` says why."""

    found: frozenset[IPAddress] | None
    ttl: float = _AFTER_FAILURE
    reason: str = ""


class TrustedClients(Service):
    """Tells whether an address is one of ours. A name that does not resolve matches nobody."""

    def __init__(
        self,
        trust: TrustList,
        look_up: Callable[[str], Awaitable[Addresses]],
        clock: IReactorTime,
        journal: Journal,
    ) -> None:
        self._trust = trust
        self._look_up = look_up
        self._clock = clock
        self._journal = journal
        self._known: dict[str, frozenset[IPAddress]] = {}
        self._timers: dict[str, IDelayedCall] = {}

    def __call__(self, address: str) -> bool:
        """Whether a client at this IP address may send anywhere."""
        return self._trust.matches(address, self._known)

    def startService(self) -> None:
        """Look the names up, and again whenever their time ends."""
        super().startService()
        for name in self._trust.names:
            self._refresh(name)

    def stopService(self) -> None:
        """Look up no more."""
        super().stopService()
        timers, self._timers = self._timers, {}
        for timer in timers.values():
            timer.cancel()

    def _refresh(self, name: str) -> None:
        self._timers.pop(name, None)
        Deferred.fromCoroutine(self._ask(name)).addCallbacks(
            self._learn, self._fault, callbackArgs=(name,), errbackArgs=(name,)
        )

    async def _ask(self, name: str) -> Addresses:
        return await self._look_up(name)

    def _learn(self, addresses: Addresses, name: str) -> None:
        if addresses.found is None:
            self._journal.notice(f"RELAY_NETWORKS: {name} does not resolve and matches nobody: {addresses.reason}")
        self._known[name] = addresses.found or frozenset()
        if self.running:
            wait = min(max(addresses.ttl, _SOONEST), _LATEST)
            self._timers[name] = self._clock.callLater(wait, self._refresh, name)

    def _fault(self, failure: Failure, name: str) -> None:
        self._learn(Addresses(None, reason=failure.getErrorMessage()), name)
