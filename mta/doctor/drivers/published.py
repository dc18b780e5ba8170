"""Looks up the records by which domains demand proof of their MX hosts, and fetches their policies."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from twisted.internet.defer import Deferred, gatherResults

from mta.dns.answers import Found, LookupFailed, Resolver, TxtAnswer
from mta.doctor.published_records import OwnCertificate, PublishedHost, PublishedRecords
from mta.routing.demands.dane import Dane, TlsaFinding
from mta.routing.direct import mx_records
from mta.sts.fetches import Fetcher
from mta.sts.fetching import PolicyFetchError
from mta.sts.interface import PATIENCE
from mta.sts.record import RecordError, policy_id, record_name
from mta.tls_reports.record import record_name as reports_name
from mta.tls_reports.record import report_targets

#: MX hosts of a domain that are looked at.
MAX_HOSTS = 5

_T = TypeVar("_T")


class PublishedLookups:
    """Finds the records of domains. `dane` is None if DANE is off."""

    def __init__(self, resolver: Resolver, fetcher: Fetcher, dane: Dane | None, port: int) -> None:
        """Prepare; `port` is that of the MX hosts."""
        self._resolver = resolver
        self._fetcher = fetcher
        self._dane = dane
        self._port = port

    async def of_domains(self, domains: Sequence[str]) -> list[PublishedRecords]:
        """Return the records of each domain. Does not raise for anything that a domain or its servers do."""
        return list(await gatherResults([_begin(self._of(domain)) for domain in domains], consumeErrors=True))

    async def _of(self, domain: str) -> PublishedRecords:
        hosts, reports = _begin(self._hosts(domain)), _begin(self._reports(domain))
        found = await self._policy(domain)
        return replace(found, hosts=await hosts, reports=await reports)

    async def _reports(self, domain: str) -> tuple[str, ...]:
        name = reports_name(domain)
        return tuple(_addresses(await self._resolver.txt(name))) if name else ()

    async def _policy(self, domain: str) -> PublishedRecords:
        """Return the records without hosts and reports."""
        name = record_name(domain)
        answer = await self._resolver.txt(name) if name else None
        if isinstance(answer, LookupFailed):
            return PublishedRecords(domain, announced=True, fault=f"looking up {name} failed: {answer.reason}")
        try:
            id = policy_id(answer.records) if isinstance(answer, Found) else None
            if id is None:
                return PublishedRecords(domain)
            policy = await self._fetcher.fetch(domain, PATIENCE)
        except RecordError as error:
            return PublishedRecords(domain, announced=True, fault=f"{name}: {error}")
        except PolicyFetchError as error:
            return PublishedRecords(domain, announced=True, fault=str(error))
        return PublishedRecords(domain, announced=True, policy=policy)

    async def _hosts(self, domain: str) -> tuple[PublishedHost, ...]:
        records = mx_records(domain, await self._resolver.mx(domain))
        if not isinstance(records, tuple):
            return ()
        names = list(dict.fromkeys(record.host for record in sorted(records)))[:MAX_HOSTS]
        findings = await gatherResults([_begin(self._tlsa(name)) for name in names], consumeErrors=True)
        return tuple(PublishedHost(name, tlsa) for name, tlsa in zip(names, findings, strict=True))

    async def _tlsa(self, host: str) -> TlsaFinding | None:
        return None if self._dane is None else await self._dane.records(host, self._port)


def with_certificate(
    found: PublishedRecords, judge: Callable[[PublishedHost], OwnCertificate | None]
) -> PublishedRecords:
    """Return the records with the judgement on the relay's certificate at the host that it is; None for others."""
    return replace(found, hosts=tuple(replace(host, certificate=judge(host)) for host in found.hosts))


def _addresses(answer: TxtAnswer) -> Iterator[str]:
    """Yield the addresses to which a domain wants its reports."""
    targets = report_targets(answer.records) if isinstance(answer, Found) else None
    if targets is not None:
        yield from (f"mailto:{address}" for address in targets.mail)
        yield from targets.urls


def _begin(awaitable: Awaitable[_T]) -> "Deferred[_T]":
    return Deferred.fromCoroutine(_awaited(awaitable))


async def _awaited(awaitable: Awaitable[_T]) -> _T:
    return await awaitable
