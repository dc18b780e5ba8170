"""The place of the demands on MX hosts in a relay, which builds their large parts if mail goes by MX."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.application.service import MultiService

from mta.daemon.parts.context import RelayContext
from mta.dns.resolver import DnsResolver
from mta.queue.interface import Queue
from mta.routing.direct import DirectRouting, MxRouting
from mta.routing.rules import Decision
from mta.smtp.parameters import TlsDemand

if TYPE_CHECKING:
    from mta.daemon.secure.secured_mx import SecuredMx
    from mta.delivery.remote.tls_session import TlsSession


class MxDemands(MultiService):
    """An MxRouting with demands. Its parts are built at the start; with a smarthost, when mail first goes by MX.

    Give `routing` to the router, and start the service before the delivery.
    """

    def __init__(self, context: RelayContext, resolver: DnsResolver, queue: Queue) -> None:
        super().__init__()
        self._queue = queue
        #: Called when a TLS report is in the queue.
        self.added: Callable[[], object] = _do_nothing
        self._context = context
        self._resolver = resolver
        self._used = context.settings.secure_delivery.used
        self._direct: DirectRouting | None = None
        self._secured: SecuredMx | None = None

    def routing(self, direct: DirectRouting) -> MxRouting:
        """Return the routing by MX, which adds demands to another one unless the settings turn all of them off."""
        self._direct = direct
        return self if self._used else direct

    def startService(self) -> None:
        """Build and start the parts, unless there is a smarthost."""
        super().startService()
        if self._used and self._context.settings.smarthost is None:
            self._built()

    async def resolve(self, domain: str, demand: TlsDemand | None = None) -> Decision:
        """Return the routing of mail for a domain; see MxRouting."""
        return await self._built().routing.resolve(domain, demand)

    def session_ended(self, session: "TlsSession") -> None:
        """Take the result of a session with an MX host."""
        if self._secured is not None:
            self._secured.session_ended(session)

    def retry(self) -> None:
        """Forget failures, because an operator has mail tried again."""
        if self._secured is not None:
            self._secured.retry()

    def _built(self) -> "SecuredMx":
        if self._secured is None:
            from mta.daemon.secure.secured_mx import SecuredMx  # noqa: PLC0415

            assert self._direct is not None
            self._secured = SecuredMx(self._context, self._resolver, self._direct)
            if self._context.settings.secure_delivery.reports_from is not None:
                self._secured.report(self._queue, self.added)
            self.addService(self._secured)
        return self._secured


def _do_nothing() -> None:
    pass
