"""Builds the parts that count, ask and serve the figures of a relay, if METRICS_LISTEN is set.

The modules that only these parts need are imported by the functions here, so that a relay without metrics lacks them;
those that serve METRICS_LISTEN come with its first client.
"""

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from mta.config.settings import Settings
from mta.dns.answers import Found, NoData, NoSuchName
from mta.dns.resolver import LookedUp
from mta.event_log.lines import Render
from mta.event_log.log import EventLog
from mta.event_log.output import Output
from mta.inbound.sockets.ports import NoSuchProtocol, bind
from mta.reactor.late_ports import LatePorts

if TYPE_CHECKING:
    from mta.daemon.parts.context import RelayContext
    from mta.delivery.service import DeliveryService
    from mta.inbound.listener import SmtpServerFactory
    from mta.metrics.counters import Counters
    from mta.metrics.health import Answers
    from mta.metrics.metric import Samples
    from mta.metrics.queue_figures import CountedQueue, QueueFigures
    from mta.metrics.server import BoundedFactory
    from mta.oauth.token_source import TokenSource

_DNS_RESULTS: dict[type, str] = {Found: "found", NoSuchName: "no_such_name", NoData: "no_data"}
_SETTING = "METRICS_LISTEN"


class FiguresSource(Protocol):
    """A relay whose figures can be asked: one process, or a parent and its workers."""

    async def samples(self) -> "Samples":
        """Return all figures."""

    def healthy(self) -> bool:
        """Return whether every process that accepts mail gives signs of life."""


def new_counters(settings: Settings) -> "Counters | None":
    """Return the counters of this process, or None if metrics are off."""
    if settings.metrics_listen is None:
        return None
    from mta.metrics.counters import Counters  # noqa: PLC0415

    return Counters()


def new_event_log(
    counters: "Counters | None", output: Output, wall_clock: Callable[[], float], render: Render
) -> EventLog:
    """Return the event log of this process, which counts its events if there are counters."""
    if counters is None:
        return EventLog(output.write, wall_clock, render, flush=output.flush, later=output.write_later)
    from mta.metrics.counting import CountingEventLog  # noqa: PLC0415

    later = output.write_later
    return CountingEventLog(output.write, wall_clock, render, counters=counters, flush=output.flush, later=later)


def metrics_sockets(settings: Settings) -> list[socket.socket]:
    """Bind METRICS_LISTEN. Raises PortError."""
    return [] if settings.metrics_listen is None else bind_all(settings.metrics_listen, _SETTING, ipv6=settings.ipv6)


def bind_all(listen: tuple[str, int], setting: str, *, ipv6: bool) -> list[socket.socket]:
    """Bind the address and port of a setting; "" stands for all addresses. Raises PortError."""
    address, port = listen
    if address:
        return [bind(address, port, setting, port_setting=setting)]
    sockets = [bind("0.0.0.0", port, setting, port_setting=setting)]  # noqa: S104  as the setting says
    if ipv6:
        try:
            sockets.append(bind("::", port, setting, port_setting=setting))
        except NoSuchProtocol:
            return sockets
    return sockets


@dataclass(frozen=True, slots=True)
class AskedParts:
    """The parts of a relay that are asked at a scrape."""

    queue: "QueueFigures"
    listener: "SmtpServerFactory"
    delivery: "DeliveryService"
    tokens: "TokenSource | None"


class RelayFigures:
    """All figures of one relay process."""

    def __init__(self, context: "RelayContext", counters: "Counters", parts: AskedParts) -> None:
        self._context = context
        self._counters = counters
        self._parts = parts
        self._started = context.wall_clock()

    async def samples(self) -> "Samples":
        """Return the present figures."""
        from mta.metrics.gauges import process_samples  # noqa: PLC0415

        of_queue = await self._parts.queue.samples()
        # Events are counted when their lines are written.
        self._context.event_log.flush()
        return {
            **self._counters.samples(),
            **of_queue,
            **self._of_parts(),
            **self._expiries(),
            **process_samples(self._started),
        }

    def _of_parts(self) -> "Samples":
        from mta.metrics.gauges import DestinationFigures, destination_samples  # noqa: PLC0415

        listener, delivery = self._parts.listener, self._parts.delivery
        found = (
            DestinationFigures(each.name, each.waiting, each.connections, each.blocked is not None, each.throttled)
            for each in delivery.destinations()
        )
        return {
            **destination_samples(found),
            ("client_connections", ()): listener.entered,
            ("clients_turned_away", ()): listener.turned_away,
            ("connections", ("in",)): listener.connections,
        }

    def _expiries(self) -> "Samples":
        samples: Samples = {}
        if self._context.certificate is not None:
            samples["certificate_expiry_timestamp_seconds", ()] = self._context.certificate.ends
        tokens = self._parts.tokens
        expires = None if tokens is None else tokens.expires
        if expires is not None:
            samples["token_expiry_timestamp_seconds", ()] = expires
        return samples


def dns_observer(counters: "Counters | None") -> LookedUp | None:
    """Return the callable that counts the answers of a resolver, or None if metrics are off."""
    if counters is None:
        return None
    results, seconds = counters.dns_lookups, counters.dns_seconds

    def looked_up(answer: object, took: float) -> None:
        results[_DNS_RESULTS.get(type(answer), "failed"),] += 1
        seconds.observe(took)

    return looked_up


def relay_figures(
    context: "RelayContext",
    queue: "CountedQueue",
    listener: "SmtpServerFactory",
    delivery: "DeliveryService",
    tokens: "TokenSource | None",
) -> RelayFigures | None:
    """Return the figures of a relay, or None if metrics are off."""
    if context.counters is None:
        return None
    from mta.metrics.queue_figures import QueueFigures  # noqa: PLC0415

    of_queue = QueueFigures(queue, context.reactor, context.wall_clock)
    return RelayFigures(context, context.counters, AskedParts(of_queue, listener, delivery, tokens))


class MetricsServer(Service):
    """Serves the figures of a relay on its sockets."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        counted: FiguresSource,
        output: Output,
        reactor: Any,
        counters: "Counters | None" = None,
    ) -> None:
        """`counters` are those of this process if `counted` does not include it."""
        self._started = time.time()
        self._counted = counted
        self._counters = counters
        self._output = output
        self._reactor = reactor
        self._ports = LatePorts(sockets, self._new_factory, reactor, self._in_thread)
        #: Whether the relay listens for mail.
        self.listening = False

    def startService(self) -> None:
        """Begin to answer; the first client waits for the modules that do."""
        super().startService()
        self._ports.open()

    def _in_thread(self, work: Callable[[], Any]) -> "Deferred[Any]":
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work)

    def _new_factory(self) -> "BoundedFactory":
        from mta.metrics.server import metrics_factory  # noqa: PLC0415

        return metrics_factory(self.answers(), self._reactor)

    def answers(self) -> "Answers":
        """Return the answers to programs, for another port too."""
        from mta.metrics.exposition import expose  # noqa: PLC0415
        from mta.metrics.health import Answers  # noqa: PLC0415

        return Answers(self, expose)

    def stopService(self) -> "Deferred[Any]":
        """Answer no more."""
        super().stopService()
        return self._ports.close()

    async def samples(self) -> "Samples":
        """Return all figures of the relay."""
        from mta.metrics.gauges import process_samples  # noqa: PLC0415
        from mta.metrics.metric import merged  # noqa: PLC0415
        from mta.metrics.table import METRICS  # noqa: PLC0415

        samples = await self._counted.samples()
        if self._counters is not None:
            own = {**self._counters.samples(), **process_samples(self._started)}
            samples = merged((samples, own), METRICS)
        return {**samples, ("log_lines_dropped", ()): self._output.dropped}

    def healthy(self) -> bool:
        """Return whether every process that accepts mail gives signs of life."""
        return self._counted.healthy()

    def ready(self) -> bool:
        """Return whether the relay listens for mail and is not about to stop."""
        return self.listening and bool(self.running)
