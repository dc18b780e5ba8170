"""Describes failed and lost connections and failed TLS handshakes in a few words, without error numbers."""

import errno
import os

from twisted.internet import error as kinds

_ERRNO_TEXTS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.ECONNABORTED: "connection reset",
    errno.EPIPE: "connection reset",
    errno.ETIMEDOUT: "connection timed out",
    errno.EHOSTUNREACH: "no route to host",
    errno.EHOSTDOWN: "no route to host",
    errno.ENETUNREACH: "network unreachable",
    errno.ENETDOWN: "network unreachable",
    errno.EADDRNOTAVAIL: "no local address or port to connect from",
    errno.EAFNOSUPPORT: "this host has no addresses of that kind",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "no such file",
    errno.ENOTSOCK: "not a socket",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files on this host",
}
# Twisted raises these classes for some causes, with or without an error number.
_ERRNO_OF_CLASS: tuple[tuple[type[kinds.ConnectError], int], ...] = (
    (kinds.ConnectionRefusedError, errno.ECONNREFUSED),
    (kinds.NoRouteError, errno.ENETUNREACH),
    (kinds.TCPTimedOutError, errno.ETIMEDOUT),
)

_NO_TLS_1_2 = "the host has no TLS 1.2 or newer"
_REFUSED = "the host refused the handshake: no common cipher, or it demands a client certificate"
_NO_TLS = "the host answers with something that is not TLS"
# The ends of OpenSSL's error texts for handshakes that fail before a certificate is checked; the beginnings differ by
# version.
_HANDSHAKE_TEXTS = {
    "unsupported protocol": _NO_TLS_1_2,
    "alert protocol version": _NO_TLS_1_2,
    "wrong version number": _NO_TLS,
    "packet length too long": _NO_TLS,
    "http request": _NO_TLS,
    "alert certificate required": "the host demands a client certificate",
    # These alerts of a server are about the certificate that was shown to it (RFC 8446 section 6.2).
    "alert unknown ca": "the host does not know the authority of this relay's certificate",
    "alert certificate expired": "the host refuses this relay's certificate, because it has expired",
    **dict.fromkeys(
        (
            "alert bad certificate",
            "alert unsupported certificate",
            "alert certificate revoked",
            "alert certificate unknown",
        ),
        "the host refuses this relay's certificate",
    ),
    # TLS 1.2 has no separate alert for a client without a certificate.
    "alert handshake failure": _REFUSED,
    "dh key too small": "the host's Diffie-Hellman key is too short",
    "unrecognized name": "the host does not know the name by which it was asked",
    "unexpected eof while reading": "connection lost during the TLS handshake",
}


def connect_error_text(error: BaseException | None, seconds: float) -> str:
    """Return why a connection was not made, without the host's name.

    `error` is an OSError or the reason that Twisted gives to `clientConnectionFailed`; `seconds` is the time limit of
    the attempt.
    """
    if isinstance(error, kinds.TimeoutError):
        return f"connection timed out after {seconds:g} s"
    number = error.osError if isinstance(error, kinds.ConnectError) else getattr(error, "errno", None)
    if not isinstance(number, int):
        number = next((code for kind, code in _ERRNO_OF_CLASS if isinstance(error, kind)), None)
    if number is None:
        return "connection failed"
    return _ERRNO_TEXTS.get(number) or os.strerror(number).lower()


def connection_loss_text(error: BaseException | None) -> str:
    """Return how a connection ended; `error` is the value of the reason that `connectionLost` gets."""
    return "connection reset" if isinstance(error, kinds.ConnectionLost) else "connection lost"


def handshake_error_text(openssl_text: str) -> str:
    """Return a plain description for OpenSSL's error text of a failed handshake, or that text if there is none."""
    plain = next((text for end, text in _HANDSHAKE_TEXTS.items() if openssl_text.endswith(end)), openssl_text)
    return plain or "the TLS handshake failed"
