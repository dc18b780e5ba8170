"""Builds and serves the operator's page and the API at ADMIN_LISTEN, if that is set.

The modules that only these need are imported by the functions here, so that a relay without the page, and
one whose page was not opened yet, lacks them.
"""

import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.threads import deferToThreadPool

import mta
from mta.admin.state import RelayState
from mta.config.settings import Settings
from mta.daemon.parts.metrics import bind_all
from mta.daemon.periodic import PeriodicService
from mta.event_log.log import EventLog
from mta.reactor.late_ports import LatePorts
from mta.rules.book import CurrentRules
from mta.tls.server import CHECK_INTERVAL, ServerCertificate

if TYPE_CHECKING:
    from mta.admin.page.access import Access
    from mta.admin.page.rendering import Templates
    from mta.admin.page.site import PageSite
    from mta.daemon.secure.shown_demands import ShownDemands
    from mta.dns.resolver import DnsResolver
    from mta.explain.destination.page import DestinationPage
    from mta.explain.message.page import MessagePage
    from mta.metrics.health import Answers

T = TypeVar("T")

#: Seconds after which the view of a destination does without look-ups.
LOOKUP_SECONDS = 5.0
_SETTING = "ADMIN_LISTEN"
_PREFIX = "ADMIN_"


@dataclass(frozen=True, slots=True)
class PageListening:
    """The sockets of the page, bound before privileges are dropped, and its certificate; None for plain HTTP."""

    sockets: Sequence[socket.socket]
    certificate: ServerCertificate | None
    #: Gets the logins.
    event_log: EventLog

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """The addresses and ports."""
        return [each.getsockname()[:2] for each in self.sockets]


def listen_for_page(settings: Settings, event_log: EventLog) -> PageListening | None:
    """Bind ADMIN_LISTEN and read its certificate; None if it is not set. Raises PortError, CertificateError."""
    admin = settings.admin
    if admin is None:
        return None
    certificate = None
    if admin.certificate is not None:
        certificate = ServerCertificate(
            *admin.certificate,
            wall_clock=time.time,
            notice=event_log.notice,
            trouble=event_log.trouble,
            prefix=_PREFIX,
        )
    return PageListening(bind_all((admin.address, admin.port), _SETTING, ipv6=settings.ipv6), certificate, event_log)


class PageServer(MultiService):
    """Serves the page of a relay."""

    def __init__(
        self,
        listening: PageListening,
        settings: Settings,
        state: Callable[[], RelayState],
        rules: CurrentRules,
        reactor: Any,
        *,
        answers: "Callable[[], Answers] | None" = None,
    ) -> None:
        """`state` returns the relay once it has started. `answers` returns those of the metrics, if they are on."""
        super().__init__()
        self._listening = listening
        self._settings = settings
        self._state = state
        self._rules = rules
        self._reactor = reactor
        self._answers = answers
        self._ports = LatePorts(listening.sockets, self._new_factory, reactor, self._in_thread)
        # Made for the first view of a destination.
        self._resolver: DnsResolver | None = None
        self._demands: ShownDemands | None = None
        self._site: PageSite | None = None
        if listening.certificate is not None:
            PeriodicService(listening.certificate.check, CHECK_INTERVAL, reactor).setServiceParent(self)

    def startService(self) -> None:
        """Begin to answer; the first client waits for the modules of the page."""
        super().startService()
        self._ports.open()

    def stopService(self) -> "Deferred[Any]":
        """Answer no more, and end the streams."""
        if self._site is not None:
            self._site.close_all()
        if self._demands is not None:
            self._demands.close()
        return gatherResults([maybeDeferred(super().stopService), self._ports.close()], consumeErrors=True)

    def reload(self) -> None:
        """Read the certificate again."""
        if self._listening.certificate is not None:
            self._listening.certificate.reload()

    def _in_thread(self, work: Callable[[], T]) -> "Deferred[T]":
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work)

    def _new_factory(self) -> Any:
        """Import the modules of the page, read its files, and compile the templates that a first view needs."""
        from mta.admin.page.rendering import Templates  # noqa: PLC0415

        templates = Templates()
        self._site = self._new_site(templates)
        if self._listening.certificate is None:
            return self._site
        from twisted.protocols.tls import TLSMemoryBIOFactory  # noqa: PLC0415

        factory = TLSMemoryBIOFactory(self._listening.certificate, isClient=False, wrappedFactory=self._site)
        factory.noisy = False
        return factory

    def _new_site(self, templates: "Templates") -> "PageSite":
        from mta.admin.page.asking import Asking  # noqa: PLC0415
        from mta.admin.page.front import PageParts  # noqa: PLC0415
        from mta.admin.page.programs import ProgramPaths  # noqa: PLC0415
        from mta.admin.page.rendering import SiteData  # noqa: PLC0415
        from mta.admin.page.routes import page_resource  # noqa: PLC0415
        from mta.admin.page.site import Guarded, PageSite  # noqa: PLC0415

        access, state = self._access(), self._state()
        site = SiteData(self._settings.mailname, mta.__version__, access.needs_password)
        asking = Asking(state, self._reactor, time.time)
        parts = PageParts(
            asking,
            access,
            templates,
            site,
            partial(self._explain, templates, state),
            partial(self._explain_destination, templates, state),
            self._reactor,
        )
        answers = None if self._answers is None else self._answers()
        programs = ProgramPaths(access, state, self._reactor, time.time, answers)
        return PageSite(Guarded(page_resource(parts), access.host_problem, programs), self._reactor)

    def _access(self) -> "Access":
        from mta.admin.page.access import Access  # noqa: PLC0415

        admin, certificate, log = self._settings.admin, self._listening.certificate, self._listening.event_log
        assert admin is not None
        names = () if certificate is None else certificate.names
        https = certificate is not None
        return Access(
            admin.address,
            admin.port,
            admin.password,
            https=https,
            names=(self._settings.mailname, *names),
            note=lambda client, mechanism, right: log.operator_login(client, mechanism, right=right),
        )

    async def _explain(self, templates: "Templates", state: RelayState, id: str) -> "MessagePage":
        explain_message = await self._in_thread(partial(_message_explainer, templates))
        from mta.explain.present import PresentRelay  # noqa: PLC0415

        present = PresentRelay(self._settings, self._rules.book, run=self._in_thread)
        return await explain_message(id, state, present, time.time())

    async def _explain_destination(self, templates: "Templates", state: RelayState, name: str) -> "DestinationPage":
        """Return the page about a destination; without its MX hosts if the DNS is slow."""
        explain_destination = await self._in_thread(partial(_destination_explainer, templates))
        from mta.dns.resolver import make_resolver  # noqa: PLC0415
        from mta.explain.present import PresentRelay  # noqa: PLC0415

        if self._resolver is None:
            servers = self._settings.dns_servers or None
            self._resolver = make_resolver(self._reactor, servers, notice=lambda _line: None)
            self._demands = self._shown_demands(self._resolver)
        present = PresentRelay(self._settings, self._rules.book, self._resolver, self._in_thread, demands=self._demands)
        asking = Deferred.fromCoroutine(explain_destination(name, state, present, time.time()))
        try:
            return await asking.addTimeout(LOOKUP_SECONDS, self._reactor)
        except DeferredTimeout:
            return await explain_destination(name, state, replace(present, resolver=None, demands=None), time.time())

    def _shown_demands(self, resolver: "DnsResolver") -> "ShownDemands | None":
        if not self._settings.secure_delivery.used:
            return None
        from mta.daemon.secure.shown_demands import ShownDemands  # noqa: PLC0415

        return ShownDemands(self._settings, self._reactor, resolver, self._in_thread)


def _message_explainer(templates: "Templates") -> "Callable[..., Awaitable[MessagePage]]":
    """Import and return `explain_message`, and compile its template; in a thread, because both take a while."""
    from mta.explain.message.explaining import explain_message  # noqa: PLC0415

    templates.compile("message.html")
    return explain_message


def _destination_explainer(templates: "Templates") -> "Callable[..., Coroutine[Any, Any, DestinationPage]]":
    """Import and return `explain_destination`, and compile its template, likewise in a thread."""
    from mta.explain.destination.explaining import explain_destination  # noqa: PLC0415

    templates.compile("destination.html")
    return explain_destination
