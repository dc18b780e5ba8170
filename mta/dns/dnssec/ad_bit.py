"""Security by the AD bit of the relay's own name servers, and answers without any."""

from collections.abc import Callable, Iterable
from ipaddress import ip_address

from mta.dns.answers import LookupFailed
from mta.dns.client import DnsClient, Server
from mta.dns.dnssec.answer_cache import AnswerCache, ValidatedReply
from mta.dns.dnssec.authenticity import Security, ValidatedAnswer
from mta.dns.message import AUTHENTIC_DATA, CHECKING_DISABLED, RecordType
from mta.dns.parser import DnsReply


class AdBit:
    """Believes the AD bit, with which a name server says that it has validated an answer (RFC 6840 section 5.7).

    A name server that finds an answer bogus says only SERVFAIL (RFC 4035 section 5.5), so a look-up without an answer
    counts as bogus.
    """

    def __init__(
        self,
        client: DnsClient,
        seconds: Callable[[], float],
        *,
        trusted: Callable[[Iterable[Server]], bool] = lambda _: True,
    ) -> None:
        """Prepare; `trusted` says whether the AD bit of these name servers counts, `seconds` is a monotonic clock."""
        self._client = client
        self._trusted = trusted
        self._cache = AnswerCache(self._ask, seconds, lambda: client.servers)

    @property
    def usable(self) -> bool:
        """Whether the present name servers are trusted."""
        return self._trusted(self._client.servers)

    async def look_up(self, name: str, rdtype: RecordType) -> ValidatedAnswer:
        """Return the records of a name; see `Authenticity`."""
        return await self._cache.look_up(name, rdtype)

    def start(self) -> None:
        """Return at once, because a look-up needs no preparation."""

    def stop(self) -> None:
        """Return at once, because there are no resources."""

    async def _ask(self, name: str, rdtype: RecordType) -> ValidatedReply:
        trusted = self.usable
        reply = await self._client.look_up(name, rdtype, bits=AUTHENTIC_DATA)
        # Other servers may have been configured meanwhile.
        if not (trusted and self.usable):
            return ValidatedReply(reply, Security.INSECURE, "the AD bit of the DNS servers is not believed")
        if isinstance(reply, LookupFailed):
            return await self._failed(name, rdtype, reply)
        if reply.authentic:
            return ValidatedReply(reply, Security.SECURE)
        return ValidatedReply(reply, Security.INSECURE, "the DNS server did not set the AD bit")

    async def _failed(self, name: str, rdtype: RecordType, failed: LookupFailed) -> ValidatedReply:
        """Return a failure whose reason says whether there is an answer that was not accepted."""
        reason = failed.reason
        if "SERVFAIL" in reason:
            unchecked = await self._client.look_up(name, rdtype, bits=CHECKING_DISABLED)
            if isinstance(unchecked, DnsReply):
                reason = f"the DNS server does not accept the signatures ({reason})"
        return ValidatedReply(LookupFailed(reason, failed.ttl), Security.BOGUS, reason)


class Off:
    """Answers of the relay's own name servers, all insecure."""

    usable = False

    def __init__(self, client: DnsClient, seconds: Callable[[], float], reason: str = "DNSSEC is off") -> None:
        """Prepare; `reason` is that of all answers, `seconds` a monotonic clock."""
        self._client = client
        self._reason = reason
        self._cache = AnswerCache(self._ask, seconds, lambda: client.servers)

    async def look_up(self, name: str, rdtype: RecordType) -> ValidatedAnswer:
        """Return the records of a name; see `Authenticity`."""
        return await self._cache.look_up(name, rdtype)

    def start(self) -> None:
        """Return at once, because a look-up needs no preparation."""

    def stop(self) -> None:
        """Return at once, because there are no resources."""

    async def _ask(self, name: str, rdtype: RecordType) -> ValidatedReply:
        return ValidatedReply(await self._client.look_up(name, rdtype), Security.INSECURE, self._reason)


def on_loopback(servers: Iterable[Server]) -> bool:
    """Whether all these servers are on this host, and there is one, so that no network can change their replies."""
    addresses = [ip_address(address.partition("%")[0]) for address, _port in servers]
    return bool(addresses) and all(address.is_loopback for address in addresses)
