"""Decodes the encoded words of header fields (RFC 2047), so that the text of a field can be compared.

Readers are lenient with encoded words, and so is this module: blanks inside of a word, and a character that is divided
between two words. A word that cannot be decoded stays as it was written.
"""

import binascii
import re
from collections.abc import Iterator

# RFC 2047 section 2, without the limit of 75 characters. No part can contain a question mark, so that the possessive
# repetitions read each octet at most three times.
_WORD = re.compile(r"=\?([!->@-~]{1,40}+)\?([bBqQ])\?([^?]*+)\?=")
_BLANKS = re.compile(r"[ \t]*+")
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")
# The names of other charsets are not looked up: Python keeps each unknown name in memory, and has codecs that are slow.
_CHARSETS = frozenset(
    {"us-ascii", "ascii", "utf-8", "utf8", "utf-7", "utf-16", "koi8-r", "koi8-u", "gb2312", "gbk", "gb18030", "big5"}
    | {"hz-gb-2312", "iso-2022-jp", "iso-2022-kr", "shift_jis", "euc-jp", "euc-kr", "ks_c_5601-1987", "tis-620"}
    | {f"iso-8859-{number}" for number in (*range(1, 12), *range(13, 17))}
    | {f"windows-{number}" for number in (874, *range(1250, 1259))}
)


def decoded_text(value: bytes, longest: int) -> str:
    """Return the text of an unfolded field value, cut to its first `longest` characters. Never raises.

    Octets outside of encoded words are read as UTF-8; those that are not become U+FFFD. Tabs become blanks, because
    they come from folds. The time is linear in `longest`.
    """
    # A character takes up to 12 octets in Q encoding, and a word of one character up to 60 more.
    text = value[: longest * 16].decode(errors="replace").replace("\t", " ")
    if "=?" in text:
        text = "".join(_parts(text))
    return text[:longest]


def _parts(text: str) -> Iterator[str]:
    """Yield the parts of a text: its encoded words, decoded, and the texts between them."""
    # Neighbouring words with the same charset are decoded together.
    charset, octets = "ascii", list[bytes]()
    position = 0
    for word in _WORD.finditer(text):
        name = word[1].lower().partition("*")[0]
        if name not in _CHARSETS:
            continue
        between = text[position : word.start()]
        position = word.end()
        # RFC 2047 section 6.2: blanks between two encoded words are not shown.
        adjacent = bool(octets) and _BLANKS.fullmatch(between) is not None
        if octets and not (adjacent and name == charset):
            yield b"".join(octets).decode(charset, errors="replace")
            octets = []
        yield "" if adjacent else between
        charset = name
        octets.append(_octets(word[2], word[3]))
    yield b"".join(octets).decode(charset, errors="replace")
    yield text[position:]


def _octets(encoding: str, encoded: str) -> bytes:
    if encoding in "bB":
        digits = _NOT_BASE64.sub("", encoded)
        # One digit more than a multiple of four has no octet.
        digits = digits[: len(digits) - (len(digits) % 4 == 1)]
        return binascii.a2b_base64(digits + "=" * (-len(digits) % 4))
    raw = encoded.replace("_", " ").encode(errors="replace")
    return _HEX.sub(lambda digits: bytes([int(digits[1], 16)]), raw)
