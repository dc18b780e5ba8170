"""Builds the proof that MX hosts must give: validated DNS answers, policies of MTA-STS, and the routing by both.

A relay imports this module when its mail first goes by MX, which with a smarthost may be never.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred

from mta.config.readers.secure_delivery import StsUse
from mta.config.settings import Settings
from mta.daemon.parts.context import RelayContext
from mta.daemon.secure.sts_policies import StsPolicies
from mta.delivery.remote.tls_session import TlsSession
from mta.dns.client import DnsClient
from mta.dns.dnssec.authenticity import Authenticity
from mta.dns.dnssec.choosing import DnssecUnavailable, choose
from mta.dns.resolver import DnsResolver
from mta.queue.interface import Queue
from mta.routing.demands.dane import Dane
from mta.routing.demands.deciding import DemandTerms
from mta.routing.demands.proof import ProofSource
from mta.routing.demands.secured import SecuredRouting
from mta.routing.direct import DirectRouting

if TYPE_CHECKING:
    from mta.daemon.secure.tls_reporting import TlsReporting


def demand_terms(settings: Settings) -> DemandTerms:
    """Return the operator's terms of the demands on MX hosts."""
    secure = settings.secure_delivery
    return DemandTerms(secure.tls_policy, enforce_sts=secure.sts is StsUse.ENFORCE)


class SecuredMx(MultiService):
    """The routing by MX with demands, and the services that it needs. Each worker has its own."""

    def __init__(self, context: RelayContext, resolver: DnsResolver, direct: DirectRouting) -> None:
        super().__init__()
        self._context, self._resolver = context, resolver
        self._reporting: TlsReporting | None = None
        secure, event_log = context.settings.secure_delivery, context.event_log
        self._policies = None if secure.sts is StsUse.OFF else StsPolicies(context, resolver)
        if self._policies is not None:
            self.addService(self._policies)
        self._authenticity = _authenticity(context, resolver.client) if secure.uses_dane else None
        self.routing = SecuredRouting(
            direct,
            resolver,
            demand_terms(context.settings),
            dane=None if self._authenticity is None else Dane(self._authenticity),
            policies=None if self._policies is None else self._policies.source,
            seconds=context.reactor.seconds,
            notice=event_log.notice,
            unproven=self._unproven,
        )

    def report(self, queue: Queue, added: Callable[[], object]) -> None:
        """Make reports of TLS sessions, which may go into the queue; `added` is called when one is there."""
        # Imported if needed, because few relays make reports.
        from mta.daemon.secure.tls_reporting import TlsReporting  # noqa: PLC0415

        self._reporting = TlsReporting(
            self._context,
            self._resolver,
            self.routing,
            queue,
            added=added,
            policies=None if self._policies is None else self._policies.source,
        )
        self.addService(self._reporting)

    def startService(self) -> None:
        """Find out whether DNS answers can be validated, and read the policies that are kept."""
        if self._authenticity is not None:
            self._authenticity.start()
        super().startService()

    def stopService(self) -> "Deferred[object]":
        """End the look-ups and fetches that run."""
        if self._authenticity is not None:
            self._authenticity.stop()
        return maybeDeferred(super().stopService)

    def session_ended(self, session: TlsSession) -> None:
        """Have TLS reports count a session. If it failed by a policy, have the policy looked at again.

        The next attempt then knows the present policy.
        """
        if self._reporting is not None:
            self._reporting.session_ended(session)
        proof = session.route.proof
        by_policy = proof is not None and proof.source is ProofSource.STS and proof.enforced
        if by_policy and session.failure is not None and self._policies is not None:
            self._policies.source.look_again(session.domain)

    def _unproven(self, domain: str, host: str, reason: str) -> None:
        if self._reporting is not None:
            self._reporting.unproven(domain, host, reason)

    def retry(self) -> None:
        """Forget failures of policy hosts, because an operator has mail tried again."""
        if self._policies is not None:
            self._policies.source.reload()


def _authenticity(context: RelayContext, client: DnsClient) -> Authenticity | None:
    notice = context.event_log.notice
    try:
        return choose(context.settings.secure_delivery.dnssec.value, context.reactor, client, notice=notice)
    except DnssecUnavailable as error:
        # Without a smarthost, this ends the start.
        notice(f"DANE is off: {error}")
        return None
