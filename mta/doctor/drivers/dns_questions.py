"""Asks name servers for the checks: each question once, within bounds of time and number, from any thread."""

import contextlib
from collections.abc import Sequence
from threading import Lock
from time import monotonic

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

from mta.doctor.lookups import Records

#: Seconds that one question may take, including all servers and retries.
SECONDS = 5.0
#: Questions of one run, and seconds after which no new one is asked.
MAX_QUESTIONS = 500
MAX_SECONDS = 45.0
#: The records kept of one answer.
_MAX_RECORDS = 50

_Key = tuple[str, str]


class DnsQuestions:
    """The LookUp over these servers, or over the system's if there are none."""

    def __init__(
        self, servers: Sequence[tuple[str, int]] = (), *, seconds: float = SECONDS, questions: int = MAX_QUESTIONS
    ) -> None:
        """Raises dns.resolver.NoResolverConfiguration if the system names no servers."""
        self._servers = tuple(servers)
        self._seconds = seconds
        self._left = questions
        self._end = monotonic() + MAX_SECONDS
        self._answers: dict[_Key, Records] = {}
        self._locks: dict[_Key, Lock] = {}
        self._lock = Lock()

    def __call__(self, name: str, kind: str) -> Records:
        """Return the records of a name and type."""
        key = name.lower().removesuffix("."), kind
        with self._lock:
            lock = self._locks.setdefault(key, Lock())
        with lock:
            if key not in self._answers:
                self._answers[key] = self._ask(*key)
            return self._answers[key]

    def _ask(self, name: str, kind: str) -> Records:
        with self._lock:
            self._left -= 1
            if self._left < 0 or monotonic() > self._end:
                return Records(failed="this run has asked the DNS for too much or too long")
        try:
            answer = _resolver(self._servers).resolve(f"{name}.", kind, lifetime=self._seconds)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return Records()
        except dns.exception.DNSException as error:
            # The text after the colon lists a server for each attempt.
            return Records(failed=str(error).partition(": ")[0])
        except (OSError, UnicodeError) as error:
            return Records(failed=str(error))
        return Records(tuple(_text(kind, record) for record in list(answer)[:_MAX_RECORDS]))


def _resolver(servers: Sequence[tuple[str, int]]) -> dns.resolver.Resolver:
    resolver = dns.resolver.Resolver(configure=not servers)
    if servers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in servers]
    return resolver


def _text(kind: str, record: object) -> str:
    """Return a record in the form of `Records`."""
    if kind == "TXT":
        strings: Sequence[bytes] = getattr(record, "strings", ())
        return b"".join(strings).decode(errors="replace")
    text = str(record).lower()
    return text[:-1] if kind in {"MX", "PTR"} else text


def system_servers() -> tuple[tuple[str, int], ...]:
    """Return the servers that resolv.conf(5) names."""
    with contextlib.suppress(dns.exception.DNSException):
        resolver = dns.resolver.Resolver()
        return tuple((str(server), resolver.port) for server in resolver.nameservers)
    return ()


def validates(server: tuple[str, int], seconds: float = SECONDS) -> bool | None:
    """Return whether a server says that it has validated the root's signatures (AD); None if it does not answer."""
    address, port = server
    query = dns.message.make_query(".", dns.rdatatype.SOA, want_dnssec=True)
    query.flags |= dns.flags.AD
    try:
        return bool(dns.query.udp(query, address, seconds, port, ignore_unexpected=True).flags & dns.flags.AD)
    except (dns.exception.DNSException, OSError):
        return None
