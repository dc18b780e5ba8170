"""Builds the reports on TLS of a relay. It is imported if TLSRPT_FROM is set."""

from collections.abc import Callable, Coroutine
from hashlib import sha256
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred

from mta.daemon.parts.context import RelayContext
from mta.daemon.periodic import PeriodicService
from mta.daemon.secure.strangers import strangers_client, strangers_hosts
from mta.delivery.remote.tls_session import TlsSession
from mta.dns.resolver import DnsResolver
from mta.https.strangers_hosts import StrangersHosts
from mta.message.body import MemoryBody
from mta.message.outcome import Failed, TryLater
from mta.queue.disk.queue_dir import worker_home, worker_numbers
from mta.queue.interface import NewMail, Queue, QueueError
from mta.routing.direct import MxRouting
from mta.routing.private_addresses import OwnSockets
from mta.routing.route import Plan
from mta.smtp.address import Address
from mta.smtp.parameters import TlsDemand
from mta.sts.policy_source import StsPolicySource
from mta.tls_reports.counting import SessionCounter
from mta.tls_reports.day_file import DayFiles
from mta.tls_reports.message import report_mail
from mta.tls_reports.policies import counted_policy, failed_session, unproven_host
from mta.tls_reports.report import TlsReport
from mta.tls_reports.sending import ReportNotSent, ReportSender, SenderParts
from mta.tls_reports.tally import CountedPolicy, FailedSession, PolicyType

#: Seconds until the first look, and between two looks: the sessions of so many are lost if the relay is killed.
FIRST_LOOK, LOOK_INTERVAL = 5.0, 60.0


class TlsReporting(MultiService):
    """Counts the sessions of a process. The first worker, or the only process, sends the reports of all of them."""

    def __init__(
        self,
        context: RelayContext,
        resolver: DnsResolver,
        routing: MxRouting,
        queue: Queue,
        *,
        added: Callable[[], object],
        policies: StsPolicySource | None,
    ) -> None:
        """`added` is called when a report is in the queue. `policies` is None if MTA-STS is off."""
        super().__init__()
        self._policies = policies
        contact = context.settings.secure_delivery.reports_from
        assert contact is not None, "the reports have a sender"
        files, notice = _files(context), context.event_log.notice
        self._counter = SessionCounter(files, resolver, context.in_thread, context.wall_clock, notice)
        if context.home == context.settings.queue_dir:
            settings, reactor = context.settings, context.reactor
            hosts = strangers_hosts(settings, reactor, resolver, OwnSockets(each.address for each in context.sockets))
            parts = SenderParts(
                files,
                resolver,
                strangers_client(settings, reactor, resolver, hosts),
                QueuedReports(context, queue, routing, hosts, added),
                context.in_thread,
                context.wall_clock,
                lambda report, to: context.event_log.tls_report(report.domain, to, report.good, report.failed),
                notice,
            )
            sender = ReportSender(parts, contact, _relay(context))
            self.addService(_repeated(sender.work, context))
        # Apart from the sender, which may wait for many targets.
        self.addService(_repeated(self._save, context))

    def startService(self) -> None:
        """Begin to read the counts of an earlier process."""
        super().startService()
        Deferred.fromCoroutine(self._counter.load())

    def stopService(self) -> "Deferred[Any]":
        """Write the counts."""
        saving = Deferred.fromCoroutine(self._counter.save())
        return gatherResults([maybeDeferred(super().stopService), saving], consumeErrors=True)

    def session_ended(self, session: TlsSession) -> None:
        """Count a session."""
        proof, policies = session.route.proof, self._policies
        kept = None if policies is None else policies.known(session.domain)
        fault = None if policies is None or proof is not None or kept is not None else policies.fault(session.domain)
        if fault is not None:
            # The domain says that it has a policy, and the session was made without.
            kind, reason = fault
            failure = failed_session(kind.value, "", session.route, reason)
            self._counter.count(session.domain, CountedPolicy(PolicyType.STS), failure)
            return
        policy = counted_policy(proof, None if kept is None else kept.policy)
        self._counter.count(session.domain, policy, _failed(session))

    def unproven(self, domain: str, host: str, reason: str) -> None:
        """Count a host that gets no mail because DNSSEC does not prove the answers about it; see SecuredRouting."""
        self._counter.count(domain, CountedPolicy(PolicyType.TLSA), unproven_host(host, reason))

    async def _save(self) -> None:
        await self._counter.save()
        await self._counter.look_up()


class QueuedReports:
    """Puts reports into the queue as mail, unless their hosts are in a private network."""

    def __init__(
        self,
        context: RelayContext,
        queue: Queue,
        routing: MxRouting,
        hosts: StrangersHosts,
        added: Callable[[], object],
    ) -> None:
        self._context = context
        self._queue = queue
        self._routing = routing
        self._hosts = hosts
        self._added = added

    async def send(self, report: TlsReport, to: tuple[Address, ...]) -> None:
        """Send a report to these addresses. Raises ReportNotSent."""
        for address in to:
            await self._require_public(address.domain)
        context, now = self._context, self._context.wall_clock()
        envelope, content = report_mail(report, to, name=context.settings.mailname, now=now)
        try:
            await self._queue.add(NewMail(context.ids.new(now), envelope, MemoryBody(content)), now)
        except QueueError as error:
            raise ReportNotSent(str(error)) from error
        self._added()

    async def _require_public(self, domain: str) -> None:
        """Raise ReportNotSent unless the hosts of a domain, which a stranger's record names, have public addresses."""
        if self._context.settings.smarthost is not None or self._context.settings.local_domains.matches(domain):
            return
        await self._hosts.refresh()
        # The demand of the report, which passes over policies that may have other mail for the domain wait.
        routing = (await self._routing.resolve(domain, TlsDemand.OPTIONAL)).routing
        if not isinstance(routing, Plan):
            raise ReportNotSent(routing.text if isinstance(routing, Failed | TryLater) else f"{domain} has no MX host")
        for route in routing.routes:
            if self._hosts.refuses(route.address):
                raise ReportNotSent(f"no report goes to the address of its host {route.host}, {route.address}")


def _repeated(work: Callable[[], Coroutine[Any, Any, None]], context: RelayContext) -> PeriodicService:
    """Return the service that does some work soon after the start, and then every LOOK_INTERVAL."""

    async def look() -> float:
        await work()
        return LOOK_INTERVAL

    return PeriodicService(lambda: Deferred.fromCoroutine(look()), FIRST_LOOK, context.reactor)


def _failed(session: TlsSession) -> FailedSession | None:
    if session.failure is None:
        return None
    return failed_session(session.failure.value, session.own_address, session.route, session.text)


def _files(context: RelayContext) -> DayFiles:
    """Return the files of a process; the first one reads those of the others too."""
    directory = context.settings.queue_dir
    if context.home != directory:
        return DayFiles(context.home)
    return DayFiles(directory, lambda: [worker_home(directory, number) for number in worker_numbers(directory)])


def _relay(context: RelayContext) -> str:
    """Return a word that tells the reports of this relay from those of others with the same sender."""
    shared = context.settings.shared_queue
    name = f"{context.settings.mailname} {'' if shared is None else shared.node_name}"
    return sha256(name.encode()).hexdigest()[:8]
