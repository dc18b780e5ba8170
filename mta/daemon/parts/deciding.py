"""Builds the parts of a relay that decide on senders, recipients and routes from its settings.

`smtprelay explain` uses the same functions, so that its answers are those of the relay.
"""

from collections.abc import Callable

from mta.blocking import RunBlocking
from mta.config.settings import Settings
from mta.delivery.local.forward import Forwarding
from mta.delivery.local.lmtp import mail_store
from mta.delivery.local.local import LocalMail
from mta.delivery.local.rule import LocalKind
from mta.delivery.local.srs import SenderRewriting
from mta.inbound.policy import RelayPolicy
from mta.routing.private_addresses import OwnSockets
from mta.routing.router import MailRouter
from mta.routing.rules import RouterRules
from mta.rules.book import CurrentRules


def own_sockets(settings: Settings) -> OwnSockets:
    """Return the sockets of the relay as the settings say them, for programs beside the one that listens."""
    addresses = filter(None, (settings.bind_ip, settings.bind_ip6))
    return OwnSockets((address, port) for address in addresses for port in settings.ports)


def router_rules(settings: Settings, listening: OwnSockets) -> RouterRules:
    """Return the rules of routing that the settings ask for; `listening` are the sockets of the relay itself."""
    return RouterRules(
        mailname=settings.mailname,
        local_domains=settings.local_domains,
        relay_domains=settings.relay_domains,
        smarthost=settings.smarthost,
        port_out=settings.port_out,
        ipv6=settings.ipv6,
        private=settings.private_destinations,
        listening=listening,
    )


def follow_transport_rules(router: MailRouter, current: CurrentRules) -> None:
    """Have a router give its plans the carriage that the rules in force want, now and after each change of them."""

    def follow() -> None:
        book = current.book
        transport = None if book is None else book.transport
        if transport is None:
            router.use(None)
        else:
            router.use(transport.carriage, by_domain=transport.asks_for_domains)

    follow()
    current.when_changed(follow)


def local_mail(
    settings: Settings,
    run: RunBlocking,
    wall_clock: Callable[[], float],
    forwarding: Forwarding | None,
) -> LocalMail:
    """Return the local delivery. `run` runs work that may block; `forwarding` is None without an aliases file."""
    return LocalMail(
        settings.mail_dir,
        settings.mailname,
        run=run,
        wall_clock=wall_clock,
        create=settings.local_delivery.kind is LocalKind.MAILDIR_CREATE,
        store=mail_store(settings.local_delivery),
        forwarding=forwarding,
    )


def sender_rewriting(
    settings: Settings, wall_clock: Callable[[], float], notice: Callable[[str], object]
) -> SenderRewriting | None:
    """Return the rewriting of the senders of forwarded mail; None if they stay as they are."""
    if settings.srs is None:
        return None
    mailname = settings.mailname.lower()

    def is_own(domain: str) -> bool:
        return domain == mailname or settings.local_domains.matches(domain)

    return SenderRewriting(settings.srs, is_own, wall_clock, notice)


def relay_policy(
    settings: Settings, rules: RouterRules, local: LocalMail, may_be_trusted: Callable[[str], bool]
) -> RelayPolicy:
    """Return the policy for senders and recipients.

    `may_be_trusted` tells whether a client's IP address may prove to be trusted once all look-ups are complete.
    """
    return_path = None if local.rewriting is None else local.rewriting.refusal
    return RelayPolicy(settings.relay_domains, rules.is_local, local.accepts, may_be_trusted, return_path)
