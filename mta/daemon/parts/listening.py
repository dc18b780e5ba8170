"""Builds the side of a relay that its clients see: the rules of ports, the SMTP machines, and the logins."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.application.service import IService

from mta.config.settings import Settings
from mta.daemon.parts.context import RelayContext
from mta.daemon.periodic import PeriodicService
from mta.inbound.limits import InboundLimits
from mta.inbound.listener import SmtpServerFactory
from mta.inbound.policy import Client
from mta.inbound.session import Session
from mta.inbound.sockets.port_rule import PortRule
from mta.inbound.trust import TrustedClients
from mta.smtp.limits import STRICT, Leniency, SmtpLimits
from mta.smtp.replies import Reply
from mta.smtp.server.auth import NO_LOGINS
from mta.smtp.server.machine import ServerMachine

if TYPE_CHECKING:
    from mta.inbound.login import Logins


def listener(
    context: RelayContext,
    trusted: TrustedClients,
    limits: InboundLimits,
    new_session: Callable[..., Session],
) -> tuple[SmtpServerFactory, Sequence[IService]]:
    """Return the factory of all connections, and the services of the logins.

    `new_session` lacks only the client, `reply_ready` and `logins`.
    """
    settings = context.settings
    logins, services = _logins(context, trusted)

    def session(client: Client, rule: PortRule, reply_ready: Callable[[Reply], None]) -> Session:
        offered = logins if logins is not None and logins.offered_on(rule) else None
        return new_session(client, reply_ready=reply_ready, logins=offered)

    factory = SmtpServerFactory(
        _machine_factory(context, trusted, logins),
        session,
        trusted,
        context.event_log,
        name=settings.mailname,
        limits=limits,
        clock=context.reactor,
        certificate=context.certificate,
        is_balancer=_balancers(settings),
        is_shut_out=None if logins is None else logins.is_shut_out,
    )
    return factory, services


def _logins(context: RelayContext, trusted: TrustedClients) -> "tuple[Logins | None, Sequence[IService]]":
    """Return the logins of clients with their services, or None and no services if there are no users."""
    settings, clock = context.settings, context.reactor
    if context.users is None:
        return None, ()
    # Imported if needed, because most relays have no users.
    from mta.inbound.login import LoginPolicy, Logins  # noqa: PLC0415
    from mta.users.failure_limits import FailureLimits  # noqa: PLC0415
    from mta.users.password_check import CheckThreads, PasswordCheck  # noqa: PLC0415
    from mta.users.users import CHECK_INTERVAL  # noqa: PLC0415

    threads = CheckThreads(clock)
    logins = Logins(
        context.users,
        PasswordCheck(context.users, threads, clock.seconds),
        FailureLimits(trusted),
        LoginPolicy(
            on_relay_port=settings.submission_port is None and settings.submission_tls_port is None,
            in_clear=settings.auth_in_clear,
        ),
        event_log=context.event_log,
        clock=clock,
    )
    return logins, (threads, PeriodicService(context.users.check, CHECK_INTERVAL, clock))


def _machine_factory(
    context: RelayContext, trusted: TrustedClients, logins: "Logins | None"
) -> Callable[[Client, PortRule], ServerMachine]:
    """Return the callable that makes the SMTP machine of each client, by the rule of its port."""
    settings = context.settings
    limits = SmtpLimits(message_size=settings.message_size_limit, text_line=settings.line_length_limit)
    line_feeds = settings.line_endings == "normalize"
    for_trusted = Leniency(settings.mailname, names=True, haste=True, line_feeds=line_feeds)
    # A look-up may still show that the client is trusted, so no command is refused for good.
    for_undecided = Leniency(settings.mailname, names=True)

    def leniency(client: Client) -> Leniency:
        if client.trusted:
            return for_trusted
        return for_undecided if trusted.may_be_trusted(client.address) else STRICT

    def new_machine(client: Client, rule: PortRule) -> ServerMachine:
        return ServerMachine(
            limits,
            settings.mailname,
            starttls=context.certificate is not None,
            tls=rule.implicit_tls,
            # A report of success goes to the sender that the client names, so strangers must not ask for one. Where
            # only users send, it is offered before the login, because few clients send EHLO again.
            dsn=client.trusted or rule.login_required,
            leniency=leniency(client),
            wall_clock=context.wall_clock,
            logins=NO_LOGINS if logins is None else logins.terms(client, rule, for_trusted),
        )

    return new_machine


def _balancers(settings: Settings) -> Callable[[str], bool] | None:
    """Return the callable that tells whether an address is in PROXY_NETWORKS; None if that is not set."""
    networks = settings.proxy_networks
    return (lambda address: bool(networks.verdict(address, {}))) if networks.items else None
