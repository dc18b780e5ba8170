"""Runs the part of the checks that needs the reactor: connections, by the relay's own router and connector."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred

from mta.cli.doctor.proofs import ProofParts
from mta.config.setting import MASK
from mta.config.settings import Settings
from mta.daemon.parts.deciding import follow_transport_rules, own_sockets, router_rules
from mta.delivery.remote.connector import ConnectorOptions, SmtpConnector
from mta.dns.resolver import DnsResolver, make_resolver
from mta.doctor.drivers.connections import TIMEOUTS, ConnectionTrials, NoMail
from mta.doctor.published_records import Followed, PublishedRecords
from mta.doctor.remote_hosts import HostTrial
from mta.routing.direct import DirectRouting, MxRouting
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
    """The trials of smarthosts and of MX hosts, and the records of domains."""

    smarthosts: list[HostTrial] = field(default_factory=list)
    mx_hosts: list[HostTrial] = field(default_factory=list)
    #: By domain.
    published: Mapping[str, PublishedRecords] = field(default_factory=dict)
    followed: Followed = field(default_factory=Followed)


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


def remote_trials(
    settings: Settings, destinations: Sequence[str], own_domains: Sequence[str], notice: Callable[[str], object]
) -> Work:
    """Return the work of trying all smarthosts and the MX hosts of destinations, and of looking up their records.

    The records of own domains are looked up too.
    """

    async def work(reactor: Any) -> RemoteTrials:
        resolver = make_resolver(reactor, settings.dns_servers or None, notice=notice)
        parts = ProofParts(settings, reactor, resolver)
        trials = _Trials(settings, reactor, resolver, notice)
        try:
            smarthosts = Deferred.fromCoroutine(trials.of_smarthosts())
            by_mx = [] if only_by_smarthost(settings) else destinations
            published = await parts.published(tuple(dict.fromkeys((*by_mx, *own_domains))))
            mx_hosts = await trials.of_mx_hosts(by_mx, parts.secure(published))
            return RemoteTrials(await smarthosts, mx_hosts, published, parts.followed)
        finally:
            parts.stop()

    return work


class _Trials:
    """Makes trials by the relay's own router and connector."""

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        resolver: DnsResolver,
        notice: Callable[[str], object],
    ) -> None:
        self._settings = settings
        self._reactor = reactor
        self._resolver = resolver
        self._notice = notice

    async def of_smarthosts(self) -> list[HostTrial]:
        settings = self._settings
        certificate_missing = settings.client_certificate is not None and _client_certificate(settings) is None
        smarthosts = [(each, _left_out(each, certificate_missing)) for each in smarthosts_of(settings)]
        return await self._trials(None).smarthosts(smarthosts)

    async def of_mx_hosts(
        self, domains: Sequence[str], secure: Callable[[DirectRouting], MxRouting]
    ) -> list[HostTrial]:
        return await self._trials(secure).mx_hosts(domains) if domains else []

    def _trials(self, secure: Callable[[DirectRouting], MxRouting] | None) -> ConnectionTrials:
        settings, reactor = self._settings, self._reactor
        rules = router_rules(settings, own_sockets(settings))
        router = MailRouter(rules, self._resolver, reactor.seconds, secure=secure)
        follow_transport_rules(router, CurrentRules(settings.rules))
        trust = TrustStore(settings.smarthost_ca_file, self._notice, _client_certificate(settings))
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
