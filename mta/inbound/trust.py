"""Keeps the addresses of host names that stand for clients up to date, and decides which clients are trusted."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from mta.event_log.log import EventLog
from mta.inbound.networks import IPAddress, TrustList

# Bounds of the seconds between two look-ups of a name.
_MIN_INTERVAL = 30.0
_MAX_INTERVAL = 3600.0
# Seconds after a look-up that failed, and those while the addresses of the name have never been known.
_AFTER_FAILURE = 60.0
_UNTIL_KNOWN = 5.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of a host name for `ttl` seconds. `found` is None if the look-up failed.

    A `reason` beside addresses means that only one address family is known, because the other look-up failed.
    """

    found: frozenset[IPAddress] | None
    ttl: float = _AFTER_FAILURE
    reason: str = ""

    @property
    def failed(self) -> bool:
        """Whether a look-up failed, so that the name may have more addresses."""
        return self.found is None or bool(self.found and self.reason)


class HostAddresses(Service):
    """The present addresses of host names. While look-ups fail, a name keeps its last addresses.

    `subject` begins the notices about names that do not resolve: the setting with the names.
    """

    def __init__(
        self,
        names: Sequence[str],
        look_up: Callable[[str], Awaitable[Addresses]],
        clock: IReactorTime,
        event_log: EventLog,
        *,
        subject: str,
    ) -> None:
        self._names = names
        self._look_up = look_up
        self._clock = clock
        self._event_log = event_log
        self._subject = subject
        self._known: dict[str, frozenset[IPAddress]] = {}
        # The names without a complete answer of the DNS so far, and the last notice on each name in the log.
        self._unsettled = set(names)
        self._last_notice: dict[str, str] = {}
        self._timers: dict[str, IDelayedCall] = {}

    def addresses(self, name: str) -> frozenset[IPAddress] | None:
        """Return the addresses of one of the names, or None if it has never been looked up completely."""
        return None if name in self._unsettled else self._known.get(name)

    def startService(self) -> None:
        """Look the names up, and again at the end of each lifetime."""
        super().startService()
        for name in self._names:
            self._refresh(name)

    def follow(self, names: Sequence[str]) -> None:
        """Take other names in place of those so far. New ones are looked up now.

        The last addresses of a name that is left out are known until the next call, because a message may still be
        decided on by the rules that named it.
        """
        old, self._names = set(self._names), names
        for name in self._known.keys() - old - set(names):
            del self._known[name]
        for name in old.difference(names):
            if name in self._unsettled:
                self._unsettled.discard(name)
                self._known.pop(name, None)
            self._last_notice.pop(name, None)
            self._cancel(name)
        for name in dict.fromkeys(names):
            if name not in old:
                if name not in self._known:
                    self._unsettled.add(name)
                if self.running:
                    self._refresh(name)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def stopService(self) -> None:
        """Stop looking names up."""
        super().stopService()
        timers, self._timers = self._timers, {}
        for timer in timers.values():
            timer.cancel()

    def _refresh(self, name: str) -> None:
        self._timers.pop(name, None)
        Deferred.fromCoroutine(self._resolve(name)).addCallbacks(
            self._store, self._lookup_failed, callbackArgs=(name,), errbackArgs=(name,)
        )

    async def _resolve(self, name: str) -> Addresses:
        return await self._look_up(name)

    def _store(self, addresses: Addresses, name: str) -> None:
        if name not in self._names:
            return
        found = addresses.found or frozenset()
        if addresses.failed:
            families = {address.version for address in found}
            found |= {address for address in self._known.get(name, ()) if address.version not in families}
        else:
            self._unsettled.discard(name)
        self._known[name] = found
        self._log_effect(name, addresses)
        if self.running:
            wait = min(max(addresses.ttl, _MIN_INTERVAL), _MAX_INTERVAL)
            if name in self._unsettled:
                wait = _UNTIL_KNOWN
            # A name that was left out and taken again may have had two look-ups under way.
            self._cancel(name)
            self._timers[name] = self._clock.callLater(wait, self._refresh, name)

    def _log_effect(self, name: str, addresses: Addresses) -> None:
        """Log the effect of a look-up on clients if it has changed."""
        if name in self._unsettled:
            effect = "clients that nothing else in the list matches are told to try later (451)"
        elif addresses.failed:
            effect = "the addresses that it had last still count"
        else:
            effect = "" if addresses.found else "it matches no client"
        if effect == self._last_notice.get(name, ""):
            return
        self._last_notice[name] = effect
        if effect:
            self._event_log.notice(f"{self._subject}: {name} does not resolve ({addresses.reason}): {effect}")
        else:
            self._event_log.notice(f"{self._subject}: {name} resolves again")

    def _lookup_failed(self, failure: Failure, name: str) -> None:
        self._store(Addresses(None, reason=failure.getErrorMessage()), name)


class TrustedClients(HostAddresses):
    """Tells whether a client is trusted."""

    def __init__(
        self,
        trust: TrustList,
        look_up: Callable[[str], Awaitable[Addresses]],
        clock: IReactorTime,
        event_log: EventLog,
    ) -> None:
        super().__init__(trust.names, look_up, clock, event_log, subject="RELAY_NETWORKS")
        self._trust = trust

    def __call__(self, address: str) -> bool:
        """Return whether the client at this IP address is trusted."""
        return bool(self.verdict(address))

    def verdict(self, address: str) -> bool | None:
        """Return whether the client at this IP address is trusted; None while that depends on a name not looked up."""
        return self._trust.verdict(address, self._known, self._unsettled)

    def may_be_trusted(self, address: str) -> bool:
        """Return whether the client at this IP address is trusted, or may prove to be once all names are looked up."""
        return self.verdict(address) is not False
