"""A DNS in a dictionary, with failures to order; the records have the form of the zone file of `harness.dns_server`.

    {"example.test": {"MX": [[10, "mx.example.test"]]},
     "mx.example.test": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"], "TTL": 5},
     "www.example.test": {"CNAME": "mx.example.test"}, "_mta-sts.example.test": {"TXT": ["v=STSv1; id=1"]},
     "broken.test": {"FAIL": "SERVFAIL"}, "silent.test": {"FAIL": "SILENCE"}}

A null MX (RFC 7505) is [0, ""]. FAIL is an rcode's name, or SILENCE. The name *.wild.test stands for all below.
"""

from collections.abc import Mapping
from typing import Any

from mta.dns.answers import (
    AddressAnswer,
    Answer,
    Found,
    LookupFailed,
    MxAnswer,
    MxRecord,
    NoData,
    NoSuchName,
    TxtAnswer,
    combine,
)

DEFAULT_TTL = 300
MAX_ALIASES = 16

Records = dict[str, dict[str, Any]]


class Zone:
    """All the DNS there is. `records` may be changed at any time."""

    def __init__(self, records: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.records: Records = {name.lower(): dict(types) for name, types in (records or {}).items()}

    def add(self, name: str, **types: Any) -> None:
        """Give a name records: `add("mx.test", A=["192.0.2.1"], TTL=5)`."""
        self.records.setdefault(name.lower(), {}).update(types)

    def fail(self, name: str, how: str = "SERVFAIL") -> None:
        """Make every question about a name fail from now on."""
        self.records.setdefault(name.lower(), {})["FAIL"] = how

    def fail_kind(self, name: str, kind: str) -> None:
        """Make questions for one type of record of a name fail from now on."""
        self.records.setdefault(name.lower(), {})["FAIL_KIND"] = kind

    def heal(self, name: str) -> None:
        """Undo `fail`."""
        self.records.get(name.lower(), {}).pop("FAIL", None)

    def failure(self, name: str, kind: str = "") -> str:
        """Return how questions about a name fail; "" when they do not."""
        types = self.records.get(name, {})
        return "SERVFAIL" if kind and types.get("FAIL_KIND") == kind else str(types.get("FAIL", ""))

    def exists(self, name: str) -> bool:
        """Whether the name, or one below it, has records (RFC 8020)."""
        return self._key(name) in self.records or any(known.endswith("." + name) for known in self.records)

    def own(self, name: str, kind: str) -> list[Any]:
        """Return the records of exactly this name and type."""
        return list(self.records.get(self._key(name), {}).get(kind, ()))

    def _key(self, name: str) -> str:
        """Return the name whose records are those of a name."""
        wild = f"*.{name.partition('.')[2]}"
        return wild if wild in self.records and name not in self.records else name

    def alias(self, name: str) -> str:
        """Return the target of a CNAME, or ""."""
        return str(self.records.get(name, {}).get("CNAME", "")).lower()

    def ttl(self, name: str) -> int:
        """Return the lifetime of the records of a name, in seconds."""
        return int(self.records.get(name, {}).get("TTL", DEFAULT_TTL))


class ZoneResolver:
    """The Resolver over a zone, without network, cache or delay. `asked` holds the queries, with their names and types.

    `suffix` is the search list: a name without a dot is completed with it when the caller allows that.
    """

    def __init__(self, zone: Zone, suffix: str = "") -> None:
        self.zone = zone
        self._suffix = suffix
        self.asked: list[tuple[str, str]] = []

    async def mx(self, name: str) -> MxAnswer:
        """Return the MX records of a domain."""
        answer = self.find(name, "MX")
        if not isinstance(answer, Found):
            return answer
        records = sorted(MxRecord(preference, host.lower()) for preference, host in answer.records if "\\" not in host)
        return Found(tuple(records), answer.ttl, answer.name)

    async def addresses(self, name: str, *, ipv6: bool = True, search: bool = False) -> AddressAnswer:
        """Return the addresses of a host."""
        if search and self._suffix and "." not in name:
            name = f"{name}.{self._suffix}"
        if not ipv6:
            return self.find(name, "A")
        return combine(self.find(name, "AAAA"), self.find(name, "A"))

    async def txt(self, name: str) -> TxtAnswer:
        """Return the texts of the TXT records of a name."""
        return self.find(name, "TXT")

    def find(self, name: str, kind: str) -> Answer[Any]:
        """Return the records of a name and type as the zone file has them, at the end of its CNAMEs."""
        name = name.lower().removesuffix(".")
        self.asked.append((name, kind))
        ttl = self.zone.ttl(name)
        for _ in range(MAX_ALIASES):
            ttl = min(ttl, self.zone.ttl(name))
            if self.zone.failure(name, kind):
                return LookupFailed(self.zone.failure(name, kind))
            if not self.zone.exists(name):
                return NoSuchName(ttl)
            if not self.zone.alias(name):
                records = self.zone.own(name, kind)
                return Found(tuple(records), ttl, name) if records else NoData(ttl)
            name = self.zone.alias(name)
        return LookupFailed("too many CNAMEs")
