"""DNS answers as the checks need them: the records of a type as texts."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

# RFC 1035 section 3.3: a character-string.
_STRING = 255


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one name and type; without any, the name does not exist or has none of the type.

    Texts are addresses, host names in lower case without the final dot (of MX after the preference: `10 mx.a.test`, of
    a null MX `0 `), and the strings of a TXT record joined.
    """

    texts: tuple[str, ...] = ()
    #: The reason why no server gave an answer; "" if one did.
    failed: str = ""


#: Looks up the records of a name by their type, `A`, `AAAA`, `MX`, `PTR` or `TXT`. Does not raise.
LookUp = Callable[[str, str], Records]


def addresses_of(name: str, look_up: LookUp) -> Records:
    """Return the addresses of a host of both families."""
    if is_address(name):
        return Records((name,))
    answers = [look_up(name, kind) for kind in ("A", "AAAA")]
    texts = tuple(text for answer in answers for text in answer.texts)
    return Records(texts, "" if texts else next((each.failed for each in answers if each.failed), ""))


def address_record(name: str, address: str) -> str:
    """Return the record that gives a host an address, as a line of a zone file."""
    return f"{name}. IN {'AAAA' if ':' in address else 'A'} {address}"


def zone_line(name: str, text: str, gap: str = " ") -> str:
    """Return a TXT record as a line of a zone file, as strings separated by `gap`."""
    strings = gap.join(f'"{text[start : start + _STRING]}"' for start in range(0, len(text), _STRING))
    return f"{name}. IN TXT {strings}" if len(text) <= _STRING else f"{name}. IN TXT ( {strings} )"


def reverse_name(address: str) -> str:
    """Return the name whose PTR record is that of an address (RFC 1035 section 3.5, RFC 3596 section 2.5)."""
    return ipaddress.ip_address(address).reverse_pointer


def is_address(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
