"""Mailboxes, domains and literals: RFC 5321 section 4.1.2, RFC 6531 section 3.3, RFC 5890.

An address is text here, not wire bytes. Its local part is kept as written, without needless quoting. Its domain has one
comparable form: lower case, with international names as A-labels. The null path is None. This module also makes text
of a peer safe to show on one line.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from functools import lru_cache

#: RFC 5321 section 4.5.3.1.3 bounds a path to 256 octets with its brackets. The limit of 64 octets for a local part
#: (4.5.3.1.1) is not enforced, because bounce addresses of mailing lists exceed it daily.
MAX_ADDRESS_OCTETS = 254
MAX_DOMAIN_OCTETS = 253
#: RFC 5321 section 4.5.1: mail for this local part must not be refused.
POSTMASTER = "postmaster"

# RFC 5321 section 4.1.2 Atom and Quoted-string; RFC 6531 section 3.3 adds every non-ASCII character to both.
_ATEXT = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\U0010ffff]"
# A deliberate deviation: Dot-string forbids leading, trailing and doubled dots, but old phone mailboxes have them, and
# a refusal would lose mail that the next host accepts. They are sent as they were received, unquoted.
_DOT_STRING = re.compile(rf"(?:{_ATEXT}|\.)+")
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\U0010ffff]|\\[\x20-\x7e])*)"')
_ESCAPED = re.compile(r"\\(.)")
# RFC 5321 section 4.1.2 sub-domain; RFC 1035 section 2.3.4 bounds a label to 63 octets.
_LABEL = r"[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# Containers and Windows hosts have such names; RFC 1123 section 2.1 does not allow `_` in the name of a host.
_LOOSE_LABEL = r"[a-z0-9_](?:[a-z0-9_\-]{0,61}[a-z0-9_])?"
_LOOSE_DOMAIN = re.compile(rf"{_LOOSE_LABEL}(?:\.{_LOOSE_LABEL})*")
# C0 and C1 controls, line and paragraph separators, the bidirectional controls that reorder a line, and characters that
# show as a blank or are invisible. The two joiners of Arabic and Indic names (U+200C, U+200D) are allowed.
_DECEPTIVE = re.compile(
    r"[\x00-\x1f\x7f-\xa0\xad\u061c\u115f\u1160\u1680\u180e\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000"
    r"\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\uffff\U000e0000-\U000e007f]"
)


class AddressError(ValueError):
    """The text is not an address; the message gives the reason to its sender."""


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox: `local` unquoted; `domain` in lower-case ASCII, a literal, or "" for bare postmaster."""

    local: str
    domain: str
    #: The Mailbox of RFC 5321 section 4.1.2. `str` returns it too, but takes 900 instructions more (measured), and five
    #: places of a relayed message quote an address.
    text: str = field(init=False, repr=False, compare=False)

    #: Whether the address can only be sent to an SMTPUTF8 peer (RFC 6531 section 3.2).
    needs_utf8: bool = field(init=False, repr=False, compare=False)
    #: Whether the domain is an address literal such as `[192.0.2.1]` (RFC 5321 section 4.1.3).
    is_literal: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Format the Mailbox, quoted only if necessary, and note what each message asks about an address."""
        local = self.local if _DOT_STRING.fullmatch(self.local) else quote(self.local)
        object.__setattr__(self, "text", f"{local}@{self.domain}" if self.domain else local)
        object.__setattr__(self, "needs_utf8", not self.local.isascii())
        object.__setattr__(self, "is_literal", self.domain.startswith("["))

    def __str__(self) -> str:
        """Return the Mailbox."""
        return self.text


def is_postmaster(local: str) -> bool:
    """Return whether a local part is `postmaster`, in any case (RFC 5321 section 4.5.1)."""
    return local.lower() == POSTMASTER


def is_deceptive(text: str) -> bool:
    """Return whether a text contains a character that would break a line, reorder it, or be invisible in it."""
    return _DECEPTIVE.search(text) is not None


def quote(local: str) -> str:
    """Return a local part as a Quoted-string (RFC 5321 section 4.1.2)."""
    return '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parse_address(text: str, *, qualify: str = "", loose: bool = False) -> Address:
    """Parse `local@domain`, or `postmaster` without a domain (RFC 5321 section 4.5.1). Raises AddressError.

    An address without a domain gets `qualify` unless that is "", and may be quoted as a whole. `loose` is that of
    `parse_domain`.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_ADDRESS_OCTETS:
        raise AddressError(f"address longer than {MAX_ADDRESS_OCTETS} octets")
    if is_deceptive(text):
        raise AddressError("address contains a control character, or one that cannot be seen")
    local, end = _parse_local(text)
    if end == len(text):
        if is_postmaster(local):
            return Address(local, "")
        if qualify and local:
            if "@" in local:
                return parse_address(local, loose=loose)
            return Address(local, qualify)
        raise AddressError("address must contain a domain")
    if text[end] != "@":
        raise AddressError(f"unexpected {text[end]!r} in the local part")
    return Address(local, parse_domain(text[end + 1 :], loose=loose))


def _parse_local(text: str) -> tuple[str, int]:
    """Return the unquoted local part and the position of its end."""
    if text.startswith('"'):
        match = _QUOTED.match(text)
        if match is None:
            raise AddressError("quoted local part does not end")
        return _ESCAPED.sub(r"\1", match[1]), match.end()
    match = _DOT_STRING.match(text)
    if match is None:
        raise AddressError(f"no local part in {text!r}")
    return match[0], match.end()


@lru_cache(maxsize=4096)
def parse_domain(text: str, *, loose: bool = False) -> str:
    """Return a domain or literal in its comparable form. A `loose` one may contain `_`; a final dot is dropped.

    Raises AddressError.
    """
    if text.startswith("["):
        return _parse_literal(text)
    name = text.removesuffix(".") if loose else text
    domain = name.lower() if name.isascii() else _to_ascii(name)
    if len(domain) > MAX_DOMAIN_OCTETS:
        raise AddressError(f"domain longer than {MAX_DOMAIN_OCTETS} octets")
    if not (_LOOSE_DOMAIN if loose else _DOMAIN).fullmatch(domain):
        raise AddressError(f"malformed domain {text!r}")
    return domain


def _to_ascii(text: str) -> str:
    # Its tables take 0.5 MB (measured), and most relays never see such a name.
    import idna  # noqa: PLC0415

    try:
        return idna.encode(text, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError) as error:
        raise AddressError(f"malformed international domain {text!r}: {error}") from None


def _parse_literal(text: str) -> str:
    """Return `[192.0.2.1]` or `[IPv6:2001:db8::1]` with the address in canonical form (RFC 5321 section 4.1.3)."""
    inner = text[1:].removesuffix("]") if text.endswith("]") else ""
    try:
        if inner[:5].lower() == "ipv6:":
            return f"[IPv6:{ipaddress.IPv6Address(inner[5:])}]"
        return f"[{ipaddress.IPv4Address(inner)}]"
    except ValueError:
        raise AddressError(f"malformed address literal {text!r}") from None


def literal_ip(domain: str) -> str:
    """Return the IP address in a literal that `parse_domain` returned, as text."""
    return domain[1:-1].removeprefix("IPv6:")


@lru_cache(maxsize=1024)
def is_ip(host: str) -> bool:
    """Return whether a host is an IP address as text, without brackets, and not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def bracketed(host: str) -> str:
    """Return a host as written before a port: an IPv6 address in brackets, others unchanged (RFC 3986)."""
    return f"[{host}]" if ":" in host else host


def printable(text: str) -> str:
    """Return text of the same length with `?` for each character that could end a line or hide text."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
