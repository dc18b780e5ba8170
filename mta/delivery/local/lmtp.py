"""Delivery to a mail store by LMTP (RFC 2033), as `LOCAL_DELIVERY=lmtp:host:port` or `lmtp:/path` asks for.

The mail store is a destination like any other: the same window, the same kept-open connections, the same transactions
of many recipients. `mta.smtp.client.machine` handles the differences of the dialogue; this module opens the connection.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from twisted.internet.defer import Deferred

from mta.delivery.local.rule import LocalKind, LocalRule
from mta.delivery.remote.interface import Connection, Connector
from mta.message.outcome import TryLater
from mta.routing.route import Plan, Route, TlsRule
from mta.smtp.address import is_ip

#: Finds the addresses of a host, as IP literals without brackets, or says why there are none.
LookUp = Callable[[str], Awaitable[Sequence[str] | TryLater]]


def mail_store(rule: LocalRule) -> Plan | None:
    """Return the way to the mail store that a rule names; None when mail goes to Maildirs."""
    if rule.kind is not LocalKind.LMTP:
        return None
    if rule.path is not None:
        route = Route("localhost", str(rule.path), 0, TlsRule.NONE, lmtp=True)
    else:
        route = Route(rule.host, rule.host, rule.port, TlsRule.OPPORTUNISTIC, lmtp=True)
    return Plan(str(rule), (route,))


class LmtpConnector:
    """A Connector that also knows the way to the mail store; all other plans are `connector`'s.

    A mail store that cannot be reached is the operator's to mend, so its mail waits whatever the reason, a host name
    that does not exist included.
    """

    def __init__(self, connector: Connector, store: Plan, look_up: LookUp) -> None:
        self._connector = connector
        self._store = store
        self._look_up = look_up

    def open(self, plan: Plan, tried: frozenset[str] = frozenset()) -> "Deferred[Connection | TryLater]":
        """Try the routes in turn until one is ready for mail. Never fails for what a remote did."""
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
