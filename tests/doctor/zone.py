"""A DNS of texts for the pure checks."""

from collections.abc import Mapping, Sequence

from mta.doctor.lookups import LookUp, Records

FAILED = "SERVFAIL"


def dns_of(records: Mapping[tuple[str, str], Sequence[str] | str]) -> LookUp:
    """Return the look-up in records by name and type; a text in place of them is the reason why a look-up fails."""

    def look_up(name: str, kind: str) -> Records:
        found = records.get((name.lower(), kind), ())
        return Records(failed=found) if isinstance(found, str) else Records(tuple(found))

    return look_up


def with_printed(records: Mapping[tuple[str, str], Sequence[str] | str], lines: Sequence[str]) -> LookUp:
    """Return the look-up after an operator has put printed lines into the zone, in place of records of the same kind.

    Addresses and exchangers are added to those that are there.
    """
    zone = {key: found if isinstance(found, str) else list(found) for key, found in records.items()}
    for line in lines:
        name, _, kind, data = line.split(" ", 3)
        text = data.strip('"') if kind == "TXT" else data.removesuffix(".")
        if kind == "TXT" and data.startswith("("):
            text = "".join(data.split('"')[1::2])
        key = name.removesuffix(".").lower(), kind
        known = zone.get(key, [])
        add = kind in {"A", "AAAA", "MX"} and not isinstance(known, str)
        zone[key] = [*known, text] if add else [text]
    return dns_of(zone)
