"""Connects to a mail store by LMTP (RFC 2033), for `LOCAL_DELIVERY=lmtp:host:port` and `LOCAL_DELIVERY=lmtp:/path`.

The mail store is a destination like any other, with the same window, kept-open connections and transactions for many
recipients. `mta.smtp.client.machine` handles the differences between LMTP and SMTP.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from twisted.internet.defer import Deferred

from mta.delivery.local.rule import LocalKind, LocalRule
from mta.delivery.remote.interface import Connection, Connector
from mta.message.outcome import TryLater
from mta.routing.route import Plan, Route, TlsRule
from mta.smtp.address import is_ip

#: Returns the addresses of a host, as IP literals without brackets, or the reason why none was found.
LookUp = Callable[[str], Awaitable[Sequence[str] | TryLater]]


def mail_store(rule: LocalRule) -> Plan | None:
    """Return the plan of the mail store that a rule names, or None if mail goes to Maildirs."""
    if rule.kind is not LocalKind.LMTP:
        return None
    if rule.path is not None:
        route = Route("localhost", str(rule.path), 0, TlsRule.NONE, lmtp=True)
    else:
        route = Route(rule.host, rule.host, rule.port, TlsRule.OPPORTUNISTIC, lmtp=True)
    return Plan(str(rule), (route,))


class LmtpConnector:
    """Opens connections to the mail store, and leaves all other plans to `connector`.

    If the mail store cannot be reached, its mail stays queued until the operator has fixed it, even if its host name
    does not exist.
    """

    def __init__(self, connector: Connector, store: Plan, look_up: LookUp) -> None:
        self._connector = connector
        self._store = store
        self._look_up = look_up

    def open(self, plan: Plan, tried: frozenset[str] = frozenset()) -> "Deferred[Connection | TryLater]":
        """Try the routes in order until a connection is ready for mail, as the Connector interface says."""
        if plan.destination != self._store.destination:
            return self._connector.open(plan, tried)
        return Deferred.fromCoroutine(self._open(tried))

    async def _open(self, tried: frozenset[str]) -> Connection | TryLater:
        opened = await self._try(tried)
        if not isinstance(opened, TryLater):
            return opened
        advice = f"mail stays queued. Check LOCAL_DELIVERY={self._store.destination}"
        return replace(opened, text=f"the mail store cannot be reached: {opened.text.rstrip('.')}; {advice}")

    async def _try(self, tried: frozenset[str]) -> Connection | TryLater:
        routes = await self._routes()
        if isinstance(routes, TryLater):
            return routes
        return await self._connector.open(replace(self._store, routes=routes), tried)

    async def _routes(self) -> tuple[Route, ...] | TryLater:
        (route,) = self._store.routes
        if route.address.startswith("/") or is_ip(route.address):
            return (route,)
        found = await self._look_up(route.host)
        if isinstance(found, TryLater):
            return found
        return tuple(replace(route, address=address) for address in found)
