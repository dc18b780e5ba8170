"""The answers of a token endpoint, the words about them that an operator reads, and the URLs of such endpoints."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote_plus

from hypothesis import strategies as st

from mta.https.interface import HttpAnswer, HttpsUrl, parse_url
from mta.oauth.advice import advice
from mta.oauth.answers import LONGEST_LIFE, MAX_RETRY_AFTER, SHORTEST_LIFE, AccessToken, TokenLater, read_answer
from mta.oauth.grants import ClientCredentials, Grant, Provider, RefreshToken
from tests.fuzz.target import Growth, Tape, Target, is_line, sentences

_NOW = 1_800_000_000.0
_SECRETS = ("canary secret+/=%", "canary-refresh-token")
# A text of this many characters of a secret would tell too much of it.
_PART = 10
_LONGEST_WORDS = 500
_URL = "https://login.test/token"
_GRANTS: tuple[Grant, ...] = tuple(
    grant
    for provider in Provider
    for grant in (
        ClientCredentials(_URL, "id", _SECRETS[0], provider=provider),
        RefreshToken(_URL, "id", _SECRETS[0], _SECRETS[1], provider=provider),
    )
)
_SHOWN = tuple(
    form
    for secret in _SECRETS
    for form in (secret, quote_plus(secret), base64.b64encode(secret.encode()).decode(), json.dumps(secret)[1:-1])
)


@dataclass(frozen=True, slots=True)
class Reply:
    """An endpoint's answer. A tilde and a digit stand for a secret of the request in one of its forms."""

    status: int
    body: bytes
    retry_after: bytes = b""
    location: bytes = b""

    def answer(self) -> HttpAnswer:
        """Return the answer as the HTTPS client gives it."""
        headers = {"retry-after": _filled(self.retry_after), "location": _filled(self.location)}
        return HttpAnswer(self.status, headers, _filled(self.body).encode("latin-1"))


def _filled(octets: bytes) -> str:
    text = octets.decode("latin-1")
    for number, form in enumerate(_SHOWN):
        text = text.replace(f"~{number}", form)
    return text


def check(reply: Reply) -> None:
    """Read an answer, and show what an operator would see of it."""
    found = read_answer(reply.answer(), _NOW, _SECRETS)
    assert "canary" not in repr(found) or not isinstance(found, AccessToken)
    if isinstance(found, AccessToken):
        assert reply.status == 200
        assert SHORTEST_LIFE <= found.expires - found.fetched <= LONGEST_LIFE
        assert found.fetched < found.renewal < found.expires
        assert found.token.isascii()
        assert (found.token + found.refresh_token).isprintable()
    elif isinstance(found, TokenLater):
        assert 0 <= found.wait <= MAX_RETRY_AFTER
        _check_words(found.words)
    else:
        _check_words(found.words)
        for grant in _GRANTS:
            _check_words(advice(found, grant))
    _check_url(_filled(reply.location))


def _check_words(words: str) -> None:
    assert words
    assert is_line(words)
    assert len(words) <= _LONGEST_WORDS
    for form in _SHOWN:
        assert form[:_PART] not in words, "a part of a secret is shown"


def _check_url(text: str) -> None:
    url, reason = _parsed(text)
    assert is_line(reason)
    assert len(reason) <= _LONGEST_WORDS
    if url is None:
        return
    assert url.text == text
    assert url.text.isascii()
    assert 0 < url.port < 65536
    assert not set(url.authority) & set(" /?#@\\")
    assert parse_url(f"https://{url.authority}/x") == HttpsUrl(url.host, url.port, f"https://{url.authority}/x")


def _parsed(text: str) -> tuple[HttpsUrl | None, str]:
    try:
        return parse_url(text), ""
    except ValueError as error:
        return None, str(error)


# The two ways to an input

_STATUSES = (200, 200, 400, 400, 401, 302, 429, 503)


def read(tape: Tape) -> Reply:
    """Read an answer: an octet for its status, then Retry-After, Location and the body, between NULs."""
    status = tape.choose(_STATUSES)
    retry_after, location, body = [*tape.rest().split(b"\0", 2), b"", b""][:3]
    return Reply(status, body, retry_after, location)


_WORDS = (
    *(
        b'{"access_token":"t"',
        b'{"error":"invalid_grant"',
        b'{"error":"invalid_client"',
        b'{"error":"',
        b'{"access_token":',
    ),
    *(b',"expires_in":3600', b',"expires_in":"60"', b',"expires_in":1e999', b',"expires_in":NaN', b',"expires_in":-1'),
    *(b',"refresh_token":"r"', b',"refresh_token":"', b',"token_type":"Bearer"', b',"token_type":"mac"', b',"scope":1'),
    *(
        b',"error_description":"',
        b'"',
        b"}",
        b"}",
        b"AADSTS7000215: ",
        b"AADSTS65001: ",
        b" Trace ID: x",
        b"\\u202e",
        b"\\n",
    ),
    *(
        b"~0",
        b"~1",
        b"~2",
        b"~3",
        b"~4",
        b"~5",
        b"~6",
        b"~7",
        b"a" * 40,
        b"a" * 300,
        b"b " * 100,
        b" " * 40,
        b"\xc3\xbc",
    ),
    *(
        b"Signature",
        b"\\ud800",
        b"\\u0000",
        b"null",
        b"[",
        b"1" * 400,
        b"<html>",
        b"signature ",
        b"false",
        b"\xe2\x80\xae",
    ),
)
_HEADERS = (
    *(
        b"120",
        b"0",
        b"-1",
        b"9" * 30,
        b"Wed, 21 Oct 2026 07:28:00 GMT",
        b"Wed, 99 Oct 99999999 07:28:00 +9999",
        b"\xb2",
        b"",
    ),
    *(
        b"https://",
        b"HTTPS://",
        b"http://",
        b"login.test",
        b"[::1]",
        b"[",
        b"]",
        b":443",
        b":0",
        b":99999",
        b"/a?",
        b"#f",
    ),
    *(
        b"user:pw@",
        b"xn--",
        b"..",
        b"\xc3\xbc",
        b"%",
        b"a" * 290,
        b"~0",
        b"~1",
        b"~5",
        b" ",
        b"\\",
        b"127.1",
        b"::",
        b"&k=",
    ),
)
replies = st.builds(
    Reply, st.sampled_from(_STATUSES), sentences(_WORDS, 12), sentences(_HEADERS, 2), sentences(_HEADERS, 8)
)


def _shape(name: str, make: Callable[[int], bytes], status: int = 400) -> Growth[Reply]:
    return Growth(name, lambda size: Reply(status, make(size)), 1 << 12)


def _described(text: bytes) -> bytes:
    return b'{"error":"invalid_grant","error_description":"' + text + b'"}'


GROWTH = (
    _shape("a token without an end", lambda n: b'{"access_token":"' + b"t" * n + b'"}', 200),
    _shape("words", lambda n: _described(b"a b " * (n // 4))),
    _shape("one word", lambda n: _described(b"a" * n)),
    _shape("words that are almost long", lambda n: _described((b"a" * 40 + b"!") * (n // 41))),
    _shape("blanks", lambda n: _described(b" " * n)),
    _shape("the secret again and again", lambda n: _described(b"canary secret+/=%" * (n // 17))),
    _shape("almost the secret", lambda n: _described(b"canary sx" * (n // 9))),
    _shape("numbers for support", lambda n: _described(b"Trace ID" * (n // 8))),
    _shape("brackets", lambda n: b"[" * n),
    _shape("members", lambda n: b"{" + b'"a":1,' * (n // 6) + b'"error":"x"}'),
    Growth("a place", lambda n: Reply(302, b"", b"", b"https://" + b"a." * (n // 2))),
    Growth("a place of escapes", lambda n: Reply(302, b"", b"", b"https://x.test/?" + b"%20" * (n // 3))),
    Growth("digits to wait", lambda n: Reply(429, b"", b"1" * n)),
    Growth("a date without an end", lambda n: Reply(429, b"", b"Wed, " + b"1 " * (n // 2))),
)
TARGET = Target("oauth", check, read, replies, _WORDS + _HEADERS, GROWTH)
