"""The mechanisms of logins: a server's exchange with any responses, and a client's mechanism with any challenges."""

import base64
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from mta.smtp.sasl.interface import SaslError
from mta.smtp.sasl.logins import CertificateLogin, ChannelBinding, Login, PasswordLogin, TokenLogin, secrets_of
from mta.smtp.sasl.mechanisms import choose
from mta.smtp.sasl.scram import NAME, PLUS_NAME, derive
from mta.smtp.sasl.server import (
    LOGIN,
    MAX_PASSWORD,
    MAX_USER,
    PLAIN,
    Challenge,
    ExchangeFailed,
    PasswordGiven,
    start,
)
from tests.fuzz.target import Growth, Tape, Target, is_line, sentences

_BINDING = ChannelBinding("tls-exporter", bytes(32))
_SECRET = derive("canary-password", b"salt")
_SERVED = (PLAIN, LOGIN, NAME, PLUS_NAME)
_LOGINS: tuple[Login, ...] = (
    PasswordLogin("canary-user", "canary-password"),
    TokenLogin("canary-user", "canary-token"),
    CertificateLogin("canary-user"),
    CertificateLogin(),
)
_OFFERS = ("EXTERNAL", "OAUTHBEARER", "XOAUTH2", "CRAM-MD5", PLAIN, LOGIN, NAME, PLUS_NAME)
#: Mechanisms that show their secret to anyone who hears them.
_READABLE = {"OAUTHBEARER", "XOAUTH2", PLAIN, LOGIN}
# The most responses that an exchange takes, counted without those that are missing.
_MOST = 3


@dataclass(frozen=True, slots=True)
class Talk:
    """Messages for a server's exchange and for a client's mechanisms; None is a missing initial response."""

    says: tuple[bytes | None, ...]
    mechanism: str = PLAIN
    login: Login = _LOGINS[0]
    in_clear: bool = False
    bound: bool = False


def check(talk: Talk) -> None:
    """Let both sides hear the messages."""
    _check_server(talk)
    _check_client(talk)


def _check_server(talk: Talk) -> None:
    exchange = start(talk.mechanism, secret_of=lambda _: _SECRET, binding=_BINDING, nonce="n0nce")
    heard: list[bytes] = []
    for data in talk.says:
        step = exchange.respond(data)
        heard += [] if data is None else [data]
        assert len(heard) <= _MOST, "an exchange without an end"
        match step:
            case Challenge(asked):
                assert len(asked) <= 400
                continue
            case PasswordGiven(user, password):
                _check_given(talk.mechanism, heard, user, password)
            case ExchangeFailed(_, user):
                assert len(user.encode(errors="surrogateescape")) <= MAX_USER
            case _:
                raise AssertionError("a login without a password or a proof")
        assert "canary" not in repr(step)
        return


def _check_given(mechanism: str, heard: list[bytes], user: str, password: str) -> None:
    """Demand that the octets are those that the client sent, and that its bounds were kept."""
    name, secret = (text.encode(errors="surrogateescape") for text in (user, password))
    assert 0 < len(name) <= MAX_USER
    assert 0 < len(secret) <= MAX_PASSWORD
    if mechanism == PLAIN:
        assert heard[-1] in {b"\0%b\0%b" % (name, secret), b"%b\0%b\0%b" % (name, name, secret)}
    else:
        assert (mechanism, heard) == (LOGIN, [name, secret])


def _check_client(talk: Talk) -> None:
    """Let each mechanism of the client hear a server, and look for what it must not show."""
    binding = _BINDING if talk.bound else None
    secrets = [text for text in secrets_of(talk.login) if text]
    chosen = choose(_OFFERS, talk.login, in_clear=talk.in_clear, binding=binding)
    assert not talk.in_clear or not _READABLE & {mechanism.name for mechanism in chosen}
    for mechanism in chosen:
        said = mechanism.initial or b""
        for challenge in talk.says[:_MOST]:
            try:
                said += mechanism.respond(challenge or b"")
            except SaslError as error:
                _check_shown(str(error), secrets)
                break
        _check_shown(mechanism.failure, secrets)
        assert mechanism.name in _READABLE or secrets[-1:] == [] or _hidden(said, talk.login)


def _hidden(said: bytes, login: Login) -> bool:
    """Whether the octets have neither the password nor the token in them."""
    secret = secrets_of(login)[-1].encode() if not isinstance(login, CertificateLogin) else b"canary-password"
    return secret not in said and base64.b64encode(secret).rstrip(b"=") not in said


def _check_shown(text: str, secrets: list[str]) -> None:
    assert is_line(text)
    assert len(text) <= 300
    assert not any(secret in text for secret in secrets[1:])


# The two ways to an input


def read(tape: Tape) -> Talk:
    """Read a talk: three octets of choices, then the messages, between line feeds."""
    mechanism, login, flags = tape.choose(_SERVED), tape.choose(_LOGINS), tape.number()
    says: list[bytes | None] = [*tape.rest().split(b"\n")]
    if flags & 1:
        says.insert(0, None)
    return Talk(tuple(says), mechanism, login, bool(flags & 2), bool(flags & 4))


_WORDS = (
    *(b"\0", b"\0", b"bob", b"bob", b"canary-password", b"\0bob\0canary-password", b"bob\0bob\0canary-password"),
    *(b"eve\0bob\0canary-password", b"a" * 256, b"b" * 1025, b"\xff", b"\xc3\xbc", b"\r", b"\n", b" ", b"="),
    *(b"n,,n=bob,r=c", b"n,,n=bob,r=c", b"c=biws,r=cn0nce,p=", b"y,,", b"p=tls-exporter,,n=bob,r=c", b"A" * 43 + b"="),
    *(b'{"status":"401","schemes":"bearer","scope":"mail"}', b'{"status":', b'"401"', b"}", b"[" * 2000, b'{"scope":"'),
    *(b"<1.2@x.test>", b"Username:", b"Password:", b"v=AAAA", b"e=x", b"\x1b", b"\xe2\x80\xae", b"\\u202e", b"null"),
)
talks = st.builds(
    Talk,
    st.lists(st.none() | sentences(_WORDS, 6), max_size=4).map(tuple),
    st.sampled_from(_SERVED),
    st.sampled_from(_LOGINS),
    st.booleans(),
    st.booleans(),
)


def _shape(name: str, mechanism: str, login: Login, make: Callable[[int], bytes]) -> Growth[Talk]:
    return Growth(name, lambda size: Talk((make(size), make(size)), mechanism, login))


_PASSWORD, _TOKEN, _CERTIFICATE, _ = _LOGINS
GROWTH = (
    _shape("octets without an end", PLAIN, _CERTIFICATE, lambda n: b"a" * n),
    _shape("NULs", PLAIN, _CERTIFICATE, lambda n: b"\0" * n),
    _shape("octets that are not UTF-8", LOGIN, _CERTIFICATE, lambda n: b"\xff" * n),
    _shape("a name without an end", NAME, _CERTIFICATE, lambda n: b"n,,n=" + b"=2C" * (n // 3)),
    _shape("commas", PLUS_NAME, _CERTIFICATE, lambda n: b"," * n),
    _shape("a challenge without an end", PLAIN, _PASSWORD, lambda n: b"a" * n),
    _shape("brackets", PLAIN, _TOKEN, lambda n: b"[" * n),
    _shape("members", PLAIN, _TOKEN, lambda n: b"{" + b'"a":1,' * (n // 6) + b'"status":"x"}'),
    _shape("a scope without an end", PLAIN, _TOKEN, lambda n: b'{"scope":"' + b"a" * n + b'"}'),
    _shape("backslashes", PLAIN, _TOKEN, lambda n: b'{"scope":"' + b"\\" * n + b'"}'),
    _shape("digits", PLAIN, _TOKEN, lambda n: b'{"status":' + b"9" * n + b"}"),
)
TARGET = Target("sasl", check, read, talks, _WORDS, GROWTH)
