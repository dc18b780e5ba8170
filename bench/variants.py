"""Listeners without a delivery behind them, for the rows that measure the cost of the rest of the relay.

Usage: python -m bench.variants ceiling|held, with the relay's settings in the environment

`ceiling` answers each message as soon as it has arrived: the relay's reactor, machines and sockets with no queue.
`held` stores each message durably, unclaimed, and does not deliver.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed

from mta.config.settings import Settings, read_settings
from mta.event_log.lines import FORMATS
from mta.event_log.log import EventLog
from mta.event_log.output import Output
from mta.inbound.intake import Intake
from mta.inbound.limits import InboundLimits
from mta.inbound.listener import SmtpServerFactory
from mta.inbound.policy import Client, RelayPolicy
from mta.inbound.session import Session
from mta.inbound.sockets.port_rule import PortRule
from mta.inbound.sockets.ports import bind
from mta.queue.disk.threads import Threads
from mta.queue.ids import IdSource
from mta.queue.interface import Claim, NewMail
from mta.queue.memory import MemoryQueue
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from mta.queue.sqlite.wal import WAL_OCTETS
from mta.rate_counts import RateCounts
from mta.reactor.epoll import install_unless_chosen
from mta.rules.book import CurrentRules
from mta.rules.facts import not_looked_up
from mta.smtp.limits import SmtpLimits
from mta.smtp.replies import Reply
from mta.smtp.server.canned_replies import RECIPIENT_OK
from mta.smtp.server.machine import ServerMachine


class AnsweringQueue(MemoryQueue):
    """The part of a queue that the intake needs: every message is taken at once and forgotten."""

    def add(
        self,
        mail: NewMail,  # noqa: ARG002
        now: float,  # noqa: ARG002
        lease: float | None = None,  # noqa: ARG002
        due: float | None = None,  # noqa: ARG002
    ) -> "Deferred[Claim | None]":
        """Take it."""
        return succeed(None)


class Held:
    """The intake's DirectDelivery without a delivery: messages are stored unclaimed and wait."""

    def lease(self, size: int) -> float | None:  # noqa: ARG002
        """Return no lease, so that the message is stored unclaimed."""
        return None

    def take(self, claim: Claim) -> None:
        """Ignore the claim, which cannot come."""

    def wake(self) -> None:
        """Do not look for due messages."""


def listener(settings: Settings, queue: Any, output: Output, clock: Any) -> SmtpServerFactory:
    """Return the daemon's listener as mta.daemon.assembly makes it, before a queue from which no delivery claims."""
    event_log = EventLog(output.write, time.time, FORMATS[settings.log_format], later=output.write_later)
    name = settings.mailname
    smtp_limits = SmtpLimits(message_size=settings.message_size_limit, text_line=settings.line_length_limit)
    limits = InboundLimits()
    intake = Intake(queue, Held(), event_log, ids=IdSource(), wall_clock=time.time, name=name, limits=limits)
    policy = RelayPolicy(settings.relay_domains, settings.local_domains.matches, lambda _: False)

    def new_machine(_client: Client, _rule: PortRule) -> ServerMachine:
        return ServerMachine(smtp_limits, name)

    def accept_domain(_domain: str, done: Callable[[Reply], None]) -> None:
        done(RECIPIENT_OK)

    rules, rate_counts = CurrentRules(None), RateCounts(clock.seconds)

    def new_session(client: Client, _rule: PortRule, reply_ready: Callable[[Reply], None]) -> Session:
        return Session(
            client,
            policy,
            intake,
            check_domain=accept_domain,
            rules=rules,
            host_addresses=not_looked_up,
            rate_counts=rate_counts,
            event_log=event_log,
            reply_ready=reply_ready,
        )

    return SmtpServerFactory(new_machine, new_session, lambda _: True, event_log, name=name, limits=limits, clock=clock)


def main() -> int:
    """Listen until SIGTERM. Returns the exit status."""
    install_unless_chosen()
    from twisted.internet import reactor  # noqa: PLC0415

    if sys.argv[1:] not in (["ceiling"], ["held"]):
        print(__doc__, file=sys.stderr)
        return os.EX_USAGE
    return _serve(sys.argv[1], reactor)


def _relays_queue(settings: Settings, run: Threads, reactor: Any) -> SqliteQueue:
    """Return the queue with the options of the daemon's own (`mta/daemon/queues/own.py`)."""
    return open_queue(settings.queue_dir, run=run, now=time.time(), call_later=reactor.callLater, wal_octets=WAL_OCTETS)


def _serve(variant: str, reactor: Any) -> int:
    settings, run = read_settings(os.environ), Threads(reactor)
    queue = AnsweringQueue() if variant == "ceiling" else _relays_queue(settings, run, reactor)
    output = Output(1, reactor)
    listening = bind(settings.bind_ip, settings.port, "BIND_IP")
    factory = listener(settings, queue, output, reactor)
    reactor.adoptStreamPort(listening.fileno(), listening.family, factory)
    reactor.addSystemEventTrigger("before", "shutdown", queue.close)
    reactor.addSystemEventTrigger("after", "shutdown", run.stop)
    reactor.run()
    output.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
