"""What goes on top of a message that leaves this host: the seam, and DKIM behind it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from mta.delivery.keyring import Keyring
from mta.delivery.keywork import KeyWork, Run
from mta.message.author import author_domain
from mta.message.body import Body, MemoryBody
from mta.message.dkim import Canon, UnsignedField, body_digest, read_header, unsigned_fields
from mta.message.envelope import Envelope

#: Octets of a message that is hashed at once: as many take a millisecond or two.
AT_ONCE = 256 * 1024


class Signer(Protocol):
    """Signs messages."""

    async def sign(self, envelope: Envelope, body: Body) -> bytes:
        """Return the header fields to put on top, each with its CRLF, or b"" if the message is not to be signed.

        Raises OSError when the body cannot be read.
        """


class DkimSigner:
    """The Signer of DKIM: with the keys of the domain that the message says it is from, if there are any."""

    def __init__(self, keyring: Keyring, canon: Canon, *, ours: Callable[[Envelope], bool], run: Run) -> None:
        """Prepare. `ours` tells of whose mail we vouch for; `run` hashes large messages, and signs with RSA keys.

        A host that takes in mail for some domains from everyone must not vouch for all of it: a stranger's forgery of
        such a domain would leave it with a good signature.
        """
        self._keyring = keyring
        self._canon = canon
        self._ours = ours
        self._run = run
        self._key_work = KeyWork(run)

    async def sign(self, envelope: Envelope, body: Body) -> bytes:
        """Return a DKIM-Signature field for each key."""
        if not self._ours(envelope):
            return b""
        header = read_header(body)
        domain = author_domain(header.block) if header else None
        keys = self._keyring.keys(domain) if domain else ()
        if not (header and domain and keys):
            return b""

        def fields() -> list[UnsignedField]:
            return unsigned_fields(header, body_digest(body, header, self._canon.body), domain, keys, self._canon)

        return await self._key_work.sign(fields() if body.size <= AT_ONCE else await self._run(fields))


@dataclass(frozen=True, slots=True)
class PrefixedBody:
    """A body with octets on top of it."""

    prefix: bytes
    inner: Body

    @property
    def size(self) -> int:
        """The number of octets."""
        return len(self.prefix) + self.inner.size

    def chunks(self) -> Iterator[bytes]:
        """Yield the prefix, then the body. Raises OSError."""
        yield self.prefix
        yield from self.inner.chunks()


def prefixed(prefix: bytes, body: Body) -> Body:
    """Return a body with octets on top of it; one in memory stays one piece."""
    if not prefix:
        return body
    return MemoryBody(prefix + body.data) if isinstance(body, MemoryBody) else PrefixedBody(prefix, body)


class Outgoing:
    """A message as it leaves: signed when it is first asked for, and only then."""

    __slots__ = ("_ready", "_signer", "_waiting")

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._ready: Body | None = None
        # Who asked while the message was being signed.
        self._waiting: list[Deferred[Body]] = []

    def of(self, envelope: Envelope, body: Body) -> "Deferred[Body]":
        """Return the message signed. Fails with OSError when it cannot be read; the next call tries again."""
        if self._ready is not None:
            return succeed(self._ready)
        asking: Deferred[Body] = Deferred()
        self._waiting.append(asking)
        if len(self._waiting) == 1:
            signing = Deferred.fromCoroutine(self._sign(envelope, body))
            signing.addCallbacks(self._signed, self._failed)
        return asking

    async def _sign(self, envelope: Envelope, body: Body) -> Body:
        return prefixed(await self._signer.sign(envelope, body), body)

    def _signed(self, ready: Body) -> None:
        self._ready = ready
        waiting, self._waiting = self._waiting, []
        for asking in waiting:
            asking.callback(ready)

    def _failed(self, failure: Failure) -> None:
        waiting, self._waiting = self._waiting, []
        for asking in waiting:
            asking.errback(failure)
