"""Signs messages with DKIM when they leave this host.

A message is signed when a remote host first needs it, and the signed body is kept for further transactions. Operations
with a private key run in a thread: an RSA signature costs about as much as all other work on a relayed message, and
`cryptography` (from 47) releases the interpreter lock meanwhile, so that with a second core the reactor thread has a
third less to do (measured). Fields that become ready while the thread works are signed together in its next run, so
that a single message does not wait and a busy relay switches threads rarely.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from mta.blocking import RunBlocking
from mta.dkim.author import author_domain
from mta.dkim.keyring import Keyring
from mta.dkim.keys import SigningKey
from mta.dkim.signature import Canon, UnsignedField, body_digest, read_header, unsigned_fields
from mta.fast_value import fast_value
from mta.message.body import Body, MemoryBody
from mta.message.envelope import Envelope

#: Messages of up to this many octets are hashed in the reactor thread, which takes one or two milliseconds.
MAX_HASHED_INLINE = 256 * 1024

#: Seconds between two notices about a domain without a key, and the number of domains with notices in that time.
DAY = 86400.0
MAX_UNSIGNED_DOMAINS = 100

#: Runs a blocking function in a thread; the Deferred fires in the reactor thread.

_Fields = Sequence[UnsignedField]
_Waiting = list[tuple[_Fields, "Deferred[bytes]"]]


@fast_value(frozen=True, slots=True)
class Signature:
    """The header fields to put at the top of a message, each with its CRLF, and the signer for the log.

    `by` is the domain and its selectors, `example.org/s1,s2`, or `none(<reason>)` if there are no fields.
    """

    fields: bytes
    by: str


class Signer(Protocol):
    """Signs messages."""

    async def sign(self, envelope: Envelope, body: Body) -> Signature:
        """Return the signature of a message, or the reason why it has none. Raises OSError for an unreadable body."""


class DkimSigner:
    """The Signer that adds DKIM-Signature fields, with the keys of the domain in From."""

    def __init__(
        self,
        keyring: Keyring,
        canon: Canon,
        *,
        ours: Callable[[Envelope], bool],
        run: RunBlocking,
        unsigned: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Prepare. `ours` tells which mail is signed; `run` hashes large messages and signs with RSA keys.

        `unsigned` is called with each domain that has no key although its mail came from a trusted client.

        A host that accepts mail for some domains from everyone must not sign all of it, because mail that a stranger
        forged in the name of such a domain would leave with a valid signature.
        """
        self._keyring = keyring
        self._canon = canon
        self._ours = ours
        self._run = run
        self._unsigned = unsigned
        self._batches = BatchSigner(run)

    async def sign(self, envelope: Envelope, body: Body) -> Signature:
        """Return a DKIM-Signature field for each key of the author's domain, or else of its nearest parent with keys.

        Receivers accept the signature of a parent domain for mail from a sub-domain (RFC 7489 section 3.1.1, relaxed).
        """
        if not self._ours(envelope):
            return _unsigned("the client is not trusted")
        header = read_header(body)
        if header is None:
            return _unsigned("the header is too long")
        author = author_domain(header.block)
        if author is None:
            return _unsigned("From: names no domain, or several")
        domain, keys = self._keys_for(author)
        if not keys:
            self._unsigned(author)
            return _unsigned(f"no key for {author}")

        def hashed() -> list[UnsignedField]:
            return unsigned_fields(header, body_digest(body, header, self._canon.body), domain, keys, self._canon)

        fields = hashed() if body.size <= MAX_HASHED_INLINE else await self._run(hashed)
        signed = await self._batches.sign(fields)
        selectors = ",".join(key.selector for key in keys)
        return Signature(signed, f"{domain}/{selectors}") if signed else _unsigned("too many fields to sign")

    def _keys_for(self, author: str) -> tuple[str, Sequence[SigningKey]]:
        """Return the signing domain and its keys; the keys are empty if neither the domain nor a parent has any."""
        domain = author
        while not (keys := self._keyring.keys(domain)):
            _, _, parent = domain.partition(".")
            if "." not in parent:
                return author, ()
            domain = parent
        return domain, keys


def _unsigned(reason: str) -> Signature:
    return Signature(b"", f"none({reason})")


class BatchSigner:
    """Signs fields in the order in which they come, those with slow keys in batches in a thread."""

    def __init__(self, run: RunBlocking) -> None:
        self._run = run
        self._waiting: _Waiting = []
        self._busy = False

    def sign(self, fields: _Fields) -> "Deferred[bytes]":
        """Return the fields with their signatures, one below the other; at once if all their keys are quick."""
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
            signing = self._run(lambda: [_signed(fields) for fields, _ in batch])
            signing.addCallbacks(self._done, self._failed, (batch,), {}, (batch,))

    def _done(self, results: Sequence[bytes], batch: _Waiting) -> None:
        # The thread signs the next batch while the reactor thread sends the messages of this one.
        self._start()
        for result, (_, done) in zip(results, batch, strict=True):
            done.callback(result)

    def _failed(self, failure: Failure, batch: _Waiting) -> None:
        self._start()
        for _, done in batch:
            done.errback(failure)


def _signed(fields: _Fields) -> bytes:
    return b"".join(field.sign() for field in fields)


class UnsignedNotices:
    """Tells the operator once a day of each domain whose mail leaves unsigned.

    At most MAX_UNSIGNED_DOMAINS domains a day get a notice, because clients choose the domains.
    """

    def __init__(self, wall_clock: Callable[[], float], notice: Callable[[str], object]) -> None:
        self._wall_clock = wall_clock
        self._notice = notice
        self._last_notice_at: dict[str, float] = {}

    def __call__(self, domain: str) -> None:
        """Give a notice about a domain, unless there was one today."""
        now = self._wall_clock()
        if self._last_notice_at.get(domain, -DAY) <= now - DAY:
            self._last_notice_at = {
                known: told for known, told in self._last_notice_at.items() if now - DAY < told <= now
            }
            if len(self._last_notice_at) < MAX_UNSIGNED_DOMAINS:
                self._last_notice_at[domain] = now
                self._notice(
                    f"mail from {domain} goes out without a DKIM signature: DKIM_KEY_PATH has no key for it or a domain"
                    f" above it; add one with `smtprelay dkim keygen {domain}`"
                )


class SignedBody:
    """The body of a message as remote hosts get it: signed when it is first needed, and only once."""

    __slots__ = ("_ready", "_signer", "_waiting", "signed_by")

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._ready: Body | None = None
        #: As in Signature; "" until the body has been signed.
        self.signed_by = ""
        # The callers that wait for the signature.
        self._waiting: list[Deferred[Body]] = []

    def get(self, envelope: Envelope, body: Body) -> "Deferred[Body]":
        """Return the signed body. Fails with OSError if the body cannot be read; the next call then tries again."""
        if self._ready is not None:
            return succeed(self._ready)
        waiting: Deferred[Body] = Deferred()
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            signing = Deferred.fromCoroutine(self._sign(envelope, body))
            signing.addCallbacks(self._signed, self._failed)
        return waiting

    async def _sign(self, envelope: Envelope, body: Body) -> Body:
        signature = await self._signer.sign(envelope, body)
        self.signed_by = signature.by
        return prefixed(signature.fields, body)

    def _signed(self, ready: Body) -> None:
        self._ready = ready
        callers, self._waiting = self._waiting, []
        for waiting in callers:
            waiting.callback(ready)

    def _failed(self, failure: Failure) -> None:
        callers, self._waiting = self._waiting, []
        for waiting in callers:
            waiting.errback(failure)


@dataclass(frozen=True, slots=True)
class PrefixedBody:
    """A body with octets added at its top."""

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
    """Return a body with octets added at its top. A body in memory stays in one piece."""
    if not prefix:
        return body
    return MemoryBody(prefix + body.data) if isinstance(body, MemoryBody) else PrefixedBody(prefix, body)
