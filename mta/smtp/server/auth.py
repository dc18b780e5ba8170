"""Reads the lines of a login: the AUTH command and the client's responses (RFC 4954 section 4), without mechanisms.

The functions raise ProtocolRefusal with a reply that shows nothing of the line.
"""

import binascii
import re
from collections.abc import Collection
from dataclasses import dataclass

from mta.smtp.errors import ProtocolRefusal
from mta.smtp.limits import STRICT, Leniency
from mta.smtp.server import canned_replies

#: The longest response with its CRLF, in octets (RFC 4954 section 4).
MAX_RESPONSE = 12_288

# RFC 4422 section 3.1.
_MECHANISM = re.compile(rb"[A-Z0-9_-]{1,20}")
_CANCEL, _EMPTY = b"*", b"="


@dataclass(frozen=True, slots=True)
class LoginTerms:
    """The logins of one client's connection; the default allows none.

    `in_clear` and `in_tls` are the mechanisms that are offered without and with TLS. If a login is `required`, no mail
    is accepted without one. `leniency` is that of a client that has logged in.
    """

    in_clear: tuple[str, ...] = ()
    in_tls: tuple[str, ...] = ()
    required: bool = False
    leniency: Leniency = STRICT


NO_LOGINS = LoginTerms()


def parse_auth(argument: bytes, offered: Collection[str]) -> tuple[str, bytes | None]:
    """Return the mechanism of an AUTH command, in upper case, and its initial response, or None without one."""
    word, _, initial = argument.partition(b" ")
    word = word.upper()
    if not _MECHANISM.fullmatch(word):
        raise ProtocolRefusal(canned_replies.NO_MECHANISM)
    mechanism = word.decode()
    if mechanism not in offered:
        raise ProtocolRefusal(canned_replies.UNKNOWN_MECHANISM)
    initial = initial.strip(b" \t")
    if not initial:
        return mechanism, None
    return mechanism, b"" if initial == _EMPTY else _decode(initial)


def parse_response(line: bytes) -> bytes:
    """Return the octets of a response. A response of `*` cancels the login, which is a refusal too."""
    if line == _CANCEL:
        raise ProtocolRefusal(canned_replies.LOGIN_CANCELLED)
    return _decode(line)


def _decode(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        # Without the error as its cause, because that may show the text.
        raise ProtocolRefusal(canned_replies.NOT_BASE64) from None
