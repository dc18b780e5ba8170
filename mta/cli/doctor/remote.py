"""Runs the part of the checks that needs the reactor: connections, by the relay's own router and connector."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred

from mta.config.setting import MASK
from mta.config.settings import Settings
from mta.daemon.parts.deciding import follow_transport_rules, router_rules
from mta.delivery.remote.connector import ConnectorOptions, SmtpConnector
from mta.dns.resolver import make_resolver
from mta.doctor.drivers.connections import TIMEOUTS, ConnectionTrials, NoMail
from mta.doctor.remote_hosts import HostTrial
from mta.routing.private_addresses import OwnSockets
from mta.routing.route import CertificateCredentials, Credentials, Smarthost, TokenCredentials
from mta.routing.router import MailRouter
from mta.rules.book import CurrentRules
from mta.tls.client_certificate import read_client_certificate
from mta.tls.pem_files import CertificateError
from mta.tls.trust_store import TrustStore

_MASKED = "the login was not tried, because the relay publishes its settings without passwords"
_UNTRIED = "the login by token was not tried; the log says at the first mail if the token is refused"


@dataclass(frozen=True, slots=True)
class RemoteTrials:
    """The trials of smarthosts and of MX hosts."""

    smarthosts: list[HostTrial]
    mx_hosts: list[HostTrial]


#: Makes the trials with a reactor.
Work = Callable[[Any], Coroutine[Any, Any, RemoteTrials]]
#: Runs such work to its end.
Runner = Callable[[Work], RemoteTrials]


def smarthosts_of(settings: Settings) -> tuple[Smarthost, ...]:
    """Return the smarthosts of the settings and of the rules, each once."""
    routes = settings.rules.router if settings.rules else None
    own = (settings.smarthost,) if settings.smarthost else ()
    return tuple(dict.fromkeys((*own, *(routes.smarthosts if routes else ()))))


def only_by_smarthost(settings: Settings) -> bool:
    """Whether no mail goes to MX hosts."""
    routes = settings.rules.router if settings.rules else None
    return settings.smarthost is not None and not (routes and routes.by_mx)


def remote_trials(settings: Settings, domains: Sequence[str], notice: Callable[[str], object]) -> Work:
    """Return the work of trying all smarthosts and the MX hosts of domains."""

    async def work(reactor: Any) -> RemoteTrials:
        trials = _trials(settings, reactor, notice)
        certificate_missing = settings.client_certificate is not None and _client_certificate(settings) is None
        smarthosts = [(each, _left_out(each, certificate_missing)) for each in smarthosts_of(settings)]
        waiting = Deferred.fromCoroutine(trials.smarthosts(smarthosts))
        mx_hosts = [] if only_by_smarthost(settings) else await trials.mx_hosts(domains)
        return RemoteTrials(await waiting, mx_hosts)

    return work


def _trials(settings: Settings, reactor: Any, notice: Callable[[str], object]) -> ConnectionTrials:
    addresses = filter(None, (settings.bind_ip, settings.bind_ip6))
    listening = OwnSockets((address, port) for address in addresses for port in settings.ports)
    resolver = make_resolver(reactor, settings.dns_servers or None, notice=notice)
    router = MailRouter(router_rules(settings, listening), resolver, reactor.seconds)
    follow_transport_rules(router, CurrentRules(settings.rules))
    trust = TrustStore(settings.smarthost_ca_file, notice, _client_certificate(settings))
    options = ConnectorOptions(reactor, settings.mailname, trust.options, NoMail(), TIMEOUTS)
    return ConnectionTrials(reactor, router, SmtpConnector(options))


def _client_certificate(settings: Settings) -> Any:
    if settings.client_certificate is None:
        return None
    try:
        return read_client_certificate(settings.client_certificate, lambda _: None)
    except CertificateError:
        return None


def _left_out(smarthost: Smarthost, certificate_missing: bool) -> str:
    """Return the reason why the login at a smarthost cannot be tried here, or ""."""
    match smarthost.credentials:
        case Credentials(password=password) if password == MASK:
            return _MASKED
        case TokenCredentials():
            return _UNTRIED
        case CertificateCredentials() if certificate_missing:
            return "the login was not tried, because the client certificate cannot be read here"
    return ""
