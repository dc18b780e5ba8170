"""Gathers the facts about the domains of senders: the relay's keys, and the way of its mail."""

import time
from collections.abc import Iterator, Sequence

from mta.cli.dns_records import RecordVerdict, judge_record, spf_includes, zone_line
from mta.cli.doctor.remote import smarthosts_of
from mta.config.settings import Settings
from mta.dkim.keyring import DkimKeyError, Keyring, open_keyring
from mta.dkim.keys import SigningKey, dns_record, record_name
from mta.doctor.findings import Finding, failure
from mta.doctor.lookups import LookUp
from mta.doctor.sender_domains import DomainFacts, KeyFacts, check_domain


def check_domains(
    settings: Settings, domains: Sequence[str], addresses: tuple[str, ...], look_up: LookUp, *, by_smarthost: bool
) -> Iterator[Finding]:
    """Yield the findings about domains of senders. `addresses` are those that MX hosts see."""
    ring: Keyring | None = None
    try:
        ring = _keyring(settings)
    except DkimKeyError as error:
        yield failure("domain/dkim", str(error), "mend the file; until then its mail is not signed")
    includes = spf_includes(host for each in smarthosts_of(settings) for host, _ in each.hosts)
    for domain in domains:
        keys = () if ring is None else ring.keys(domain)
        facts = DomainFacts(
            domain,
            () if by_smarthost else addresses,
            includes,
            by_smarthost,
            tuple(_key_facts(domain, key, look_up) for key in keys),
            signs=settings.dkim_key_path is not None,
        )
        yield from check_domain(facts, look_up)


def signing_domains(settings: Settings) -> tuple[str, ...]:
    """Return the domains that the files of keys name, the likelier meaning of each."""
    try:
        ring = _keyring(settings)
    except DkimKeyError:
        return ()
    return () if ring is None else tuple(dict.fromkeys(names[0].domain for names in ring.files()))


def _keyring(settings: Settings) -> Keyring | None:
    if settings.dkim_key_path is None:
        return None
    return open_keyring(settings.dkim_key_path, settings.dkim_selector, clock=time.monotonic, notice=lambda _: None)


def _key_facts(domain: str, key: SigningKey, look_up: LookUp) -> KeyFacts:
    name, words, text = record_name(domain, key.selector), f"{key.type}, {key.bits} bits", dns_record(key)
    answer = look_up(name, "TXT")
    line = zone_line(name, text)
    if answer.failed:
        return KeyFacts(name, words, line, matches=False, remark=f"the look-up failed: {answer.failed}", unknown=True)
    verdict, remark = judge_record(key, answer.texts)
    return KeyFacts(name, words, line, verdict is RecordVerdict.OK, remark, weakness=key.weakness)
