"""The context of a relay."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from mta.config.settings import Settings
from mta.delivery.destinations.window import NewWindow
from mta.dkim.keyring import Keyring
from mta.event_log.log import EventLog
from mta.inbound.sockets.balance import Balance
from mta.inbound.sockets.port_rule import ListeningSocket
from mta.queue.ids import IdSource
from mta.rate_counts import RateCounts
from mta.rules.book import CurrentRules
from mta.tls.client_certificate import ClientCertificate
from mta.tls.server import ServerCertificate

if TYPE_CHECKING:
    from mta.delivery.rates.leave import NewLeave
    from mta.metrics.counters import Counters
    from mta.users.users import Users


@dataclass(frozen=True, slots=True)
class RelayContext:
    """The settings, resources and services from which one relay is built."""

    settings: Settings
    reactor: Any
    event_log: EventLog
    #: Bound and listening; the relay closes them.
    sockets: Sequence[ListeningSocket]
    certificate: ServerCertificate | None
    keyring: Keyring | None
    users: "Users | None"
    #: The directory of the queue.
    home: Path
    ids: IdSource
    #: The operator's own rules, which change while the relay runs.
    rules: CurrentRules
    #: Shown to the smarthost, if there is one.
    client_certificate: ClientCertificate | None = None
    #: Given if other processes share the limits of destinations.
    windows: NewWindow | None = None
    #: Given if other processes count accepted mail too.
    rate_counts: RateCounts | None = None
    #: Given if other processes share the rates of rules.
    new_leave: "NewLeave | None" = None
    #: Given if other processes accept connections from the same sockets.
    balance: Balance | None = None
    #: Given if the relay counts its events.
    counters: "Counters | None" = None
    wall_clock: Callable[[], float] = time.time
    #: Whether this process is the relay, so that it answers operators itself; a worker answers its parent.
    alone: bool = True

    def in_thread(self, work: Callable[[], Any]) -> "Deferred[Any]":
        """Run work that may block in the reactor's thread pool."""
        return deferToThreadPool(self.reactor, self.reactor.getThreadPool(), work)
