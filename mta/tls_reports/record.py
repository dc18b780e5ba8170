"""The TXT record by which a domain asks for reports on TLS (RFC 8460 section 3)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from mta.https.interface import DEFAULT_PORT, parse_url
from mta.smtp.address import MAX_DOMAIN_OCTETS, Address, AddressError, parse_address

#: Addresses of one record that get a report; the others get none.
MAX_TARGETS = 4
#: Octets of a record that is read; a longer one is malformed.
MAX_RECORD = 2048

_PREFIX = "_smtp._tls."
_MINE = re.compile(r"v=TLSRPTv1[ \t]*(?:;|$)")
_RUA = re.compile(r"[ \t]*rua[ \t]*=[ \t]*(.*)", re.IGNORECASE | re.DOTALL)
_MAILTO = "mailto:"


@dataclass(frozen=True, slots=True)
class ReportTargets:
    """The addresses that a domain wants its reports at: by mail, and by HTTPS."""

    mail: tuple[Address, ...] = ()
    urls: tuple[str, ...] = ()


def record_name(domain: str) -> str:
    """Return the name of the record of a domain; "" if it would be too long for the DNS."""
    name = _PREFIX + domain
    return name if len(name) <= MAX_DOMAIN_OCTETS else ""


def report_targets(texts: Sequence[str]) -> ReportTargets | None:
    """Return the targets in all TXT records of a domain's `record_name`; None if it wants no report.

    Two records are as none (RFC 8460 section 3). Malformed addresses, URLs with another port than 443, and targets
    beyond MAX_TARGETS are passed over.
    """
    mine = [text for text in texts if _MINE.match(text)]
    if len(mine) != 1 or len(mine[0]) > MAX_RECORD:
        return None
    uris = [match[1] for field in mine[0].split(";") if (match := _RUA.fullmatch(field))]
    if not uris:
        return None
    mail: list[Address] = []
    urls: list[str] = []
    for target in _targets(uris[0]):
        if len(mail) + len(urls) == MAX_TARGETS:
            break
        if isinstance(target, Address):
            mail.append(target)
        else:
            urls.append(target)
    return ReportTargets(tuple(dict.fromkeys(mail)), tuple(dict.fromkeys(urls))) if mail or urls else None


def _targets(uris: str) -> Iterator[Address | str]:
    for uri in (each.strip() for each in uris.split(",")):
        try:
            if uri.lower().startswith(_MAILTO):
                yield _address(uri)
            elif (url := parse_url(uri)).port == DEFAULT_PORT:
                # A stranger must not have the relay call other services, its own page among them.
                yield url.text
        except ValueError:
            continue


def _address(uri: str) -> Address:
    """Return the address of a mailto URI (RFC 6068), whose header fields are not used. Raises ValueError."""
    address = parse_address(unquote(uri[len(_MAILTO) :].partition("?")[0], errors="strict"))
    if not address.domain or address.is_literal:
        raise AddressError("a report goes to an address in a domain")
    return address
