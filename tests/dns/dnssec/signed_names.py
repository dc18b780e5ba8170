"""The names of the contract in zones of their own: secure.test and bogus.test signed, plain.test not."""

from typing import Any

from harness.zone_tree import ZoneTree, other_digest
from tests.dns.dnssec.authenticity_contract import RECORDS


def signed_names(server: str) -> ZoneTree:
    """Return the tree of zones, to be served at an address."""
    tree = ZoneTree(server)
    for origin in ("secure.test", "bogus.test", "plain.test"):
        tree.zone(origin, signed=origin != "plain.test").ttl = 120
    tree.zone("bogus.test").digests = [other_digest("bogus.test")]
    for name, types in RECORDS.items():
        for rdtype, records in types.items():
            if rdtype != "TTL":
                tree.add(name, rdtype, *_texts(rdtype, records))
    return tree


def _texts(rdtype: str, records: Any) -> list[str]:
    if rdtype == "MX":
        return [f"{preference} {host}." for preference, host in records]
    return [f"{records}."] if rdtype == "CNAME" else records
