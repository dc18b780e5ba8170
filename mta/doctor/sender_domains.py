"""The domains of senders: whether receivers can prove that the relay may send their mail, and can answer it."""

from collections.abc import Iterator
from dataclasses import dataclass

from mta.doctor.findings import Finding, Level, failure, ok, skipped, warning
from mta.doctor.lookups import LookUp, Records, addresses_of, zone_line
from mta.doctor.spf import MAX_TERMS, VERSION, SpfEvaluation, SpfResult, evaluate_spf, spf_records, with_mechanism

# An address of documentation, which hardly any record allows, so that all of its terms are evaluated.
_NOBODY = "192.0.2.254"
_POLICIES = ("none", "quarantine", "reject")


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """A DKIM key of a domain, compared with the DNS."""

    #: The name of the DNS record.
    name: str
    #: As text: type and bits.
    words: str
    #: The record as a line of a zone file.
    record: str
    #: Whether the DNS has this key.
    matches: bool
    #: The difference or another remark about the record, or "".
    remark: str = ""
    #: Whether the look-up failed.
    unknown: bool = False
    #: The reason to replace the key, or "".
    weakness: str = ""


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """A domain of senders, and how the relay sends its mail."""

    domain: str
    #: The addresses that receivers see; empty if they are not known.
    addresses: tuple[str, ...] = ()
    #: The domains that providers of smarthosts want to be included in SPF, and the mechanisms for other smarthosts.
    includes: tuple[str, ...] = ()
    by_smarthost: bool = False
    keys: tuple[KeyFacts, ...] = ()
    #: Whether DKIM_KEY_PATH names keys at all.
    signs: bool = False


def check_domain(facts: DomainFacts, look_up: LookUp) -> Iterator[Finding]:
    """Yield findings about SPF, DKIM, DMARC and MX of a domain."""
    by_spf = list(_spf(facts, look_up))
    yield from by_spf
    yield from _dkim(facts)
    proven = [finding for finding in by_spf if finding.level is Level.OK]
    signed = [key for key in facts.keys if key.matches]
    yield _dmarc(facts.domain, look_up, by=" and ".join(["SPF"] * bool(proven) + ["DKIM"] * bool(signed)))
    yield _mx(facts.domain, look_up(facts.domain, "MX"), look_up)


def _spf(facts: DomainFacts, look_up: LookUp) -> Iterator[Finding]:
    domain, check = facts.domain, "domain/spf"
    answer = look_up(domain, "TXT")
    if answer.failed:
        yield warning(check, f"looking up {domain} failed: {answer.failed}", "check the name servers of the domain")
        return
    records = spf_records(answer.texts)
    if len(records) > 1:
        yield failure(check, f"{domain} has {len(records)} SPF records, which counts as none", "merge them into one")
        return
    wanted = [*(f"include:{name}" for name in facts.includes), *map(_mechanism, facts.addresses)]
    if not records:
        lines = [zone_line(domain, f"{VERSION} {' '.join(wanted)} ~all")] if wanted else []
        level = Level.WARNING if any(key.matches for key in facts.keys) else Level.FAILURE
        seen = f"{domain} has no SPF record, and many receivers refuse its mail"
        yield Finding(check, level, seen, "add one that names the senders of the domain", tuple(lines))
        return
    whole = evaluate_spf(domain, _NOBODY, look_up)
    if not wanted:
        yield skipped(check, "the address that receivers see is not known", "give it by --address")
    for name in facts.includes:
        yield _included(domain, name, records[0], whole)
    for address in facts.addresses:
        yield _allowed(domain, address, records[0], evaluate_spf(domain, address, look_up))
    if whole.result is SpfResult.PERMERROR:
        seen = f"{domain}: {whole.reason}: receivers may refuse mail that its record does not allow at once"
        yield warning(check, seen, f"take out includes that are not used, down to {MAX_TERMS} look-ups")


def _mechanism(address: str) -> str:
    return f"ip{6 if ':' in address else 4}:{address}"


def _included(domain: str, name: str, record: str, whole: SpfEvaluation) -> Finding:
    check = "domain/spf"
    if name in whole.domains:
        return ok(check, f"{domain} includes {name}")
    line = zone_line(domain, with_mechanism(record, f"include:{name}"))
    seen = f"the SPF record of {domain} does not include {name}, by which its mail leaves"
    return failure(check, seen, "replace the record", line)


def _allowed(domain: str, address: str, record: str, found: SpfEvaluation) -> Finding:
    check = "domain/spf"
    if found.result is SpfResult.PASS:
        return ok(check, f"{domain} lets {address} send by {found.reason} ({found.terms} of {MAX_TERMS} look-ups)")
    if found.result is SpfResult.TEMPERROR:
        return warning(check, f"{domain}: {found.reason}", "check the name servers of that name")
    if found.result is SpfResult.PERMERROR:
        return failure(check, f"the SPF record of {domain} is in error: {found.reason}", "correct the record")
    line = zone_line(domain, with_mechanism(record, _mechanism(address)))
    seen = f"SPF of {domain} gives {found.result.value} for {address}"
    seen += f" by {found.reason}" if found.reason else ""
    return (failure if found.result is SpfResult.FAIL else warning)(check, seen, "replace the record", line)


def _dkim(facts: DomainFacts) -> Iterator[Finding]:
    check, domain = "domain/dkim", facts.domain
    for key in facts.keys:
        subject = f"{key.name} ({key.words})"
        if key.unknown:
            yield warning(check, f"{subject}: {key.remark}", "check the name servers of the domain")
        elif not key.matches:
            yield failure(check, f"{subject}: {key.remark}", "publish the record", key.record)
        elif key.weakness or key.remark:
            yield warning(check, f"{subject}: {key.weakness or key.remark}", "`smtprelay dkim keygen` makes a key")
        else:
            yield ok(check, f"{subject}: the DNS has this key")
    if facts.keys:
        return
    if facts.signs or not facts.by_smarthost:
        seen = f"mail of {domain} is not signed, and large receivers want a signature"
        yield warning(check, seen, f"make a key with `smtprelay dkim keygen {domain}`, and name it in DKIM_KEY_PATH")
    else:
        yield skipped(check, f"the relay has no key; the smarthost may sign mail of {domain}")


def _dmarc(domain: str, look_up: LookUp, *, by: str) -> Finding:
    """Return the finding about DMARC. `by` names the proofs that are aligned with the domain of the author."""
    check = "domain/dmarc"
    place, answer = _dmarc_records(domain, look_up)
    records = [text for text in answer.texts if text.partition(";")[0].strip().lower() == "v=dmarc1"]
    if answer.failed:
        return warning(check, f"looking up {place} failed: {answer.failed}", "check the name servers of the domain")
    if not records:
        line = zone_line(f"_dmarc.{domain}", "v=DMARC1; p=none")
        seen = f"{domain} has no DMARC record, which large receivers want of those that send much"
        return warning(check, seen, "add one", line)
    policy = _tags(records[0]).get("p", "").lower()
    if len(records) > 1 or policy not in _POLICIES:
        return failure(check, f"{place} has no valid DMARC record, so that it is ignored", "keep one, with a policy p=")
    if by:
        return ok(check, f"{place} asks for p={policy}, and mail of the relay is proven by {by}")
    seen = f"{place} asks for p={policy}, and neither SPF nor DKIM proves mail of the relay"
    return (warning if policy == "none" else failure)(check, seen, "mend SPF or DKIM as said above")


def _dmarc_records(domain: str, look_up: LookUp) -> tuple[str, Records]:
    """Return the name and the records of the policy: of the domain, or of the nearest domain above that has one."""
    place, answer = f"_dmarc.{domain}", look_up(f"_dmarc.{domain}", "TXT")
    labels = domain.split(".")
    # RFC 7489 section 6.6.3 asks only the organizational domain, which is one of these.
    for start in range(1, min(len(labels) - 1, 5)):
        if answer.texts or answer.failed:
            break
        above = f"_dmarc.{'.'.join(labels[start:])}"
        found = look_up(above, "TXT")
        if found.texts:
            return above, found
    return place, answer


def _tags(record: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in record.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _mx(domain: str, answer: Records, look_up: LookUp) -> Finding:
    check = "domain/mx"
    if answer.failed:
        return warning(check, f"looking up {domain} failed: {answer.failed}", "check the name servers of the domain")
    hosts = [text.partition(" ")[2] for text in answer.texts]
    if hosts == [""]:
        seen = f"{domain} has a null MX record: it gets no mail, so that receivers refuse its mail too"
        return failure(check, seen, "replace it by the domain's mail host, or send from a domain that gets mail")
    if not hosts:
        if addresses_of(domain, look_up).texts:
            return warning(check, f"{domain} has no MX record, and mail to it goes to its address", "add an MX record")
        seen = f"{domain} gets no mail, so that replies and reports are lost, and many receivers refuse its mail"
        return failure(check, seen, "add an MX record with the name of the domain's mail host")
    lost = [host for host in hosts[:10] if not (found := addresses_of(host, look_up)).texts and not found.failed]
    if lost:
        level = failure if len(lost) == len(hosts) else warning
        return level(check, f"the MX hosts {', '.join(lost)} of {domain} have no address", "correct the MX records")
    return ok(check, f"mail to {domain} goes to {', '.join(hosts[:3])}")
