"""SCRAM-SHA-256: a client against any server, a server against any client, and one altered message between the two.

A drawn message names parts of the right one by a tilde and a letter, which `_Truth` fills in, so that it comes far. The
truth is computed here from RFC 5802 alone.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from hypothesis import strategies as st

from mta.smtp.sasl.interface import SaslError
from mta.smtp.sasl.logins import ChannelBinding, PasswordLogin
from mta.smtp.sasl.scram import NAME, PLUS_NAME, ScramSecret, derive
from mta.smtp.sasl.scram_client import ScramClient
from mta.smtp.sasl.server import Challenge, ExchangeFailed, LoggedIn, ServerExchange, Step, start
from tests.fuzz.target import Growth, Tape, Target, is_line, sentences

_USER, _PASSWORD = "b,o=b", "canary-password"
_SALT, _ITERATIONS = b"salt-of-bob", 4096
_CLIENT_NONCE, _SERVER_NONCE = "client0nce", "server0nce"
_HERE = ChannelBinding("tls-exporter", b"the-binding-of-this-connection..")
_ELSEWHERE = ChannelBinding("tls-exporter", b"the-binding-of-another-connection")
_MECHANISMS = (NAME, PLUS_NAME)
# A login has three messages of the client, the last one empty, and two of the server.
_MESSAGES = 4
# The password as it is, and as it would be in base64.
_SECRETS = (_PASSWORD.encode(), base64.b64encode(_PASSWORD.encode()).rstrip(b"="))
# Such numbers of iterations are allowed and take up to half a second, so another one takes their place.
_DEAR = re.compile(rb"i=(?:[1-9][0-9]{4,5}|1000000)(?![0-9])")
_FINAL = re.compile(rb"c=([^,]*),r=([^,]*)(?:,.*)?,p=([^,]*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Talk:
    """The messages of a strange server, of a strange client, and of a stranger between an honest pair."""

    server_says: tuple[bytes, ...]
    client_says: tuple[bytes, ...]
    #: The number of the message that is altered, and what takes its place.
    altered: int = 0
    alteration: bytes = b"~m"
    mechanism: str = NAME
    #: Whether the client and the server know a binding, and whether it is of the same connection.
    client_bound: bool = True
    server_bound: bool = True
    same_connection: bool = True

    @property
    def client_binding(self) -> ChannelBinding | None:
        """The client's view of the connection."""
        return (_HERE if self.same_connection else _ELSEWHERE) if self.client_bound else None

    @property
    def server_binding(self) -> ChannelBinding | None:
        """The server's view of the connection, without which it does not offer -PLUS."""
        return _HERE if self.server_bound or self.mechanism == PLUS_NAME else None

    @property
    def bound(self) -> bytes:
        """The data that a proof for this server must be bound to."""
        return _HERE.data if self.mechanism == PLUS_NAME else b""


@dataclass(slots=True)
class _Truth:
    """One login as RFC 5802 has it, from the messages that were sent so far."""

    bound: bytes
    first: bytes = b""
    challenge: bytes = b""
    final: bytes = b""

    @property
    def header(self) -> bytes:
        """The GS2 header of the client's first message."""
        return b",".join(self.first.split(b",", 2)[:2]) + b","

    @property
    def bare(self) -> bytes:
        """The client's first message without its header."""
        return self.first.split(b",", 2)[-1]

    @property
    def nonce(self) -> bytes:
        """The nonce of both sides, or of the client if the server has not answered yet."""
        found = re.match(rb"r=([^,]*)", self.challenge) or re.search(rb",r=([^,]*)", self.first)
        return found[1] if found else b""

    def message(self, without_proof: bytes) -> bytes:
        """Return AuthMessage."""
        return b",".join((self.bare, self.challenge, without_proof))

    def proof(self, without_proof: bytes) -> bytes:
        """Return the proof of the client."""
        client_key, _ = self._keys()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), self.message(without_proof), "sha256")
        return base64.b64encode(_exclusive_or(client_key, signature))

    def verifier(self) -> bytes:
        """Return the proof of the server for the client's last message."""
        _, server_key = self._keys()
        without_proof = self.final.rpartition(b",p=")[0]
        return base64.b64encode(hmac.digest(server_key, self.message(without_proof), "sha256"))

    def fill(self, template: bytes, original: bytes = b"") -> bytes:
        """Put the right parts into a drawn message; `original` is the message that it replaces."""
        parts = {
            b"~m": lambda: original,
            b"~c": _CLIENT_NONCE.encode,
            b"~n": lambda: self.nonce,
            b"~s": lambda: base64.b64encode(_SALT),
            b"~b": lambda: base64.b64encode(self.header + self.bound),
            b"~v": self.verifier,
        }
        text = re.sub(rb"~[mcnsbv]", lambda match: parts[match[0]](), template)
        if b"~p" in text:
            text = text.replace(b"~p", self.proof(text.partition(b",p=")[0]))
        return _DEAR.sub(b"i=4097", text)

    def proves(self, final: bytes) -> bool:
        """Whether a client's last message proves the password on this connection."""
        found = _FINAL.fullmatch(final)
        flags = {b"p=tls-exporter"} if self.bound else {b"n", b"y"}
        if found is None or found[2] != self.nonce or self.first.partition(b",")[0] not in flags:
            return False
        try:
            bound, proof = (base64.b64decode(found[number], validate=True) for number in (1, 3))
        except ValueError:
            return False
        right = base64.b64decode(self.proof(final.rpartition(b",p=")[0]))
        return bound == self.header + self.bound and proof == right

    def _keys(self) -> tuple[bytes, bytes]:
        found = re.match(rb"r=[^,]*,s=([^,]*),i=([0-9]{4,5})(?![0-9])", self.challenge)
        try:
            return (
                _keys(base64.b64decode(found[1], validate=True), int(found[2])) if found else _keys(_SALT, _ITERATIONS)
            )
        except ValueError:
            return _keys(_SALT, _ITERATIONS)


@lru_cache(maxsize=64)
def _keys(salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """Return ClientKey and ServerKey."""
    salted = hashlib.pbkdf2_hmac("sha256", _PASSWORD.encode(), salt, iterations)
    return hmac.digest(salted, b"Client Key", "sha256"), hmac.digest(salted, b"Server Key", "sha256")


def _exclusive_or(one: bytes, other: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(one, other, strict=True))


def check(talk: Talk) -> None:
    """Hold three conversations."""
    _check_client(talk)
    _check_server(talk)
    _check_between(talk)


def _client(talk: Talk) -> ScramClient:
    plus = talk.mechanism == PLUS_NAME and talk.client_binding is not None
    return ScramClient(PasswordLogin(_USER, _PASSWORD), talk.client_binding, plus=plus, nonce=_CLIENT_NONCE)


def _server(talk: Talk) -> ServerExchange:
    return start(talk.mechanism, secret_of=_secret_of, binding=talk.server_binding, nonce=_SERVER_NONCE)


@lru_cache(maxsize=8)
def _secret_of(user: str) -> ScramSecret:
    return derive(_PASSWORD if user == _USER else f"not {_PASSWORD}", _SALT, _ITERATIONS)


def _check_client(talk: Talk) -> None:
    """Let a client hear a strange server: it answers as RFC 5802 says, and believes a proof only."""
    client = _client(talk)
    bound = talk.client_binding.data if talk.client_binding is not None and client.name == PLUS_NAME else b""
    truth = _Truth(bound, first=client.initial or b"")
    proven = False
    for number, template in enumerate(talk.server_says[:_MESSAGES]):
        says = truth.fill(template)
        right = number == 1 and says.partition(b",")[0] == b"v=" + truth.verifier()
        try:
            answer = client.respond(says)
        except SaslError as error:
            _check_shown(str(error))
            assert not right or not _is_text(says)
            assert client.complete == proven
            return
        if number == 0:
            truth.challenge = says
            assert truth.nonce.startswith(_CLIENT_NONCE.encode())
            assert len(truth.nonce) > len(_CLIENT_NONCE)
            assert answer == truth.fill(b"c=~b,r=~n,p=~p")
            truth.final = answer
        else:
            assert answer == b""
        proven = proven or right
        assert client.complete == proven
        _check_shown(client.failure)


def _check_server(talk: Talk) -> None:
    """Let a server hear a strange client: it believes only a client that has proved that it knows the password."""
    truth = _Truth(talk.bound)
    exchange = _server(talk)
    for template in talk.client_says:
        says = truth.fill(template)
        step = exchange.respond(None if template == b"~0" else says)
        _hear(truth, says, step)
        if not isinstance(step, Challenge):
            return
    # None of them may be asked for again and again.
    assert talk.client_says.count(b"~0") + _MESSAGES > len(talk.client_says), "a login without an end"


def _hear(truth: _Truth, says: bytes, step: Step) -> None:
    """Take a client's message and the server's step after it."""
    _check_shown(repr(step))
    match step:
        case Challenge(b""):
            pass
        case Challenge(data) if data.startswith(b"r="):
            assert len(data) <= len(says) + 100
            truth.first, truth.challenge = says, data
        case Challenge(data):
            truth.final = says
            assert truth.proves(says), "a login without a proof"
            assert data == b"v=" + truth.verifier()
        case LoggedIn(user):
            assert truth.final
            assert (user, says) == (_USER, b"")
        case _:
            assert isinstance(step, ExchangeFailed)


def _check_between(talk: Talk) -> None:
    """Let an honest pair talk through a stranger who alters one message."""
    client, server, truth = _client(talk), _server(talk), _Truth(talk.bound)
    changed = False

    def passed_on(number: int, message: bytes) -> bytes:
        nonlocal changed
        arrives = truth.fill(talk.alteration, message) if number == talk.altered else message
        changed |= arrives != message
        return arrives

    says, step = client.initial or b"", None
    for number in range(0, 2 * _MESSAGES, 2):
        heard = passed_on(number, says)
        step = server.respond(heard)
        _hear(truth, heard, step)
        if not isinstance(step, Challenge):
            break
        try:
            says = client.respond(passed_on(number + 1, step.data))
        except SaslError:
            break
    logged_in = isinstance(step, LoggedIn)
    assert not client.complete or truth.final, "the client believes a server that refused it"
    same = client.name == NAME or talk.same_connection
    downgraded = client.name == NAME and talk.client_bound and talk.server_bound
    honest = client.name == talk.mechanism and same and not downgraded
    assert changed or (logged_in and client.complete) == honest
    # A stranger who knows the proof knows the password.
    assert not logged_in or honest or b"~p" in talk.alteration


def _is_text(message: bytes) -> bool:
    return message.decode(errors="replace").encode() == message


def _check_shown(text: str) -> None:
    assert is_line(text)
    assert len(text) <= 300
    assert not any(secret.decode() in text for secret in _SECRETS)


# The two ways to an input


def read(tape: Tape) -> Talk:
    """Read a talk: two octets of choices, then the messages, between line feeds."""
    flags, altered = tape.number(), tape.number() % (_MESSAGES + 1)
    server, client, alteration = [*tape.rest().split(b"\0"), b"", b""][:3]
    return Talk(
        tuple(server.split(b"\n")),
        tuple(client.split(b"\n")),
        altered,
        alteration,
        _MECHANISMS[flags & 1],
        not flags & 2,
        not flags & 4,
        not flags & 8,
    )


_SERVER_FIRST = (b"r=~cS,s=~s,i=4096", b"r=~cS,s=~s,i=4096,x=y", b"r=~cS,s=c2FsdA==,i=5000")
_SERVER_FINAL = (b"v=~v", b"v=~v,x=y", b"e=invalid-proof", b"v=~vA", b"v=AAAA")
_CLIENT_FIRST = (
    *(b"n,,n=b=2Co=3Db,r=~c", b"y,,n=b=2Co=3Db,r=~c", b"p=tls-exporter,,n=b=2Co=3Db,r=~c", b"n,,n=eve,r=~c"),
    *(b"p=tls-unique,,n=b=2Co=3Db,r=~c", b"n,a=eve,n=b=2Co=3Db,r=~c", b"n,,m=x,n=b=2Co=3Db,r=~c", b"~0", b""),
)
_CLIENT_LAST = (b"", b"", b"x", b"~0")
_CLIENT_FINAL = (b"c=~b,r=~n,p=~p", b"c=~b,r=~n,x=y,p=~p", b"c=biws,r=~n,p=~p", b"c=~b,r=~c,p=~p", b"c=~b,r=~n,p=")
_ALTERATIONS = (
    *(b"~m", b"~mA", b"~m,x=y", b"~m~m", b"x~m", b"", b"n,,n=b=2Co=3Db,r=~c", b"y,,n=b=2Co=3Db,r=~c", b"n,,n=eve,r=~c"),
    *(b"r=~nS,s=~s,i=4096", b"r=~n,s=~s,i=4097", b"r=~n,s=c2FsdA==,i=4096", b"r=~n,s=~s,i=4096,x=y", b"v=~v,x=y"),
    *(b"c=~b,r=~n,p=~p", b"c=biws,r=~n,p=~p", b"c=eSws,r=~n,p=~p", b"c=~b,r=~n,x=y,p=~p", b"c=~b,r=~n,p=AAAA", b"e=x"),
)
_WORDS = (
    *(
        b"~m",
        b"~c",
        b"~n",
        b"~s",
        b"~b",
        b"~v",
        b"~p",
        b"~0",
        b"\n",
        b"\0",
        b",",
        b"=",
        b"n,,",
        b"y,,",
        b"p=tls-exporter,,",
    ),
    *(b"n=", b"r=", b"s=", b"i=", b"c=", b"v=", b"e=", b"p=", b"a=", b"m=", b"x=y", b"4096", b"4095", b"0", b"9" * 12),
    *(
        b"=2C",
        b"=3D",
        b"=",
        b"=2c",
        b"\xff",
        b"\xc3\xbc",
        b"\xe2\x80\xae",
        b"biws",
        b"eSws",
        b"AAAA",
        b"====",
        b"-1",
        b" ",
    ),
)


def _messages(*choices: Sequence[bytes]) -> st.SearchStrategy[tuple[bytes, ...]]:
    right = st.tuples(*(st.sampled_from(choice) for choice in choices))
    return right | st.lists(sentences((*_WORDS, *choices[0], *choices[1]), 8), max_size=_MESSAGES).map(tuple)


talks = st.builds(
    Talk,
    _messages(_SERVER_FIRST, _SERVER_FINAL),
    _messages(_CLIENT_FIRST, _CLIENT_FINAL, _CLIENT_LAST),
    st.integers(0, _MESSAGES),
    st.sampled_from(_ALTERATIONS) | sentences(_WORDS, 8),
    st.sampled_from(_MECHANISMS),
    *(st.integers(0, 7).map(bool),) * 3,
)


def _shape(name: str, make: Callable[[int], Talk]) -> Growth[Talk]:
    return Growth(name, make)


def _to_client(*says: bytes) -> Talk:
    return Talk(says, ())


def _to_server(*says: bytes) -> Talk:
    return Talk((), says)


GROWTH = (
    _shape("a long nonce of the server", lambda n: _to_client(b"r=~c" + b"S" * n + b",s=~s,i=4096", b"v=~v")),
    _shape("a long salt", lambda n: _to_client(b"r=~cS,s=" + b"AAAA" * (n // 4) + b",i=4096", b"v=~v")),
    _shape("extensions of the server", lambda n: _to_client(b"r=~cS,s=~s,i=4096" + b",x=y" * (n // 4), b"v=~v")),
    _shape("digits", lambda n: _to_client(b"r=~cS,s=~s,i=" + b"4" * n)),
    _shape("commas of the server", lambda n: _to_client(b"," * n)),
    _shape("a long refusal", lambda n: _to_client(b"r=~cS,s=~s,i=4096", b"e=" + b"x" * n)),
    _shape("a long verifier", lambda n: _to_client(b"r=~cS,s=~s,i=4096", b"v=" + b"A" * n)),
    _shape("a long nonce of the client", lambda n: _to_server(b"n,,n=bob,r=" + b"c" * n)),
    _shape("a long name", lambda n: _to_server(b"n,,n=" + b"=2C" * (n // 3) + b",r=~c")),
    _shape("a long name abroad", lambda n: _to_server(b"n,,n=" + "ü".encode() * (n // 2) + b",r=~c")),
    _shape("equals signs", lambda n: _to_server(b"n,,n=" + b"=" * n + b",r=~c")),
    _shape("commas of the client", lambda n: _to_server(b"n" + b"," * n)),
    _shape("a long proof", lambda n: _to_server(b"n,,n=b=2Co=3Db,r=~c", b"c=~b,r=~n,p=" + b"A" * n)),
    _shape("a long binding", lambda n: _to_server(b"n,,n=b=2Co=3Db,r=~c", b"c=" + b"A" * n + b",r=~n,p=~p")),
    _shape(
        "extensions of the client", lambda n: _to_server(_CLIENT_FIRST[0], b"c=~b,r=~n" + b",x=y" * (n // 4) + b",p=~p")
    ),
)
TARGET = Target("scram", check, read, talks, _WORDS, GROWTH)
