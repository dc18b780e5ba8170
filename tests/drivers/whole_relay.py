"""A relay in memory: sessions, queue, router and delivery are real, the hosts to which it sends are fakes."""

from pathlib import Path
from typing import Any

from harness.zone import Zone, ZoneResolver
from mta.blocking import run_inline
from mta.config.settings import Settings
from mta.daemon.parts.deciding import follow_transport_rules, local_mail, relay_policy, router_rules
from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.window import own_windows, window_limits
from mta.delivery.reports import DsnReporter
from mta.delivery.retry_policy import RetryPolicy
from mta.delivery.route_rules import RouteRules
from mta.delivery.service import DeliveryService
from mta.delivery.settlement import Settler
from mta.inbound.login import LoginPolicy
from mta.inbound.policy import DomainCheck
from mta.queue.entries import Action, Entry, Query
from mta.queue.ids import IdSource
from mta.retry_schedule import RetryTerms
from mta.routing.private_addresses import OwnSockets
from mta.routing.router import MailRouter
from mta.rules.book import RuleBook
from mta.rules.facts import HostAddresses
from mta.smtp.limits import Leniency
from tests.drivers.listener import NAME, Listening
from tests.fakes.connector import FakeConnector

#: The DNS. Each domain has hosts in one certain order.
ZONE: dict[str, dict[str, Any]] = {
    "a.test": {"MX": [[10, "mx.a.test"]]},
    "mx.a.test": {"A": ["198.51.100.1"]},
    "relay.test": {"MX": [[10, "mx1.relay.test"], [20, "mx2.relay.test"]]},
    "mx1.relay.test": {"A": ["198.51.100.2"]},
    "mx2.relay.test": {"AAAA": ["2001:db8::2"]},
    "other.test": {"MX": [[10, "mx.a.test"]]},
    "sub.other.test": {"AAAA": ["2001:db8::3"]},
    "archive.test": {"A": ["198.51.100.4"]},
    "broken.test": {"FAIL": "SERVFAIL"},
    "null.test": {"MX": [[0, ""]]},
    "smart.test": {"A": ["198.51.100.5"], "TTL": 60},
    "office.hosts.test": {"A": ["198.51.100.6"]},
}


def environment(boxes: Path, **more: str) -> dict[str, str]:
    """Return the settings of a relay with a mailbox of the user bob, which is made."""
    for name in ("new", "cur", "tmp"):
        (boxes / "bob" / name).mkdir(parents=True, exist_ok=True)
    return {
        "MAILNAME": NAME,
        "NET_DEV": "none0",
        "RELAY_DOMAINS": "relay.test",
        "OTHER_HOSTNAMES": "here.test",
        "MAIL_DIR": str(boxes),
        **more,
    }


class WholeRelay(Listening):
    """A relay of some settings, with rules, of which users and host names in rules are given."""

    def __init__(
        self, settings: Settings, rules: RuleBook | None, *, users: str, host_addresses: HostAddresses
    ) -> None:
        in_clear = LoginPolicy(on_relay_port=True, in_clear=True)
        super().__init__(leniency=Leniency(NAME, names=True), users=users, logins=in_clear, rules=rules)
        self.host_addresses = host_addresses
        self.is_trusted = lambda address: bool(settings.trusted.verdict(address, {}))
        self.connector = FakeConnector()
        own = router_rules(settings, OwnSockets(()))
        resolver = ZoneResolver(Zone(ZONE), suffix="test")
        router = MailRouter(own, resolver, self.clock.seconds)
        follow_transport_rules(router, self.rules)
        local = local_mail(settings, run_inline, self.clock.seconds, None)
        self.policy = relay_policy(settings, own, local, self.is_trusted)
        self.check_domain = DomainCheck(MailRouter(own, resolver, self.clock.seconds))
        retry = RetryPolicy(RetryTerms(settings.retry_schedule), self.rules)
        context = DeliveryContext(self.clock, self.clock.seconds, self.event_log)
        self.service = DeliveryService(
            self.queue,
            router,
            self.connector,
            local,
            Settler(self.queue, DsnReporter(NAME, IdSource(tag=3), retry), retry, context),
            context=context,
            windows=own_windows(window_limits(settings.retry_schedule)),
            rules=RouteRules(self.rules, self.is_trusted, host_addresses),
        )
        self.intake.delivery = self.service
        self.service.startService()
        self.clock.advance(0)

    def entries(self) -> list[Entry]:
        """Return the mail of clients in the queue and its history."""
        found: list[list[Entry]] = []
        self.queue.find(Query(finished=True)).addCallback(found.append)
        return [entry for entry in found[0] if entry.client]

    def release(self, entry: Entry) -> None:
        """Release a message that a rule holds."""
        self.queue.apply(Action.RELEASE, [entry.id], self.clock.seconds())
        self.service.applied(Action.RELEASE, [entry.id])
        self.clock.advance(0)
