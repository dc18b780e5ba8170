"""One worker of a relay of several: `python -m mta.workers.worker NUMBER TAG CHANNEL HANDOVER BALANCE RULES SOCKET...`.

The tag distinguishes its queue ids from those of other workers; the other arguments are inherited descriptors. A worker
is a whole relay with its own queue. The parent watches it and forwards its log. When the channel ends, the worker
stops, because its parent is gone.
"""

import os
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import globalLogBeginner

from mta.admin.feed_channel import EventSender
from mta.config.setting import SettingsError
from mta.daemon.clocks import use_monotonic_timers
from mta.daemon.garbage import look_for_garbage_rarely
from mta.daemon.parts.context import RelayContext
from mta.daemon.parts.metrics import new_counters, new_event_log
from mta.daemon.process_end import Signals, fail, ignore_signals
from mta.daemon.relay import Relay, read_keys, read_users
from mta.delivery.destinations.window import window_limits
from mta.delivery.rates.leave import Leaves
from mta.dkim.keyring import DkimKeyError
from mta.event_log.lines import FORMATS, Render
from mta.event_log.log import EventLog
from mta.event_log.output import Output, TwistedObserver
from mta.inbound.sockets.balance import Balance
from mta.inbound.sockets.port_rule import ListeningSocket
from mta.queue.disk.queue_dir import worker_home
from mta.queue.ids import IdSource
from mta.queue.interface import QueueError
from mta.reactor.epoll import install_same
from mta.rules.book import CurrentRules
from mta.tls.client_certificate import ClientCertificate
from mta.tls.server import ServerCertificate
from mta.workers.channel import Channel, open_channel
from mta.workers.handover import Handover, HandoverError, read_handover
from mta.workers.operator_channel import WorkerOperator
from mta.workers.shared_counts import SharedCounts
from mta.workers.shared_rules import SharedRules
from mta.workers.window_client import SharedWindows

if TYPE_CHECKING:
    from mta.metrics.counters import Counters


class QuietEventLog(EventLog):
    """The event log of all workers but the first. It omits events that would be the same in every worker."""

    def notice(self, text: str) -> None:
        """Omit a notice, which the first worker logs."""

    def reloaded(self, files: str) -> None:
        """Omit the event, which the first worker logs."""


class Worker(MultiService):
    """Runs a relay, and reports to the parent."""

    def __init__(
        self,
        number: int,
        ids: IdSource,
        handover: Handover,
        sockets: Sequence[ListeningSocket],
        *,
        balance: Balance,
        shared_rules: SharedRules,
        event_log: EventLog,
        reactor: Any,
        counters: "Counters | None" = None,
    ) -> None:
        super().__init__()
        self._counters = counters
        self._number = number
        self._ids = ids
        self._handover = handover
        self._sockets = sockets
        self._balance = balance
        self._shared_rules = shared_rules
        self._event_log = event_log
        self._reactor = reactor
        self._heartbeat: IDelayedCall | None = None
        self._counts: SharedCounts | None = None
        self.channel = Channel({}, ended=self.stop, trouble=event_log.trouble)

    def startService(self) -> None:
        """Start the relay, and tell the parent when it listens. Raises QueueError, DkimKeyError or SettingsError."""
        settings = self._handover.settings
        windows = SharedWindows(window_limits(settings.retry_schedule), self.channel.send)
        counts = self._counts = SharedCounts(self._reactor, self.channel.send)
        leaves = Leaves(self.channel.send, time.time)
        self.channel.handlers.update(windows.handlers() | counts.handlers() | leaves.handlers())
        rules = CurrentRules(self._shared_rules.read())
        self.channel.handlers["rules"] = lambda: rules.replace(self._shared_rules.read())
        context = RelayContext(
            settings=settings,
            reactor=self._reactor,
            event_log=self._event_log,
            sockets=self._sockets,
            certificate=self._certificate(),
            keyring=read_keys(settings, self._reactor, self._notice),
            users=read_users(settings, self._reactor, self._notice),
            home=worker_home(settings.queue_dir, self._number),
            ids=self._ids,
            rules=rules,
            client_certificate=self._client_certificate(),
            windows=windows.new,
            rate_counts=counts.counts,
            new_leave=leaves.new,
            balance=self._balance,
            counters=self._counters,
            alone=False,
        )
        relay = Relay(context)
        relay.setServiceParent(self)
        self._events = EventSender(self._event_log.copy_to, self.channel.send, self._reactor)
        self._event_log.copy_errors_to(self._events.receive_error)
        super().startService()
        self.channel.handlers.update(self._events.handlers())
        self.channel.handlers.update(WorkerOperator(relay.state, self.channel.send).handlers())
        self.channel.handlers["reload"] = relay.reload
        if self._counters is not None:
            self._answer_figures(relay)
        Signals(self._reactor, stop=self.stop, reload=relay.reload, notice=self._event_log.notice).install()
        relay.ready.addCallback(self._ready)

    def _answer_figures(self, relay: Relay) -> None:
        from mta.workers.figures import FIGURES, answer_figures  # noqa: PLC0415

        self.channel.handlers[FIGURES] = partial(answer_figures, relay.samples, self.channel.send)

    def stopService(self) -> Any:
        """Stop the heartbeats and the relay."""
        self._balance.leave(self._number)
        if self._counts is not None:
            self._counts.close()
            self._events.close()
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            self._heartbeat = None
        return super().stopService()

    def _ready(self, waiting: int) -> None:
        if self.running:
            self.channel.send("ready", waiting)
            if self._handover.heartbeat is not None:
                self._beat(self._handover.heartbeat)

    def _beat(self, wait: float) -> None:
        self._heartbeat = self._reactor.callLater(wait, self._beat, wait)
        self.channel.send("alive")

    def _certificate(self) -> ServerCertificate | None:
        snapshot = self._handover.certificate
        if snapshot is None:
            return None
        paths = snapshot.files.certificate_path, snapshot.files.key_path
        # The parent checks the files too, and logs the notices.
        certificate = ServerCertificate(
            *paths, wall_clock=time.time, notice=_ignore, trouble=_ignore, snapshot=snapshot
        )
        certificate.check()
        return certificate

    def _client_certificate(self) -> ClientCertificate | None:
        files = self._handover.client_certificate
        return None if files is None else ClientCertificate(files, self._event_log.trouble)

    def _notice(self, text: str) -> None:
        """Log a notice about keys that were read again. Those about the start are logged by the parent."""
        if self.running:
            self._event_log.notice(text)

    def stop(self) -> None:
        """Stop the reactor, unless it is stopping already."""
        with suppress(ReactorNotRunning):
            self._reactor.stop()


def main(arguments: Sequence[str]) -> None:
    """Run a worker until the parent stops it or is gone."""
    number, tag, channel, handover_fd, counts, rules, *sockets = map(int, arguments)
    look_for_garbage_rarely()
    ignore_signals()
    # Leave the terminal's process group, so that a signal from the terminal reaches the parent only, but not its
    # session: outside of other control groups Linux lets sessions compete as wholes (sched_autogroup), and a worker in
    # one of its own took turns with its clients on a busy machine (measured: a quarter more CPU time a message).
    os.setpgrp()
    try:
        handover = read_handover(handover_fd)
    except HandoverError as error:
        fail(str(error))
    install_same(handover.reactor_module)
    from twisted.internet import reactor as chosen  # noqa: PLC0415  it is chosen only now

    reactor: Any = chosen
    use_monotonic_timers(reactor)
    render = FORMATS[handover.settings.log_format]
    output = Output(1, reactor, render)
    output.open()
    counters = new_counters(handover.settings)
    loud = new_event_log(counters, output, time.time, render)
    globalLogBeginner.beginLoggingTo([TwistedObserver(loud, output.flush)])
    event_log = loud if number == 1 else _quiet(counters, output, render)
    listening = [
        ListeningSocket(socket.socket(fileno=descriptor), rule)
        for descriptor, rule in zip(sockets, handover.rules, strict=True)
    ]
    worker = Worker(
        number,
        IdSource(tag),
        handover,
        listening,
        balance=Balance(counts, number),
        shared_rules=SharedRules(rules),
        event_log=event_log,
        reactor=reactor,
        counters=counters,
    )
    open_channel(reactor, socket.socket(fileno=channel), worker.channel)
    try:
        worker.startService()
    except (QueueError, DkimKeyError, SettingsError) as error:
        fail(*str(error).splitlines())
    reactor.addSystemEventTrigger("before", "shutdown", worker.stopService)
    reactor.run()
    output.close()


def _quiet(counters: "Counters | None", output: Output, render: Render) -> EventLog:
    if counters is None:
        return QuietEventLog(output.write, time.time, render, flush=output.flush, later=output.write_later)
    from mta.metrics.counting import CountingEventLog  # noqa: PLC0415

    class QuietCountingEventLog(QuietEventLog, CountingEventLog):
        """The event log of such a worker if metrics are on."""

    later = output.write_later
    return QuietCountingEventLog(output.write, time.time, render, counters=counters, flush=output.flush, later=later)


def _ignore(_: str) -> None:
    pass


if __name__ == "__main__":
    main(sys.argv[1:])
