"""Builds the part of the checks that is about proof of MX hosts, by the relay's own settings."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography import x509

from mta.cli.doctor.relay_facts import untrusted
from mta.config.readers.secure_delivery import StsUse
from mta.config.settings import Settings
from mta.daemon.parts.deciding import own_sockets
from mta.daemon.secure.secured_mx import demand_terms
from mta.daemon.secure.strangers import strangers_client, strangers_hosts
from mta.dns.dnssec.authenticity import Authenticity
from mta.dns.dnssec.choosing import DnssecUnavailable, choose
from mta.dns.resolver import DnsResolver
from mta.doctor.drivers.published import PublishedLookups, with_certificate
from mta.doctor.published_records import Followed, OwnCertificate, PublishedHost, PublishedRecords
from mta.routing.demands.dane import Dane, TlsaFinding, TlsaState
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.demands.secured import SecuredRouting
from mta.routing.direct import DirectRouting
from mta.sts.fetching import PolicyFetcher
from mta.sts.policy import StsMode, StsPolicy
from mta.tls.certificate_text import names_problem
from mta.tls.dane.chain_proof import dane_problem
from mta.tls.dane.tlsa import key_octets
from mta.tls.pem_files import CertificateError, load, read_files

_NO_CERTIFICATE = "the relay offers no STARTTLS, because CERTIFICATE_PATH is not set or its file cannot be read here"


class FoundPolicies:
    """A PolicySource of policies that were fetched already."""

    def __init__(self, found: Mapping[str, PublishedRecords]) -> None:
        self._found = found

    async def policy(self, domain: str) -> StsPolicy | None:
        """Return the policy of a domain unless its mode is `none`."""
        records = self._found.get(domain)
        policy = None if records is None else records.policy
        return None if policy is None or policy.mode is StsMode.NONE else policy

    def look_again(self, domain: str) -> None:
        """Do nothing: a check is over before a policy changes."""


class ProofParts:
    """The look-ups of published records, and the routing with the demands that follow from them. Call `stop`."""

    def __init__(self, settings: Settings, reactor: Any, resolver: DnsResolver) -> None:
        self._settings = settings
        self._reactor = reactor
        self._resolver = resolver
        self._authenticity, self._no_dane = _authenticity(settings, reactor, resolver)
        self._dane = None if self._authenticity is None else Dane(self._authenticity)
        hosts = strangers_hosts(settings, reactor, resolver, own_sockets(settings))
        fetcher = PolicyFetcher(strangers_client(settings, reactor, resolver, hosts))
        self._lookups = PublishedLookups(resolver, fetcher, self._dane, settings.port_out)
        if self._authenticity is not None:
            self._authenticity.start()

    async def published(self, domains: Sequence[str]) -> dict[str, PublishedRecords]:
        """Return the records of domains, with the relay's certificate judged where it is an MX host."""
        found = await self._lookups.of_domains(domains)
        judged = [with_certificate(each, own_certificate(self._settings, each.domain)) for each in found]
        return {each.domain: each for each in judged}

    @property
    def followed(self) -> Followed:
        """The settings because of which a standard is not followed."""
        off = self._settings.secure_delivery.sts is StsUse.OFF
        return Followed("MTA_STS=off" if off else "", self._no_dane)

    def secure(self, found: Mapping[str, PublishedRecords]) -> Callable[[DirectRouting], SecuredRouting]:
        """Return the routing by MX with the demands of the settings and of these records."""
        policies = None if self._settings.secure_delivery.sts is StsUse.OFF else FoundPolicies(found)
        terms = demand_terms(self._settings)

        def routing(direct: DirectRouting) -> SecuredRouting:
            seconds = self._reactor.seconds
            return SecuredRouting(direct, self._resolver, terms, dane=self._dane, policies=policies, seconds=seconds)

        return routing

    def stop(self) -> None:
        """End the look-ups."""
        if self._authenticity is not None:
            self._authenticity.stop()


def _authenticity(settings: Settings, reactor: Any, resolver: DnsResolver) -> tuple[Authenticity | None, str]:
    """Return the validator of DNS answers, or None with the reason."""
    secure = settings.secure_delivery
    if not secure.uses_dane:
        return None, "DNSSEC=off" if secure.dane else "DANE=off"
    try:
        return choose(secure.dnssec.value, reactor, resolver.client), ""
    except DnssecUnavailable as error:
        return None, str(error)


def own_certificate(settings: Settings, domain: str) -> Callable[[PublishedHost], OwnCertificate | None]:
    """Return the judge of the relay's certificate at the hosts of a domain, for those that are the relay."""

    def judge(host: PublishedHost) -> OwnCertificate | None:
        if host.name != settings.mailname.lower():
            return None
        chain = _own_chain(settings)
        if not chain:
            return OwnCertificate(_NO_CERTIFICATE, _NO_CERTIFICATE)
        name = names_problem(chain[0], (host.name,))
        sts_fault = name.text if name else untrusted(chain)
        base = host.tlsa.base if host.tlsa and host.tlsa.base else host.name
        record = f"_25._tcp.{base}. IN TLSA 3 1 1 {hashlib.sha256(key_octets(chain[0])).hexdigest()}"
        return OwnCertificate(sts_fault, _tlsa_fault(chain, host.tlsa, domain), record)

    return judge


def _own_chain(settings: Settings) -> tuple[x509.Certificate, ...]:
    if settings.certificate_path is None or settings.key_path is None:
        return ()
    try:
        return load(read_files(settings.certificate_path, settings.key_path)).chain
    except CertificateError:
        return ()


def _tlsa_fault(chain: tuple[x509.Certificate, ...], tlsa: TlsaFinding | None, domain: str) -> str:
    if tlsa is None or tlsa.state is not TlsaState.USABLE:
        return ""
    proof = Proof(ProofSource.DANE, domain, (tlsa.base, domain), tlsa.records)
    problem = dane_problem(proof, tlsa.base, chain)
    return "" if problem is None else problem.text
