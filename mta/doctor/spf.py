"""Evaluates SPF as a receiver does (RFC 7208), with its limits on look-ups."""

import enum
import ipaddress
from dataclasses import dataclass, field

from mta.doctor.lookups import LookUp, Records, addresses_of, reverse_name
from mta.doctor.spf_macros import MacroValues, expand

#: RFC 7208 section 4.6.4: terms that ask the DNS, look-ups without an answer, and exchangers or names of one term.
MAX_TERMS, MAX_VOID, MAX_NAMES = 10, 2, 10
VERSION = "v=spf1"
# Terms of one run, also those that ask nothing.
_MOST_TERMS = 500


class SpfResult(enum.Enum):
    """The results of section 2.6."""

    PASS = "pass"  # noqa: S105  no password
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    NONE = "none"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


_QUALIFIERS = {"+": SpfResult.PASS, "-": SpfResult.FAIL, "~": SpfResult.SOFTFAIL, "?": SpfResult.NEUTRAL}
_ASKING = frozenset({"include", "a", "mx", "ptr", "exists"})


@dataclass(frozen=True, slots=True)
class SpfEvaluation:
    """The result for one address."""

    result: SpfResult
    #: The term that decided, or the reason of an error; "" if no term did.
    reason: str
    #: The terms that asked the DNS.
    terms: int
    #: The domains whose records were read.
    domains: tuple[str, ...]


class _SpfError(Exception):
    """The evaluation ends with an error."""

    def __init__(self, result: SpfResult, reason: str) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason


def evaluate_spf(domain: str, address: str, look_up: LookUp) -> SpfEvaluation:
    """Return the result for mail from `postmaster@domain` that an IP address sends."""
    run = _SpfRun(domain, address, look_up)
    try:
        result, reason = run.check(domain)
    except _SpfError as error:
        result, reason = error.result, error.reason
    return SpfEvaluation(result, reason, run.terms, tuple(run.domains))


def spf_records(texts: tuple[str, ...]) -> list[str]:
    """Return those of the TXT records of a domain that are SPF records (section 4.5)."""
    return [text for text in texts if text.lower() == VERSION or text.lower().startswith(f"{VERSION} ")]


@dataclass(slots=True)
class _SpfRun:
    """One evaluation, with the counts that its limits apply to."""

    sender_domain: str
    address: str
    look_up: LookUp
    terms: int = 0
    void: int = 0
    read: int = 0
    domains: list[str] = field(default_factory=list)

    def check(self, domain: str) -> tuple[SpfResult, str]:
        """Return the result of the record of a domain (section 4), and the term that decided."""
        self.domains.append(domain.lower())
        record = self._record(domain)
        if record is None:
            return SpfResult.NONE, f"{domain} has no SPF record"
        redirect = ""
        for term in record.split()[1:]:
            self.read += 1
            if self.read > _MOST_TERMS:
                raise _SpfError(SpfResult.PERMERROR, f"the records have more than {_MOST_TERMS} terms")
            name, _, value = term.partition("=")
            if "=" in term and name.isidentifier():
                redirect = value if name.lower() == "redirect" else redirect
            elif (found := self._mechanism(domain, term)) is not None:
                return found, f"{term} of {domain}"
        if redirect:
            self._count(f"redirect={redirect}", domain)
            return self._nested(self._expand(redirect, domain), f"redirect={redirect}")
        return SpfResult.NEUTRAL, ""

    def _record(self, domain: str) -> str | None:
        found = spf_records(self._ask(domain, "TXT").texts)
        if len(found) > 1:
            raise _SpfError(SpfResult.PERMERROR, f"{domain} has {len(found)} SPF records, and may have one")
        return found[0] if found else None

    def _nested(self, domain: str, term: str) -> tuple[SpfResult, str]:
        result, reason = self.check(domain)
        if result is SpfResult.NONE:
            raise _SpfError(SpfResult.PERMERROR, f"{term}, but {reason}")
        return result, reason

    def _mechanism(self, domain: str, term: str) -> SpfResult | None:
        """Return the result of a mechanism that matches, otherwise None (section 5)."""
        qualifier, rest = (term[0], term[1:]) if term[0] in _QUALIFIERS else ("+", term)
        name, value = _split(rest)
        if name in _ASKING:
            self._count(term, domain)
        if self._matches(name, value, domain, term):
            return _QUALIFIERS[qualifier]
        return None

    def _matches(self, name: str, value: str, domain: str, term: str) -> bool:
        match name:
            case "all":
                return True
            case "ip4" | "ip6":
                return self._in_network(value, term)
            case "include":
                return self._nested(self._expand(value, domain), term)[0] is SpfResult.PASS
            case "a":
                host, prefixes = _host_and_prefixes(value)
                return self._at(self._expand(host, domain) or domain, prefixes, term)
            case "mx":
                host, prefixes = _host_and_prefixes(value)
                exchangers = self._ask(self._expand(host, domain) or domain, "MX", counts=True).texts
                if len(exchangers) > MAX_NAMES:
                    raise _SpfError(SpfResult.PERMERROR, f"{term} of {domain} names more than {MAX_NAMES} hosts")
                names = [text.partition(" ")[2] for text in exchangers]
                return any(self._at(name, prefixes, term) for name in names if name)
            case "exists":
                return bool(self._ask(self._expand(value, domain), "A", counts=True).texts)
            case "ptr":
                return self._by_name((self._expand(value, domain) or domain).lower())
        raise _SpfError(SpfResult.PERMERROR, f"{term!r} of {domain} is no term of SPF")

    def _at(self, host: str, prefixes: str, term: str) -> bool:
        """Return whether the address is one of a host's, or in the network of one."""
        kind = "AAAA" if ":" in self.address else "A"
        prefix = _prefix(prefixes, kind)
        found = self._ask(host, kind, counts=True).texts
        return any(self._in_network(f"{text}/{prefix}" if prefix else text, term) for text in found)

    def _in_network(self, text: str, term: str) -> bool:
        try:
            return ipaddress.ip_address(self.address) in ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise _SpfError(SpfResult.PERMERROR, f"{term!r} names no network") from None

    def _by_name(self, wanted: str) -> bool:
        names = self._ask(reverse_name(self.address), "PTR").texts[:MAX_NAMES]
        inside = [name for name in names if name == wanted or name.endswith(f".{wanted}")]
        return any(self.address in addresses_of(name, self.look_up).texts for name in inside)

    def _count(self, term: str, domain: str) -> None:
        self.terms += 1
        if self.terms > MAX_TERMS:
            reason = f"the record needs more than {MAX_TERMS} look-ups, the last for {term} of {domain}"
            raise _SpfError(SpfResult.PERMERROR, reason)

    def _ask(self, name: str, kind: str, *, counts: bool = False) -> Records:
        answer = self.look_up(name, kind)
        if answer.failed:
            raise _SpfError(SpfResult.TEMPERROR, f"looking up {name} failed: {answer.failed}")
        if counts and not answer.texts:
            self.void += 1
            if self.void > MAX_VOID:
                raise _SpfError(SpfResult.PERMERROR, f"more than {MAX_VOID} look-ups find nothing, the last of {name}")
        return answer

    def _expand(self, text: str, domain: str) -> str:
        try:
            return expand(text, MacroValues(self.sender_domain, domain, self.address))
        except ValueError as error:
            raise _SpfError(SpfResult.PERMERROR, str(error)) from None


def _split(term: str) -> tuple[str, str]:
    """Return the name of a mechanism in lower case, and its value; a prefix length belongs to the value."""
    for at, character in enumerate(term):
        if character in ":/":
            return term[:at].lower(), term[at + 1 :] if character == ":" else term[at:]
    return term.lower(), ""


def _host_and_prefixes(value: str) -> tuple[str, str]:
    host, slash, prefixes = value.partition("/")
    return host, slash + prefixes


def _prefix(prefixes: str, kind: str) -> str:
    """Return the prefix length for a family of `/24`, `//64` or `/24//64` (section 5.6)."""
    four, _, six = prefixes.partition("//")
    return six if kind == "AAAA" else four.removeprefix("/")


def with_mechanism(record: str, mechanism: str) -> str:
    """Return a record that also has a mechanism, before the term that ends it."""
    kept: list[str] = []
    end: list[str] = []
    for term in record.split():
        last = term.lstrip("+-~?").lower() == "all" or term.lower().startswith("redirect=")
        (end if last or end else kept).append(term)
    return " ".join([*kept, *mechanism.split(), *end])
