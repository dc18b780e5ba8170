"""Our own networks as they are now: the trust list, with the addresses of the host names in it kept up to date."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from mta.event_log.log import EventLog
from mta.inbound.networks import IPAddress, TrustList

# Bounds, in seconds, of the time between two look-ups of a name; and the waits after one that failed, the shorter while
# the addresses of the name have never been known.
_SOONEST = 30.0
_LATEST = 3600.0
_AFTER_FAILURE = 60.0
_UNTIL_KNOWN = 5.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses that a host name has for `ttl` seconds: none if the DNS says so, None if it could not be asked.

    With a `reason` beside addresses only those of one family are known, because the other look-up failed.
    """

    found: frozenset[IPAddress] | None
    ttl: float = _AFTER_FAILURE
    reason: str = ""

    @property
    def failed(self) -> bool:
        """Whether a look-up failed, so that the name may have more addresses."""
        return self.found is None or bool(self.found and self.reason)


class TrustedClients(Service):
    """Tells whether a client is trusted. While look-ups fail, a name keeps the addresses that it had last."""

    def __init__(
        self,
        trust: TrustList,
        look_up: Callable[[str], Awaitable[Addresses]],
        clock: IReactorTime,
        event_log: EventLog,
    ) -> None:
        self._trust = trust
        self._look_up = look_up
        self._clock = clock
        self._event_log = event_log
        self._known: dict[str, frozenset[IPAddress]] = {}
        # The names of which the DNS has not yet given a full answer, and the notice on each that stands in the log.
        self._unsettled = set(trust.names)
        self._told: dict[str, str] = {}
        self._timers: dict[str, IDelayedCall] = {}

    def __call__(self, address: str) -> bool:
        """Whether a client at this IP address may send anywhere."""
        return bool(self._trust.verdict(address, self._known, self._unsettled))

    def may_be_trusted(self, address: str) -> bool:
        """Whether a client at this IP address is trusted, or may be once a name that is not known yet is looked up."""
        return self._trust.verdict(address, self._known, self._unsettled) is not False

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
        found = addresses.found or frozenset()
        if addresses.failed:
            families = {address.version for address in found}
            found |= {address for address in self._known.get(name, ()) if address.version not in families}
        else:
            self._unsettled.discard(name)
        self._known[name] = found
        self._tell(name, addresses)
        if self.running:
            wait = min(max(addresses.ttl, _SOONEST), _LATEST)
            if name in self._unsettled:
                wait = _UNTIL_KNOWN
            self._timers[name] = self._clock.callLater(wait, self._refresh, name)

    def _tell(self, name: str, addresses: Addresses) -> None:
        """Log how a name is treated when that has changed."""
        if name in self._unsettled:
            effect = "clients that nothing else in the list matches are told to try later (451)"
        elif addresses.failed:
            effect = "the addresses that it had last still count"
        else:
            effect = "" if addresses.found else "it matches no client"
        if effect == self._told.get(name, ""):
            return
        self._told[name] = effect
        if effect:
            self._event_log.notice(f"RELAY_NETWORKS: {name} does not resolve ({addresses.reason}): {effect}")
        else:
            self._event_log.notice(f"RELAY_NETWORKS: {name} resolves again")

    def _fault(self, failure: Failure, name: str) -> None:
        self._learn(Addresses(None, reason=failure.getErrorMessage()), name)
