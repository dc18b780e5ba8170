"""The relay is not open: each client with each recipient under each of the settings that concern relaying."""

import ipaddress
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from harness.zone import Zone, ZoneResolver
from mta.config.settings import Settings, read_settings
from mta.config.table import SETTINGS as TABLE
from mta.daemon.parts.deciding import router_rules
from mta.delivery.local.rule import LocalKind
from mta.inbound.policy import Client, DomainCheck, RelayPolicy
from mta.inbound.session import HANDLERS, Session
from mta.message.outcome import Failed
from mta.rate_counts import RateCounts
from mta.routing.private_addresses import OwnSockets
from mta.routing.route import Local, Plan
from mta.routing.router import MailRouter
from mta.routing.rules import RouterRules
from mta.rules.actions import Accept, Hold, read_deny
from mta.rules.book import CurrentRules, RuleBook
from mta.rules.facts import not_looked_up
from mta.smtp.address import Address, parse_address
from mta.smtp.errors import ProtocolRefusal
from mta.smtp.limits import STRICT, Leniency
from mta.smtp.replies import Reply
from mta.smtp.server.commands import parse_rcpt
from mta.smtp.server.events import MailFrom
from tests.drivers import rule_books
from tests.drivers.listener import Listening
from tests.inbound.relaying import CLIENTS, OPEN, OWN, RECIPIENTS, SETTINGS
from tests.length import choose

PORTS = ("25", "587", "2525")
# Settings that have no say in who may send what where; a new one must be put here or into the table of the matrix.
NO_SAY = {
    *("PORT", "BIND_IP", "BIND_IP6", "MAILNAME", "RUN_AS", "MAIL_DIR", "ALIASES_FILE", "CERTIFICATE_PATH", "KEY_PATH"),
    *("SMARTHOST_PORT", "SMARTHOST_USER", "SMARTHOST_PASSWORD", "SMARTHOST_ALIASES", "SMARTHOST_TLS"),
    *("SMARTHOST_CA_FILE", "SES_REGION", "SES_PORT", "DKIM_KEY_PATH", "DKIM_SELECTOR", "DKIM_CANON", "QUEUE_DIR"),
    *(
        "RETRY_SCHEDULE",
        "HISTORY_DAYS",
        "MESSAGE_SIZE_LIMIT",
        "LINE_LENGTH_LIMIT",
        "DNS_SERVERS",
        "LOG_FORMAT",
        "METRICS_LISTEN",
        "ADMIN_LISTEN",
        "ADMIN_PASSWORD",
        "ADMIN_CERTIFICATE_PATH",
        "ADMIN_KEY_PATH",
        "EVENTS_URL",
        "EVENTS_SECRET",
        "POSTMASTER",
    ),
    *("QUEUE_URL", "QUEUE_PASSWORD", "NODE_NAME"),
    *("LOG_SUBJECT", "VERBOSE", "USE_SPLIT_CONFIG", "MACROS_FILE", "LINE_ENDINGS"),
    *("SMARTHOST_TOKEN_URL", "SMARTHOST_TOKEN_SCOPE", "SMARTHOST_CLIENT_ID", "SMARTHOST_CLIENT_SECRET"),
    *("SMARTHOST_REFRESH_TOKEN", "SMARTHOST_CERTIFICATE_PATH", "SMARTHOST_KEY_PATH", "O365_USER", "O365_TENANT"),
    *("O365_CLOUD", "O365_CLIENT_ID", "O365_CLIENT_SECRET", "O365_REFRESH_TOKEN", "GMAIL_CLIENT_ID"),
    *("GMAIL_CLIENT_SECRET", "GMAIL_REFRESH_TOKEN", "GMAIL_SERVICE_ACCOUNT"),
    # A client of the matrix does not log in, and is one that a load balancer has named.
    *("SUBMISSION_PORT", "SUBMISSION_TLS_PORT", "AUTH_USERS", "AUTH_IN_CLEAR", "PROXY_NETWORKS"),
    # Rules refuse mail that the policy accepts, and accept none that it refuses.
    *("RULES_DIR", "ALLOWED_SENDERS", "ALLOWED_RECIPIENTS"),
    # These change mail that is accepted, of clients that may send anywhere.
    *("FORCE_SENDER", "MASQUERADE_DOMAINS", "REDIRECT_TO", "BCC_TO", "HIDE_CLIENTS"),
    # An address in this domain is taken for a report if the relay has signed it (tests/delivery/local/test_srs.py).
    *("SRS_DOMAIN", "SRS_SECRET"),
    # These limit mail that leaves, and the hosts that it goes to.
    *("SEND_RATE", "TLS_POLICY", "MTA_STS", "DANE", "DNSSEC", "TLSRPT_FROM"),
}


class Relay:
    """The parts that decide under some settings, put together as the daemon does."""

    def __init__(self, environ: dict[str, str], port: str = "25") -> None:
        self.settings: Settings = read_settings(
            {"PORT": port, **environ},
            host_name=lambda: "mx.example.test",
            networks=_networks,
            root=Path("/nowhere"),
        )
        settings = self.settings
        everyone = settings.local_delivery.kind is not LocalKind.MAILDIR
        self._policy = RelayPolicy(
            settings.relay_domains,
            self._rules().is_local,
            lambda address: everyone or address.local.lower() == "bob",
        )
        self._listening = Listening()
        self._cached_router = self.router()

    def takes(self, client: str, recipient: str) -> Address | None:
        """Return the address that a client's RCPT was taken for; None, it was refused for good."""
        trusted = self.settings.trusted.verdict(client, {})
        leniency = Leniency(self.settings.mailname, names=True) if trusted else STRICT
        try:
            command = parse_rcpt(f"TO:<{recipient}>".encode(), leniency, smtputf8=True)
        except ProtocolRefusal:
            return None
        address = command.recipient.address
        verdict = self._policy.recipient(Client(client, trusted), address, None)
        # None: the routing has the last word, which a relay domain has here.
        if verdict is None and address.is_literal and isinstance(found(self.router(), address.domain), Failed):
            return None
        assert verdict is None or verdict.code == 250 or 500 <= verdict.code < 600
        return address if verdict is None or verdict.code == 250 else None

    def takes_by_rules(self, client: str, recipient: str, rules: RuleBook | None) -> Address | None:
        """Return the address for which a session under these rules accepted a client's RCPT, or None."""
        trusted = bool(self.settings.trusted.verdict(client, {}))
        leniency = Leniency(self.settings.mailname, names=True) if trusted else STRICT
        try:
            command = parse_rcpt(f"TO:<{recipient}>".encode(), leniency, smtputf8=True)
        except ProtocolRefusal:
            return None
        replies: list[Reply] = []
        session = Session(
            Client(client, trusted),
            self._policy,
            self._listening.intake,
            check_domain=DomainCheck(self._cached_router),
            rules=CurrentRules(rules),
            host_addresses=not_looked_up,
            rate_counts=RateCounts(lambda: 0.0),
            event_log=self._listening.event_log,
            reply_ready=replies.append,
        )
        for event in (MailFrom(Address("a", "a.test"), 100), command):
            replies.extend(filter(None, [HANDLERS[type(event)](session, event)]))
        assert len(replies) == 2
        return command.recipient.address if replies[1].positive else None

    def router(self) -> MailRouter:
        """Return the router of these settings, in a world where every domain has a mail host."""
        domains = {domain for group in RECIPIENTS.values() for domain in group.values()}
        hosts = {*domains, "smart.test", "smtp.gmail.com", "email-smtp.us-east-1.amazonaws.com"}
        zone = Zone({host: {"A": [_address(host)]} for host in hosts if host and not host.startswith("[")})
        return MailRouter(self._rules(), ZoneResolver(zone, suffix="test"), lambda: 0.0, random.Random(0))

    def _rules(self) -> RouterRules:
        return router_rules(self.settings, OwnSockets())


def _networks(device: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    if device != "eth0":
        raise OSError("no such interface")
    return ipaddress.IPv4Network("172.17.0.0/16"), ipaddress.IPv6Network("fd00:17::/64")


def _address(host: str) -> str:
    """Return an address of the host's own."""
    return str(ipaddress.IPv4Address(0xCB007100 + sum(host.encode()) % 65536))


def clients() -> Iterator[tuple[str, str]]:
    for group, addresses in CLIENTS.items():
        yield from ((group, address) for address in addresses)


def recipients() -> Iterator[tuple[str, str, str]]:
    for group, texts in RECIPIENTS.items():
        yield from ((group, text, domain) for text, domain in texts.items())


def may(name: str, client: str, recipient: str) -> bool:
    """Return what the table says of a client and a recipient, by their groups."""
    environ, trusted, reached = SETTINGS[name]
    if recipient in reached:
        return True
    if recipient in {"forgiven", "private literal"}:
        to_private = {"PRIVATE_DESTINATIONS", "SMARTHOST_ADDRESS", "GMAIL_USER", "SES_USER"} & set(environ)
        return client in trusted and (recipient == "forgiven" or bool(to_private))
    ours = "user" in reached
    return client in trusted and recipient != "trick" and not (ours and recipient == "nobody")


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("name", SETTINGS)
def test_each_client_reaches_the_recipients_of_the_table(name: str, port: str) -> None:
    relay = Relay(SETTINGS[name][0], port)
    wrong = [
        (client, recipient)
        for group, client in clients()
        for what, recipient, _ in recipients()
        if (relay.takes(client, recipient) is not None) is not may(name, group, what)
    ]
    assert wrong == []


#: Rules that accept all that they are asked about, each in another way.
ACCEPTING = {
    "no rules": None,
    "accept": rule_books.book((Accept(), [])),
    "hold": rule_books.book((Hold(), [])),
    "accept each": rule_books.book(
        (Accept(), [rule_books.client("stranger")]),
        (Accept(), [rule_books.client("0.0.0.0/0", "trusted")]),
        (Hold(), [rule_books.sender("*"), rule_books.recipient("*")]),
        (read_deny("no"), [rule_books.sender("<>")]),
        (Accept(), [rule_books.larger(1)]),
    ),
}


@pytest.mark.parametrize("rules", ACCEPTING.values(), ids=ACCEPTING)
@pytest.mark.parametrize("name", SETTINGS)
def test_rules_that_accept_everything_open_no_relay(name: str, rules: RuleBook | None) -> None:
    relay = Relay(SETTINGS[name][0])
    wrong = [
        (client, recipient)
        for group, client in choose([(group, texts[0]) for group, texts in CLIENTS.items()], list(clients()))
        for what, recipient, _ in recipients()
        if (relay.takes_by_rules(client, recipient, rules) is not None) is not may(name, group, what)
    ]
    assert wrong == []


@pytest.mark.parametrize("name", SETTINGS)
def test_accepted_mail_is_routed_by_the_table_with_the_same_recipient(name: str) -> None:
    relay = Relay(SETTINGS[name][0])
    router = relay.router()
    for _, recipient, domain in recipients():
        taken = relay.takes("127.0.0.1", recipient)
        if taken is None:
            continue
        assert taken.domain == domain
        # What the next host is told is one address of this domain, and nothing in it that it might route by.
        assert parse_address(str(taken), loose=True) == taken
        assert not set(taken.local) & set("@%!")
        assert str(taken).rpartition("@")[2] == (domain or taken.local)
        where = found(router, taken.domain)
        local = not domain or domain == "localhost" or (domain == OWN and "OTHER_HOSTNAMES" in SETTINGS[name][0])
        assert isinstance(where, Local) is local
        if isinstance(where, Plan):
            host = (
                relay.settings.smarthost.hosts[0][0]
                if relay.settings.smarthost
                else domain.strip("[]").removeprefix("IPv6:")
            )
            assert {route.host for route in where.routes} == {host}


def found(router: MailRouter, domain: str) -> object:
    async def resolve() -> object:
        return await router.resolve(domain)

    results: list[object] = []
    Deferred.fromCoroutine(resolve()).addCallback(results.append)
    return results[0]


@pytest.mark.parametrize("environ", OPEN)
def test_an_open_relay_is_warned_of_and_refuses_tricks_too(environ: dict[str, str]) -> None:
    relay = Relay(environ)
    assert [text for text in relay.settings.notices if "will send spam" in text]
    assert relay.takes("203.0.113.9", "a@other.test") is not None
    assert [text for text in RECIPIENTS["trick"] if relay.takes("203.0.113.9", text)] == []


def test_no_other_settings_of_the_table_open_a_relay() -> None:
    for name in SETTINGS:
        assert not [text for text in Relay(SETTINGS[name][0]).settings.notices if "spam" in text]


def test_every_setting_is_in_the_matrix_or_has_no_say() -> None:
    used = {name for environ, *_ in SETTINGS.values() for name in environ}
    used |= {name for environ in OPEN for name in environ}
    assert used | NO_SAY == {setting.name for setting in TABLE}
    assert not used & NO_SAY


def test_the_matrix_is_as_large_as_documented() -> None:
    assert len(list(clients())) * len(list(recipients())) * len(SETTINGS) * len(PORTS) > 150_000
