"""Prepares the parent of several workers: their handover, command line and environment."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from mta.blocking import run_inline
from mta.config.settings import Settings
from mta.config.table import SETTINGS
from mta.daemon.parts.rates import rate_broker
from mta.delivery.destinations.window import window_limits
from mta.event_log.log import EventLog
from mta.inbound.sockets.balance import Balance, shared_memory
from mta.inbound.sockets.port_rule import ListeningSocket
from mta.queue.ids import Tags
from mta.rules.book import CurrentRules, RuleBook
from mta.tls.client_certificate import ClientCertificate
from mta.tls.server import ServerCertificate
from mta.workers.handover import Handover, write_handover
from mta.workers.operator_channel import SendTo, WorkersOperator
from mta.workers.process import Launch, OutputSinks
from mta.workers.shared_rules import SharedRules
from mta.workers.supervisor import Supervisor

# Heartbeats of a worker in the period in which one is required.
_HEARTBEATS = 4
# Variables that the service manager sets for the parent only.
_MANAGERS = {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"}
_NOT_INHERITED = _MANAGERS | {setting.name for setting in SETTINGS if setting.secret}


def supervise(
    settings: Settings,
    sockets: Sequence[ListeningSocket],
    certificate: ServerCertificate | None,
    client_certificate: ClientCertificate | None,
    rules: CurrentRules,
    *,
    watchdog: float | None,
    event_log: EventLog,
    pass_on: Callable[[bytes], object],
    complain: Callable[[bytes], object],
    reactor: Any,
    new_operator: Callable[[SendTo], WorkersOperator],
) -> Supervisor:
    """Return the service that keeps the workers running. The sockets stay open in the parent for restarted workers.

    A change of `rules` reaches all workers. `new_operator` returns the end of their channels that is for operators.
    """
    shared_rules = SharedRules.create(rules.book)
    handover = Handover(
        replace(settings, rules=None),
        tuple(each.rule for each in sockets),
        None if certificate is None else certificate.snapshot,
        None if watchdog is None else watchdog / _HEARTBEATS,
        None if client_certificate is None else client_certificate.files,
        type(reactor).__module__,
    )
    tags = Tags()

    def command(number: int) -> list[str]:
        # Import from the paths of the parent, not from the current directory (-P).
        return [sys.executable, "-P", "-m", "mta.workers.worker", str(number), str(tags.new(number))]

    counts = shared_memory(settings.workers)
    sockets_of_all = [each.socket.fileno() for each in sockets]
    inherited = [write_handover(handover), counts, shared_rules.descriptor, *sockets_of_all]
    for_workers = environment(os.environ, sys.path, _secret_variables(rules.book))
    supervisor = Supervisor(
        reactor,
        Launch(command, for_workers, inherited, Balance(counts).leave),
        settings.workers,
        limits=window_limits(settings.retry_schedule),
        sinks=OutputSinks(pass_on, complain, event_log.trouble),
        patience=watchdog,
        reload=None if certificate is None else certificate.reload,
        figures=settings.metrics_listen is not None,
        new_operator=new_operator,
        new_rates=partial(rate_broker, settings.queue_dir, reactor, run_inline, event_log),
    )

    def share() -> None:
        for name in _secret_variables(rules.book):
            for_workers.pop(name, None)
        shared_rules.write(rules.book)
        supervisor.tell_all("rules")

    rules.when_changed(share)
    return supervisor


def _secret_variables(book: RuleBook | None) -> Sequence[str]:
    return () if book is None else book.secret_variables


def environment(
    environ: Mapping[str, str], path: Sequence[str], secret_variables: Sequence[str] = ()
) -> dict[str, str]:
    """Return the environment of a worker: the parent's, with the parent's import paths and without secrets.

    A worker gets the secrets with its settings. `secret_variables` are those that rules name.
    """
    left_out = _NOT_INHERITED.union(secret_variables)
    inherited = {name: value for name, value in environ.items() if name not in left_out}
    return {**inherited, "PYTHONPATH": os.pathsep.join(os.path.abspath(folder) for folder in path)}  # noqa: PTH100
