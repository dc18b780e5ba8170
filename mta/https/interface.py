"""The interface for one HTTPS request: its answer, its failure, and the URLs that it takes.

A URL comes from a setting, or from a remote document, so its text is untrusted.
"""

import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from mta.smtp.address import AddressError, bracketed, is_ip, parse_domain, printable

#: Seconds for one request: look-up, connections, TLS, and the last octet of the answer.
TIMEOUT = 30.0
#: The port of https.
DEFAULT_PORT = 443

_SCHEME, _PLAIN_SCHEME = "https://", "http://"
_PLAIN_PORT = 80
_MAX_URL = 2048
_MAX_SHOWN = 200
_URL_CHARACTERS = re.compile(r"[!-~]+")


class HttpsError(Exception):
    """There is no answer. The message is one line that names the host and the reason, without any secret."""


class HostUnknown(HttpsError):
    """No connection was tried, because no address is known to which one may be made."""


class HostUnreachable(HttpsError):
    """No connection could be opened to any address of the host, or none was within the time."""


class HostNotProven(HttpsError):
    """The certificate of the host does not prove its name."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer with any status. `headers` is by names in lower case; values of one name are joined by commas."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class HttpsRequester(Protocol):
    """Sends requests, by default over one connection each."""

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        limit: int,
        timeout: float = TIMEOUT,
    ) -> Awaitable[HttpAnswer]:
        """Return the answer to one request, whose body has at most `limit` octets. A redirect is an answer.

        `timeout` is in seconds, for all of it. Raises HttpsError if the host cannot be reached or proven by its
        certificate, or if its answer is malformed, too long or too late.
        """


@dataclass(frozen=True, slots=True)
class HttpsUrl:
    """The parts of a URL that a request needs. `host` is a name in lower case, or an IP address without brackets."""

    host: str
    port: int
    text: str
    #: False for http.
    tls: bool = True

    @property
    def authority(self) -> str:
        """The host as the Host header has it, with the port if it is not the scheme's (RFC 9110 section 7.2)."""
        host = bracketed(self.host)
        return host if self.port == (DEFAULT_PORT if self.tls else _PLAIN_PORT) else f"{host}:{self.port}"


def parse_url(text: str, *, plain: bool = False) -> HttpsUrl:
    """Return the parts of an https URL, or of an http URL if `plain` allows it.

    Raises ValueError with one line that says how it is malformed (RFC 3986).
    """
    shown = printable(text[:_MAX_SHOWN])
    if not _URL_CHARACTERS.fullmatch(text) or len(text) > _MAX_URL:
        raise ValueError(f"{shown!r} is not a URL: at most {_MAX_URL} characters of ASCII without blanks")
    tls = not (plain and text.lower().startswith(_PLAIN_SCHEME))
    if tls and not text.lower().startswith(_SCHEME):
        raise ValueError(f"{shown!r} does not begin with {_SCHEME}")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        name = host if is_ip(host) else parse_domain(host)
    except AddressError:
        raise ValueError(f"{shown!r} names no host") from None
    except ValueError:
        raise ValueError(f"{shown!r} is not a URL: its host or port is malformed") from None
    if parts.username is not None:
        raise ValueError("the URL must have no user or password")
    if parts.fragment or port == 0:
        raise ValueError(f"{shown!r} must have neither a fragment nor port 0")
    return HttpsUrl(name, port or (DEFAULT_PORT if tls else _PLAIN_PORT), text, tls)
