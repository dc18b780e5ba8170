"""The entry points for twistd, Options and makeService, and the Daemon service that they run."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.threads import deferToThreadPool
from twisted.logger import ILogObserver
from twisted.python import usage
from twisted.python.components import Componentized
from twisted.python.failure import Failure

import mta
from mta.config.rules.reading import read_again
from mta.config.setting import SettingsError
from mta.config.settings import Settings, read_settings
from mta.config.summary import startup_summary
from mta.daemon.clocks import use_monotonic_timers
from mta.daemon.garbage import look_for_garbage_rarely
from mta.daemon.parts.context import RelayContext
from mta.daemon.parts.metrics import MetricsServer, metrics_sockets, new_counters, new_event_log
from mta.daemon.parts.page import PageServer, listen_for_page
from mta.daemon.parts.traffic import TrafficService
from mta.daemon.periodic import PeriodicService
from mta.daemon.privileges import (
    PrivilegeError,
    become,
    forbid_new_privileges,
    is_root,
    privilege_notices,
    require_allowed_user,
    running_as,
    target_identity,
)
from mta.daemon.process_end import Signals, exit_with, fail, ignore_signals, write_stderr
from mta.daemon.queues.choosing import totals_of
from mta.daemon.queues.directory import take_directory
from mta.daemon.relay import Relay, client_certificate, read_keys, read_users, server_certificate
from mta.daemon.rules_watch import LOOK_INTERVAL, RulesWatch
from mta.daemon.runtime_settings import publish_settings
from mta.daemon.secure.validator import require_validator
from mta.daemon.systemd import ManagerService, find_manager
from mta.dkim.keyring import DkimKeyError
from mta.event_log.lines import FORMATS
from mta.event_log.log import EventLog
from mta.event_log.output import Output, TwistedObserver, end_cut_line
from mta.inbound.sockets.port_rule import RELAY_PORT, SUBMISSION_PORT, SUBMISSION_TLS_PORT, ListeningSocket, PortRule
from mta.inbound.sockets.ports import NoSuchProtocol, PortError, bind
from mta.queue.disk.queue_dir import create_for, worker_home
from mta.queue.ids import IdSource
from mta.queue.interface import QueueError
from mta.reactor.epoll import install_unless_chosen
from mta.rules.book import CurrentRules
from mta.tls.server import CHECK_INTERVAL as CERTIFICATE_INTERVAL
from mta.tls.server import CertificateError

if TYPE_CHECKING:
    from mta.metrics.counters import Counters
    from mta.workers.operator_channel import SendTo, WorkersOperator
    from mta.workers.supervisor import Supervisor

# Seconds to wait until workers of an earlier parent have closed the ports.
_PORT_PATIENCE = 5.0
# Errors that last until the operator corrects a setting or its file. A port or a disk may be free again later.
_MISTAKES = (PrivilegeError, CertificateError, DkimKeyError, SettingsError)


class Options(usage.Options):
    """The command line of `twistd smtprelay`, which has no options: the environment is the configuration."""

    synopsis = "(all settings are environment variables: see `smtprelay config show`)"
    settings: Settings
    output: Output
    event_log: EventLog
    #: None if metrics are off.
    counters: "Counters | None"
    #: Whether twistd itself was given a user or group to become.
    identity_given: bool

    def postOptions(self) -> None:
        """Read the settings, or end the program with all mistakes."""
        look_for_garbage_rarely()
        ignore_signals()
        for descriptor in (1, 2):
            end_cut_line(descriptor)
        install_unless_chosen()
        from twisted.internet import reactor  # noqa: PLC0415  it is chosen only now

        try:
            self.settings = read_settings(os.environ)
        except SettingsError as error:
            fail(*error.mistakes, status=os.EX_CONFIG)
        twistd_options: dict[str, Any] = {} if self.parent is None else self.parent
        self.identity_given = any(twistd_options.get(name) is not None for name in ("uid", "gid"))
        render = FORMATS[self.settings.log_format]
        self.output = Output(1, reactor, render)
        self.counters = new_counters(self.settings)
        self.event_log = new_event_log(self.counters, self.output, time.time, render)


def makeService(options: Options) -> "Daemon":
    """Return the daemon that twistd runs."""
    from twisted.internet import reactor  # noqa: PLC0415

    use_monotonic_timers(reactor)
    return Daemon(
        options.settings,
        options.event_log,
        options.output,
        reactor,
        may_become=not options.identity_given,
        counters=options.counters,
    )


class Daemon(MultiService):
    """Runs the relay itself, or the workers that share its ports.

    It binds its ports first, because that may require root; the other parts are built when it starts.
    """

    def __init__(
        self,
        settings: Settings,
        event_log: EventLog,
        output: Output,
        reactor: Any,
        *,
        may_become: bool = True,
        counters: "Counters | None" = None,
    ) -> None:
        """With `may_become` a daemon that is root becomes the user of RUN_AS. Without it, twistd changes the user.

        `counters` are those to which `event_log` adds; None if metrics are off.
        """
        super().__init__()
        self._settings = settings
        self._event_log = event_log
        self._output = output
        #: For the lines of workers on standard error.
        self._stderr = Output(2, reactor)
        self._reactor = reactor
        self._may_become = may_become
        self._sockets: list[ListeningSocket] = []
        self._counters = counters
        self._metrics: MetricsServer | None = None

    def setServiceParent(self, parent: Any) -> None:  # noqa: N802  Twisted names it
        """Join an application, and log Twisted's messages as events."""
        if isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, TwistedObserver(self._event_log, self._output.flush))
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Bind the ports, read certificate and keys, and drop root privileges; or end the program with one line."""
        settings, event_log = self._settings, self._event_log
        for output in (self._output, self._stderr):
            output.open()
        try:
            identity = target_identity(settings) if self._may_become and is_root() else None
            self._sockets = _open_sockets(settings, event_log)
            self._metrics_sockets = metrics_sockets(settings)
            self._page_listening = listen_for_page(settings, event_log)
            self._certificate = server_certificate(settings, event_log)
            self._client_certificate = client_certificate(settings, event_log)
            self._keyring = read_keys(settings, self._reactor, event_log.notice)
            self._users = read_users(settings, self._reactor, event_log.notice)
            require_validator(settings)
            if identity is not None:
                create_for(settings.queue_dir, identity.uid, identity.gid)
                become(identity)
        except (*_MISTAKES, PortError, QueueError) as error:
            _end_with(error)
        super().privilegedStartService()

    def startService(self) -> None:
        """Lock the queue directory and start the relay or the workers; or end the program with one line."""
        self._log_settings()
        self._addresses = [each.address for each in self._sockets]
        manager = find_manager(os.environ, os.getpid())
        try:
            require_allowed_user(self._settings)
            forbid_new_privileges()
            self._lock = take_directory(self._settings, self._event_log)
            _publish_settings(self._settings, self._event_log)
            self._rules, watch = self._watched_rules()
            core = self._relay() if self._settings.workers == 1 else self._supervisor(manager.watchdog)
            core.setServiceParent(self)
            if self._counters is not None:
                self._serve_metrics(core, self._counters)
            page = self._serve_page(core)
            self._count_traffic()
            super().startService()
            reload = partial(_call_all, core.reload, watch.reload, page)
            Signals(self._reactor, stop=self._stop_reactor, reload=reload, notice=self._event_log.notice).install()
        except (*_MISTAKES, QueueError) as error:
            _end_with(error)
        self._manager = ManagerService(manager, self._reactor, self._event_log.trouble, healthy=core.healthy)
        core.ready.addCallbacks(self._announce, self._cannot_start)

    def _watched_rules(self) -> tuple[CurrentRules, RulesWatch]:
        """Return the rules in force, and the watch that replaces them when their files change."""
        settings, reactor = self._settings, self._reactor
        rules = CurrentRules(settings.rules)
        watch = RulesWatch(
            rules,
            settings.rule_files,
            partial(read_again, os.environ),
            run=partial(deferToThreadPool, reactor, reactor.getThreadPool()),
            wall_clock=time.time,
            event_log=self._event_log,
        )
        PeriodicService(watch.look, LOOK_INTERVAL, reactor).setServiceParent(self)
        return rules, watch

    def _relay(self) -> Relay:
        context = RelayContext(
            settings=self._settings,
            reactor=self._reactor,
            event_log=self._event_log,
            sockets=self._sockets,
            certificate=self._certificate,
            keyring=self._keyring,
            users=self._users,
            home=self._settings.queue_dir,
            ids=IdSource(),
            rules=self._rules,
            client_certificate=self._client_certificate,
            counters=self._counters,
        )
        return Relay(context)

    def _count_traffic(self) -> None:
        run = partial(deferToThreadPool, self._reactor, self._reactor.getThreadPool())
        directory, trouble = self._settings.queue_dir, self._event_log.trouble
        totals = totals_of(self._settings)
        TrafficService(directory, totals, run=run, clock=self._reactor, trouble=trouble).setServiceParent(self)

    def _serve_metrics(self, core: "Relay | Supervisor", counters: "Counters") -> None:
        self._addresses += [each.getsockname()[:2] for each in self._metrics_sockets]
        self._metrics = MetricsServer(
            self._metrics_sockets, core, self._output, self._reactor, counters if self._settings.workers > 1 else None
        )
        self._metrics.setServiceParent(self)

    def _serve_page(self, core: "Relay | Supervisor") -> Callable[[], object]:
        """Serve the page, if it is on; return the callable that reads its files again."""
        if self._page_listening is None:
            return lambda: None
        self._addresses += self._page_listening.addresses
        answers = None if self._metrics is None else self._metrics.answers
        state = (lambda: core.state) if isinstance(core, Relay) else (lambda: self._workers_state)
        page = PageServer(self._page_listening, self._settings, state, self._rules, self._reactor, answers=answers)
        page.setServiceParent(self)
        return page.reload

    def _supervisor(self, watchdog: float | None) -> "Supervisor":
        # Imported if needed, because most relays have no workers.
        from mta.workers.parent import supervise  # noqa: PLC0415

        # The workers read the DKIM keys themselves; notices about them were logged once, by the parent.
        settings, certificate = self._settings, self._certificate
        if certificate is not None:
            PeriodicService(certificate.check, CERTIFICATE_INTERVAL, self._reactor).setServiceParent(self)
        return supervise(
            settings,
            self._sockets,
            certificate,
            self._client_certificate,
            self._rules,
            watchdog=watchdog,
            event_log=self._event_log,
            pass_on=self._output.write_lines,
            complain=self._stderr.write_lines,
            reactor=self._reactor,
            new_operator=self._new_operator,
        )

    def _new_operator(self, send: "SendTo") -> "WorkersOperator":
        """Answer operators for all workers; return the end of their channels that is for operators."""
        from mta.daemon.operators.workers_state import WorkersState  # noqa: PLC0415

        self._workers_state = WorkersState(
            self._settings, self._rules, event_log=self._event_log, reactor=self._reactor, send=send
        )
        self._workers_state.socket.setServiceParent(self)
        return self._workers_state.workers

    def _stop_reactor(self) -> None:
        with suppress(ReactorNotRunning):
            self._reactor.stop()

    def stopService(self) -> "Deferred[None]":
        """Stop the relay or all workers; running deliveries get their grace period."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        # The parent's copies of the sockets: while they are open, clients can connect and wait for a greeting.
        for each in self._sockets:
            each.socket.close()
        if self._metrics is not None:
            self._metrics.listening = False
        await maybeDeferred(super().stopService)
        self._event_log.stopped()
        for output in (self._stderr, self._output):
            output.close()

    def _log_settings(self) -> None:
        for notice in self._settings.notices:
            self._event_log.notice(notice)
        for line in (*startup_summary(self._settings), running_as(self._settings)):
            self._event_log.understood(line)
        for notice in privilege_notices(self._settings):
            self._event_log.notice(notice)

    def _announce(self, waiting: int) -> None:
        settings = self._settings
        if self._metrics is not None:
            self._metrics.listening = True
        for address, port in self._addresses:
            self._event_log.listening(address, port)
        self._manager.setServiceParent(self)
        self._manager.status(f"{settings.mailname}: {waiting} messages in the queue at the start")
        self._event_log.started(mta.__version__, settings.mailname, settings.queue_place, waiting)

    def _cannot_start(self, failure: Failure) -> None:
        """End the program as a relay without workers does."""
        from mta.workers.supervisor import WorkersFailed  # noqa: PLC0415

        failure.trap(WorkersFailed)
        failed = failure.value
        assert isinstance(failed, WorkersFailed)
        write_stderr(failed.words)
        exit_with(failed.status)
        self._reactor.callWhenRunning(self._stop_reactor)


def _call_all(*calls: Callable[[], object]) -> None:
    for call in calls:
        call()


def _end_with(error: Exception) -> NoReturn:
    """End the program with a line for each mistake, and a status that tells its manager whether to restart it."""
    fail(*str(error).splitlines(), status=os.EX_CONFIG if isinstance(error, _MISTAKES) else 1)


def _open_sockets(settings: Settings, event_log: EventLog) -> list[ListeningSocket]:
    """Bind the addresses and ports of the settings, PORT on IPv4 first. Raises PortError."""
    orphans = settings.workers > 1 or worker_home(settings.queue_dir, 2).exists()
    patience = _PORT_PATIENCE if orphans else 0.0
    ports = _ports(settings)
    sockets = [_listen(settings.bind_ip, port, "BIND_IP", rule, patience) for port, rule in ports]
    if settings.bind_ip6 is not None:
        try:
            sockets += [_listen(settings.bind_ip6, port, "BIND_IP6", rule, patience) for port, rule in ports]
        except NoSuchProtocol:
            # `::` means all addresses, so it is not an error on a kernel without IPv6.
            if ip_address(settings.bind_ip6) != ip_address("::"):
                raise
            event_log.notice("this host has no IPv6: listening on IPv4 only")
    return sockets


def _ports(settings: Settings) -> list[tuple[int, PortRule]]:
    ports = (
        (settings.port, RELAY_PORT),
        (settings.submission_port, SUBMISSION_PORT),
        (settings.submission_tls_port, SUBMISSION_TLS_PORT),
    )
    return [(port, rule) for port, rule in ports if port is not None]


def _listen(address: str, port: int, setting: str, rule: PortRule, patience: float) -> ListeningSocket:
    return ListeningSocket(bind(address, port, setting, patience, port_setting=rule.setting), rule)


def _publish_settings(settings: Settings, event_log: EventLog) -> None:
    """Publish the settings to the operator's commands, if there is a runtime directory."""
    try:
        publish_settings(os.environ, settings.queue_dir, settings.rules.secret_variables if settings.rules else ())
    except OSError as error:
        event_log.notice(f"the settings cannot be published to the smtprelay command: {error}")
