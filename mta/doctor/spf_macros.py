"""Expands the macros in terms of SPF (RFC 7208 section 7)."""

import ipaddress
import re
from dataclasses import dataclass

_MACRO = re.compile(r"%(?:\{([slodiphcrtv])(\d{0,3})(r?)([.\-+,/_=]*)\}|([%_-]))", re.IGNORECASE)
_LITERALS = {"%": "%", "_": " ", "-": "%20"}
_MAX_NAME = 253


@dataclass(frozen=True, slots=True)
class MacroValues:
    """The message that is checked: mail from `postmaster` of the sender's domain."""

    sender_domain: str
    #: The domain whose record has the macro.
    domain: str
    address: str

    def of(self, letter: str) -> str:
        """Return the value of a letter. The names of the client and the receiver are unknown here."""
        ip = ipaddress.ip_address(self.address)
        values = {
            "s": f"postmaster@{self.sender_domain}",
            "l": "postmaster",
            "o": self.sender_domain,
            "d": self.domain,
            "h": self.sender_domain,
            "i": str(ip) if ip.version == 4 else ".".join(ip.exploded.replace(":", "")),  # noqa: PLR2004  the family
            "v": "in-addr" if ip.version == 4 else "ip6",  # noqa: PLR2004  the family
        }
        return values.get(letter, "unknown")


def expand(text: str, values: MacroValues) -> str:
    """Return a text with its macros expanded, cut from the left to the length of a name. Raises ValueError."""
    if "%" in _MACRO.sub("", text):
        raise ValueError(f"{text!r} has a macro that does not exist")
    expanded = _MACRO.sub(lambda found: _value(found, values), text)
    while len(expanded) > _MAX_NAME and "." in expanded:
        expanded = expanded.partition(".")[2]
    return expanded


def _value(found: "re.Match[str]", values: MacroValues) -> str:
    letter, digits, reverse, delimiters, literal = found.groups()
    if literal:
        return _LITERALS[literal]
    parts = re.split(f"[{re.escape(delimiters or '.')}]", values.of(letter.lower()))
    if reverse:
        parts.reverse()
    return ".".join(parts[-int(digits) :] if digits and int(digits) else parts)
