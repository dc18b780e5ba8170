"""The TXT record by which a domain says that it has an MTA-STS policy (RFC 8461 section 3.1)."""

import re
from collections.abc import Sequence

from mta.smtp.address import MAX_DOMAIN_OCTETS

#: Octets of a record that is read; a longer one is malformed.
MAX_RECORD = 1024

_PREFIX = "_mta-sts."
_MINE = re.compile(r"v=STSv1[ \t]*(?:;|$)")
_FIELD = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.\-]{0,31})=([!-:<>-~]+)")
_ID = re.compile(r"[A-Za-z0-9]{1,32}")


class RecordError(ValueError):
    """The records are not a record of MTA-STS. The message is one line that says why."""


def record_name(domain: str) -> str:
    """Return the name of the record of a domain; "" if it would be too long for the DNS."""
    name = _PREFIX + domain
    return name if len(name) <= MAX_DOMAIN_OCTETS else ""


def policy_id(texts: Sequence[str]) -> str | None:
    """Return the id of a domain's policy, from all TXT records of its `record_name`; None without a record of MTA-STS.

    Fields behind the id are not read. Raises RecordError if two records are, or if the record is malformed: the domain
    then counts as one without a record.
    """
    mine = [text for text in texts if _MINE.match(text)]
    if not mine:
        return None
    if len(mine) > 1:
        raise RecordError(f"there are {len(mine)} records with v=STSv1, and one is allowed")
    return _id_of(mine[0])


def _id_of(record: str) -> str:
    if len(record) > MAX_RECORD:
        raise RecordError(f"the record has more than {MAX_RECORD} octets")
    fields = [field.strip(" \t") for field in record.split(";")[1:]]
    if fields and not fields[-1]:
        fields.pop()
    for field in fields:
        match = _FIELD.fullmatch(field)
        if match is None:
            raise RecordError("the record is malformed: its fields are name=value, with ; between them")
        if match[1] == "id":
            return _checked(match[2])
    raise RecordError("the record has no id")


def _checked(text: str) -> str:
    if not _ID.fullmatch(text):
        raise RecordError("the id of the record must have 1 to 32 letters and digits")
    return text
