"""Opens connections to remote hosts by the relay's own router and connector, and closes them before any mail."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.defer import TimeoutError as DeferredTimeout

from mta.delivery.remote.interface import Connection, Connector, DeliveryRequest, IsStale
from mta.delivery.remote.timeouts import Timeouts
from mta.doctor.remote_hosts import HostTrial
from mta.message.outcome import TryLater
from mta.routing.choice import MxOf, RouteChoice, ViaSmarthost
from mta.routing.route import Plan, Route, Router, Smarthost

#: The time that a host has in a check, which is less than for mail.
TIMEOUTS = Timeouts(connect=10.0, tls=10.0, command=15.0, close=2.0)
#: Seconds after which a connection is given up, and connections at the same time.
SECONDS, AT_ONCE = 40.0, 16
# No domain has this name (RFC 6761 section 6.4), so that it is not local.
_NO_DOMAIN = "doctor.invalid"


class NoMail:
    """The InFlightLog of connections that carry no mail."""

    def note_in_flight(self, request: DeliveryRequest, *, again: bool = False) -> "Deferred[IsStale | None]":
        """Raise AssertionError."""
        raise AssertionError(f"a check sends no mail: {request.id}, {again}")


class ConnectionTrials:
    """Tries the addresses of smarthosts and MX hosts."""

    def __init__(self, reactor: Any, router: Router, connector: Connector) -> None:
        self._reactor = reactor
        self._router = router
        self._connector = connector
        self._turn = DeferredSemaphore(AT_ONCE)

    async def smarthosts(self, smarthosts: Iterable[tuple[Smarthost, str]]) -> list[HostTrial]:
        """Return the trials of smarthosts, each with the reason to leave its login out, or ""."""
        waiting = [
            Deferred.fromCoroutine(self._by_smarthost(smarthost, left_out)) for smarthost, left_out in smarthosts
        ]
        return [trial for trials in await gatherResults(waiting, consumeErrors=True) for trial in trials]

    async def mx_hosts(self, domains: Sequence[str]) -> list[HostTrial]:
        """Return the trials of the MX hosts of domains."""
        waiting = [Deferred.fromCoroutine(self._try_all(domain, domain, MxOf())) for domain in domains]
        return [trial for trials in await gatherResults(waiting, consumeErrors=True) for trial in trials]

    async def _by_smarthost(self, smarthost: Smarthost, left_out: str) -> list[HostTrial]:
        if left_out:
            smarthost = replace(smarthost, credentials=None)
        name = smarthost.name if smarthost.name != "smarthost" else smarthost.hosts[0][0]
        trials = await self._try_all(name, _NO_DOMAIN, ViaSmarthost(smarthost))
        return [replace(trial, login_left_out=left_out) for trial in trials]

    async def _try_all(self, name: str, domain: str, choice: RouteChoice) -> list[HostTrial]:
        routing = await self._router.resolve(domain, choice)
        if isinstance(routing, Plan):
            waiting = [self._turn.run(self._in_time, name, routing, route) for route in routing.routes]
            return list(await gatherResults(waiting, consumeErrors=True))
        return [HostTrial(name, "", failed=getattr(routing, "text", "") or "its mail is delivered on this host")]

    def _in_time(self, name: str, plan: Plan, route: Route) -> "Deferred[HostTrial]":
        trial = Deferred.fromCoroutine(self._try(name, plan, route))
        trial.addTimeout(SECONDS, self._reactor)
        late = HostTrial(name, route.label, failed=f"no end of the session within {SECONDS:.0f} s")
        return trial.addErrback(lambda failure: failure.trap(DeferredTimeout) and late)

    async def _try(self, name: str, plan: Plan, route: Route) -> HostTrial:
        opened: Connection | TryLater = await self._connector.open(replace(plan, routes=(route,)))
        if isinstance(opened, TryLater):
            return HostTrial(name, route.label, failed=opened.text)
        security = opened.security
        opened.quit()
        return HostTrial(name, route.label, security, logged_in=route.credentials is not None)
