"""A cache of validated answers: one look-up for all that ask the same, CNAMEs followed to their end."""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, replace

from mta.dns.answers import LookupFailed, NoSuchName, memory_size, with_ttl
from mta.dns.cache import SingleFlight, TtlCache
from mta.dns.dnssec.authenticity import Security, ValidatedAnswer, worse
from mta.dns.message import CanonicalName, RecordType, interpret
from mta.dns.parser import DnsReply
from mta.dns.resolver import MAX_CNAME_QUERIES

_MAX_ENTRIES = 10_000
# Octets of memory that a validated answer takes besides its answer and reason.
_OCTETS = 150
# Seconds for which it is cached that a text cannot be a DNS name.
_INVALID_NAME_TTL = 300.0

_Key = tuple[str, RecordType]


@dataclass(frozen=True, slots=True)
class ValidatedReply:
    """A server's reply, which is an answer, and its security; `reason` is as in ValidatedAnswer."""

    reply: DnsReply | LookupFailed
    security: Security
    reason: str = ""


class AnswerCache:
    """Answers from its cache if it can, else by `ask`, which raises ValueError for a text that cannot be a name.

    The cache is emptied when `source`, for example the list of name servers, has another value than before.
    """

    def __init__(
        self,
        ask: Callable[[str, RecordType], Awaitable[ValidatedReply]],
        seconds: Callable[[], float],
        source: Callable[[], Hashable] = lambda: None,
    ) -> None:
        """Prepare; `seconds` is a monotonic clock."""
        self._ask = ask
        self._source = source
        self._known = source()
        self._answers: TtlCache[_Key, ValidatedAnswer] = TtlCache(_MAX_ENTRIES, seconds, validated_size)
        self._running: SingleFlight[tuple[_Key, Hashable], ValidatedAnswer] = SingleFlight()

    async def look_up(self, name: str, rdtype: RecordType) -> ValidatedAnswer:
        """Return the answer for a name; see `Authenticity.look_up`."""
        source = self._source()
        if source != self._known:
            self._known = source
            self._answers.clear()
        key = name.lower().removesuffix("."), rdtype
        known = self._answers.get(key)
        if known is not None:
            return replace(known, answer=with_ttl(known.answer, self._answers.remaining(key)))
        return await self._running.run((key, source), lambda: self._fetch(key, source))

    async def _fetch(self, key: _Key, source: Hashable) -> ValidatedAnswer:
        try:
            found = await self._follow_cnames(*key)
        except ValueError:
            found = ValidatedAnswer(NoSuchName(_INVALID_NAME_TTL), Security.INSECURE, "the name is impossible")
        if source == self._known:
            self._answers.put(key, found, found.answer.ttl)
        return found

    async def _follow_cnames(self, name: str, rdtype: RecordType) -> ValidatedAnswer:
        """Return the answer for a name; follow the CNAMEs that a server did not follow itself."""
        ttl, security, reason = float("inf"), Security.SECURE, ""
        for _ in range(MAX_CNAME_QUERIES):
            validated = await self._ask(name, rdtype)
            security, reason = worse(security, validated.security), reason or validated.reason
            if isinstance(validated.reply, LookupFailed):
                return ValidatedAnswer(validated.reply, security, reason)
            answer = interpret(validated.reply)
            ttl = min(ttl, answer.ttl)
            if isinstance(answer, LookupFailed):
                return _senseless(answer)
            if not isinstance(answer, CanonicalName):
                return ValidatedAnswer(with_ttl(answer, ttl), security, reason)
            name = answer.target
        return _senseless(LookupFailed(f"more than {MAX_CNAME_QUERIES} CNAMEs one after the other"))


def _senseless(failed: LookupFailed) -> ValidatedAnswer:
    """Return the answer for records that make no sense, whether they are proven or not."""
    return ValidatedAnswer(failed, Security.INSECURE, failed.reason)


def validated_size(validated: ValidatedAnswer) -> int:
    """Return the approximate number of octets of memory that a validated answer takes."""
    return _OCTETS + len(validated.reason) + memory_size(validated.answer)
