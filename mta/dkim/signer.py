"""What goes on top of a message that leaves this host: the seam, and DKIM behind it.

The slow half of a signature, the operation with the private key, done outside the reactor's thread.

An RSA signature takes about as long as all else that a relayed message costs, and `cryptography` (from 47) lets other
threads go on meanwhile: with a second core the reactor has a third less to do (measured). What gathers while a thread
signs goes to it together, so that a lone message waits for nobody and a busy relay pays for few hand-overs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from mta.dkim.author import author_domain
from mta.dkim.keyring import Keyring
from mta.dkim.keys import SigningKey
from mta.dkim.signature import Canon, UnsignedField, body_digest, read_header, unsigned_fields
from mta.fast_value import fast_value
from mta.message.body import Body, MemoryBody
from mta.message.envelope import Envelope

#: Does blocking work in a thread; the Deferred fires in the reactor's.
Run = Callable[[Callable[[], Any]], "Deferred[Any]"]

_Fields = Sequence[UnsignedField]
_Waiting = list[tuple[_Fields, "Deferred[bytes]"]]


class BatchSigner:
    """Signs what is ready to be signed, in the order it came."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._waiting: _Waiting = []
        self._busy = False

    def sign(self, fields: _Fields) -> "Deferred[bytes]":
        """Return the fields with their signatures, one below the other. Waits for nothing if all keys are quick."""
        if all(field.quick for field in fields):
            return succeed(_signed(fields))
        done: Deferred[bytes] = Deferred()
        self._waiting.append((fields, done))
        if not self._busy:
            self._start()
        return done

    def _start(self) -> None:
        batch, self._waiting = self._waiting, []
        self._busy = bool(batch)
        if batch:
            working = self._run(lambda: [_signed(fields) for fields, _ in batch])
            working.addCallbacks(self._done, self._failed, (batch,), {}, (batch,))

    def _done(self, results: Sequence[bytes], batch: _Waiting) -> None:
        # The thread works on what has gathered while we talk.
        self._start()
        for result, (_, done) in zip(results, batch, strict=True):
            done.callback(result)

    def _failed(self, failure: Failure, batch: _Waiting) -> None:
        self._start()
        for _, done in batch:
            done.errback(failure)


def _signed(fields: _Fields) -> bytes:
    return b"".join(field.sign() for field in fields)


#: Octets of a message that is hashed at once: as many take a millisecond or two.
AT_ONCE = 256 * 1024


#: Seconds after which a domain without a key is told of again, and domains that are told of in that time.
DAY = 86400.0
MOST_UNSIGNED = 100


@fast_value(frozen=True, slots=True)
class Signature:
    """The header fields to put on top of a message, each with its CRLF, and the signer, for the log.

    `by` is the domain and its selectors, `example.org/s1,s2`, or `none(...)` with the reason if there are no fields.
    """

    fields: bytes
    by: str


class Signer(Protocol):
    """Signs messages."""

    async def sign(self, envelope: Envelope, body: Body) -> Signature:
        """Return the signature of a message, or why it has none. Raises OSError when the body cannot be read."""


class DkimSigner:
    """The Signer of DKIM: with the keys of the domain that the message says it is from, if there are any."""

    def __init__(
        self,
        keyring: Keyring,
        canon: Canon,
        *,
        ours: Callable[[Envelope], bool],
        run: Run,
        unsigned: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Prepare. `ours` tells of whose mail we vouch for; `run` hashes large messages, and signs with RSA keys.

        `unsigned` is called with each domain that has no key and whose mail came from a trusted client.

        A host that takes in mail for some domains from everyone must not vouch for all of it: a stranger's forgery of
        such a domain would leave it with a good signature.
        """
        self._keyring = keyring
        self._canon = canon
        self._ours = ours
        self._run = run
        self._unsigned = unsigned
        self._key_work = BatchSigner(run)

    async def sign(self, envelope: Envelope, body: Body) -> Signature:
        """Return a DKIM-Signature field for each key of the author's domain, or else of the nearest one above it.

        Receivers take the signature of a domain above for mail from a sub-domain (RFC 7489 section 3.1.1, relaxed).
        """
        if not self._ours(envelope):
            return _none("the client is not trusted")
        header = read_header(body)
        if header is None:
            return _none("the header is too long")
        author = author_domain(header.block)
        if author is None:
            return _none("From: names no domain, or several")
        domain, keys = self._keys_for(author)
        if not keys:
            self._unsigned(author)
            return _none(f"no key for {author}")

        def fields() -> list[UnsignedField]:
            return unsigned_fields(header, body_digest(body, header, self._canon.body), domain, keys, self._canon)

        signed = await self._key_work.sign(fields() if body.size <= AT_ONCE else await self._run(fields))
        selectors = ",".join(key.selector for key in keys)
        return Signature(signed, f"{domain}/{selectors}") if signed else _none("too many fields to sign")

    def _keys_for(self, author: str) -> tuple[str, Sequence[SigningKey]]:
        """Return the domain that signs, and its keys; none if neither this domain nor one above it has any."""
        domain = author
        while not (keys := self._keyring.keys(domain)):
            _, _, above = domain.partition(".")
            if "." not in above:
                return author, ()
            domain = above
        return domain, keys


class UnsignedNotices:
    """Tells once a day of each domain whose mail goes out unsigned; of MOST_UNSIGNED, because clients name them."""

    def __init__(self, wall_clock: Callable[[], float], notice: Callable[[str], object]) -> None:
        self._wall_clock = wall_clock
        self._notice = notice
        self._told: dict[str, float] = {}

    def __call__(self, domain: str) -> None:
        """Tell of a domain, if it was not told of today."""
        now = self._wall_clock()
        if self._told.get(domain, -DAY) <= now - DAY:
            self._told = {known: told for known, told in self._told.items() if now - DAY < told <= now}
            if len(self._told) < MOST_UNSIGNED:
                self._told[domain] = now
                self._notice(
                    f"mail from {domain} goes out without a DKIM signature: DKIM_KEY_PATH has no key for it or a domain"
                    f" above it; add one with `smtprelay dkim keygen {domain}`"
                )


def _none(reason: str) -> Signature:
    return Signature(b"", f"none({reason})")


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

    __slots__ = ("_ready", "_signer", "_waiting", "signed_by")

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._ready: Body | None = None
        #: The signer, or the reason why there is none; "" before the message was asked for.
        self.signed_by = ""
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
        signature = await self._signer.sign(envelope, body)
        self.signed_by = signature.by
        return prefixed(signature.fields, body)

    def _signed(self, ready: Body) -> None:
        self._ready = ready
        waiting, self._waiting = self._waiting, []
        for asking in waiting:
            asking.callback(ready)

    def _failed(self, failure: Failure) -> None:
        waiting, self._waiting = self._waiting, []
        for asking in waiting:
            asking.errback(failure)
