"""The ClientHello of TLS, octet by octet: a test may offer versions and ciphers that libraries no longer offer."""

import os
import struct
from collections.abc import Sequence
from contextlib import suppress

from OpenSSL import SSL

#: Versions on the wire.
SSL3, TLS1_0, TLS1_1, TLS1_2 = 0x0300, 0x0301, 0x0302, 0x0303
_ALERT, _HANDSHAKE = 21, 22
_ALERTS = {20: "bad record", 40: "handshake failure", 70: "protocol version", 71: "insufficient security"}
_GROUPS = struct.pack(">5H", 10, 6, 4, 29, 23)  # supported_groups: x25519, secp256r1
_POINTS = struct.pack(">2H2B", 11, 2, 1, 0)
_SIGNATURES = struct.pack(">7H", 13, 10, 8, 0x0403, 0x0804, 0x0401, 0x0203)
_TICKET = struct.pack(">2H", 35, 0)
# SCSV of RFC 5746, as a client without the extension says that it renegotiates safely.
_SAFELY = 0x00FF


def client_hello(version: int, ciphers: Sequence[int], compression: Sequence[int] = (0,)) -> bytes:
    """Return a ClientHello (RFC 5246 section 7.4.1.2) that offers this version at most."""
    suites = struct.pack(f">{len(ciphers) + 1}H", *ciphers, _SAFELY)
    extensions = b"" if version == SSL3 else _GROUPS + _POINTS + _SIGNATURES + _TICKET
    body = (
        struct.pack(">H", version)
        + os.urandom(32)
        + b"\0"
        + struct.pack(">H", len(suites))
        + suites
        + bytes([len(compression), *compression])
        + (struct.pack(">H", len(extensions)) + extensions if extensions else b"")
    )
    message = b"\1" + len(body).to_bytes(3, "big") + body
    return struct.pack(">BHH", _HANDSHAKE, min(version, TLS1_0), len(message)) + message


def ssl2_hello() -> bytes:
    """Return the hello of SSL 2.0 that offers no newer version."""
    body = struct.pack(">BHHHH", 1, 0x0002, 3, 0, 16) + b"\x01\x00\x80" + os.urandom(16)
    return struct.pack(">H", 0x8000 | len(body)) + body


def answer(context: SSL.Context, hello: bytes) -> str | tuple[int, int]:
    """Return the server's answer: the words of its alert, "nothing", or its choice of cipher and compression."""
    server = SSL.Connection(context, None)
    server.set_accept_state()
    server.bio_write(hello)
    # An alert may stand behind an error, too.
    with suppress(SSL.Error):
        server.do_handshake()
    try:
        said = server.bio_read(1 << 16)
    except SSL.WantReadError:
        return "nothing"
    if said[0] == _ALERT:
        return _ALERTS.get(said[6], f"alert {said[6]}")
    # Record, handshake head, version and random come first.
    after = 5 + 4 + 2 + 32
    after += 1 + said[after]
    cipher, compression = struct.unpack_from(">HB", said, after)
    return cipher, compression
