"""DNS zones below a root of their own, signed with DNSSEC, and ways to spoil them after they are signed.

    tree = ZoneTree(address)
    tree.zone("good.example").add("good.example", "MX", "10 mx.good.example.")
    tree.zone("plain.example", signed=False)
    tree.write(folder)

Zones between the root and a domain are made as needed. `harness.zone_servers` serves the files.
"""

import base64
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.dnssec
import dns.name
import dns.rdata
import dns.rdataset
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from dns.rdtypes.ANY.DNSKEY import DNSKEY

from harness.processes import find_program

#: Changes a zone after it was signed, so that signatures and records disagree.
Tamper = Callable[[dns.zone.Zone], None]
_PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

_DAY = 86400
_KEY_SIGNING = 257
_DIGEST = "SHA256"


def _ecdsa() -> _PrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _ed25519() -> _PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def _rsa() -> _PrivateKey:
    return rsa.generate_private_key(65537, 2048)


#: Algorithms by the names of RFC 8624, with the way to make a key.
ALGORITHMS: dict[str, Callable[[], _PrivateKey]] = {
    "ECDSAP256SHA256": _ecdsa,
    "ED25519": _ed25519,
    "RSASHA256": _rsa,
    "RSASHA512": _rsa,
}


@dataclass(frozen=True)
class TreeKey:
    """The one key of a zone, which signs all of it."""

    private: _PrivateKey
    record: DNSKEY

    def digest(self, origin: str) -> str:
        """Return the DS record that the parent zone has of the key."""
        return str(dns.dnssec.make_ds(_name(origin), self.record, _DIGEST))


def tree_key(algorithm: str = "ECDSAP256SHA256") -> TreeKey:
    """Make a key."""
    private = ALGORITHMS[algorithm]()
    return TreeKey(private, dns.dnssec.make_dnskey(private.public_key(), algorithm, _KEY_SIGNING))


class TreeZone:
    """One zone: its records as text, and how it is signed. All of it may change between two calls of `made`."""

    def __init__(self, origin: str, key: TreeKey | None, server: str) -> None:
        """Prepare; without a key the zone is not signed. `server` is the address of its name server."""
        self.origin = origin
        self.key = key
        self.server = server
        #: The DS records in the parent zone; nobody validates the zone without.
        self.digests = [key.digest(origin)] if key else []
        #: Seconds from now at which signatures begin and end to hold. Validators allow clocks that are off by a day.
        self.validity = (-_DAY, _DAY)
        #: NSEC3 in place of NSEC, as ldns-signzone makes it; with `opt_out`, delegations without DS are not covered.
        self.nsec3 = self.opt_out = False
        self.tampering: list[Tamper] = []
        self.ttl = 60
        self._records: dict[tuple[str, str], list[str]] = {}
        self._serial = 1

    def set(self, name: str, rdtype: str, *texts: str) -> None:
        """Give a name these records of a type, in place of those that it has; names in the text end with a dot."""
        self._records[name, rdtype] = list(texts)

    def add(self, name: str, rdtype: str, *texts: str) -> None:
        """Give a name further records."""
        self._records.setdefault((name, rdtype), []).extend(texts)

    def remove(self, name: str, rdtype: str) -> None:
        """Remove the records of a name and type."""
        del self._records[name, rdtype]

    def made(self, delegations: "list[TreeZone]", folder: Path) -> str:
        """Return the text of the zone, signed and tampered with, with the next serial number."""
        self._serial += 1
        text = self._text(delegations)
        if self.key is not None and self.nsec3:
            text = _signed_by_ldns(self, self.key, text, folder)
        zone = dns.zone.from_text(text, _name(self.origin), relativize=False, zone_factory=dns.zone.Zone)
        if self.key is not None and not self.nsec3:
            begin, end = self.period
            keys: list[Any] = [(self.key.private, self.key.record)]
            dns.dnssec.sign_zone(zone, keys=keys, inception=begin, expiration=end)
        for tamper in self.tampering:
            tamper(zone)
        return zone.to_text(relativize=False)

    @property
    def period(self) -> tuple[int, int]:
        """The times at which signatures begin and end to hold, in seconds since 1970."""
        now = int(time.time())
        return now + self.validity[0], now + self.validity[1]

    def _text(self, delegations: "list[TreeZone]") -> str:
        origin, server = _dotted(self.origin), _dotted(f"ns.{self.origin}")
        lines = [
            f"$TTL {self.ttl}",
            f"{origin} SOA {server} {_dotted(f'admin.{self.origin}')} {self._serial} 3600 600 86400 {self.ttl}",
            f"{origin} NS {server}",
            f"{server} A {self.server}",
        ]
        for child in delegations:
            lines += [f"{_dotted(child.origin)} NS ns.{_dotted(child.origin)}"]
            lines += [f"ns.{_dotted(child.origin)} A {child.server}"]
            lines += [f"{_dotted(child.origin)} DS {digest}" for digest in child.digests]
        for (name, rdtype), texts in self._records.items():
            lines += [f"{_dotted(name)} {rdtype} {text}" for text in texts]
        return "\n".join(lines) + "\n"


class ZoneTree:
    """The root and the zones below it, all served at one address."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.zones: dict[str, TreeZone] = {}
        self.zone("")

    def zone(self, origin: str, *, signed: bool = True, algorithm: str = "ECDSAP256SHA256") -> TreeZone:
        """Return the zone of a name, "" for the root; a new one and its parents are made if there is none."""
        if origin not in self.zones:
            if origin:
                self.zone(origin.partition(".")[2])
            self.zones[origin] = TreeZone(origin, tree_key(algorithm) if signed else None, self._server)
        return self.zones[origin]

    def of(self, name: str) -> TreeZone:
        """Return the zone that has a name."""
        while name not in self.zones:
            name = name.partition(".")[2]
        return self.zones[name]

    def set(self, name: str, rdtype: str, *texts: str) -> None:
        """Give a name these records in its zone, in place of those of the same type."""
        self.of(name).set(name, rdtype, *texts)

    def add(self, name: str, rdtype: str, *texts: str) -> None:
        """Give a name further records in its zone."""
        self.of(name).add(name, rdtype, *texts)

    def remove(self, name: str, rdtype: str) -> None:
        """Remove the records of a name and type."""
        self.of(name).remove(name, rdtype)

    @property
    def anchor(self) -> str:
        """The text of a trust anchor file: the key of the root."""
        key = self.zones[""].key
        assert key is not None
        return f". 3600 IN DNSKEY {key.record}\n"

    @property
    def hints(self) -> str:
        """The text of a file of root hints."""
        return f". 3600 NS ns.\nns. 3600 A {self._server}\n"

    def write(self, folder: Path) -> None:
        """Write a file for each zone, with the name of `file_name`."""
        for origin, zone in self.zones.items():
            children = [each for name, each in self.zones.items() if name and name.partition(".")[2] == origin]
            path = folder / file_name(origin)
            new = path.with_suffix(".new")
            new.write_text(zone.made(children, folder))
            new.replace(path)


def file_name(origin: str) -> str:
    """Return the name of the file of a zone."""
    return f"{origin or 'root'}.zone"


def forged(name: str, rdtype: str, *texts: str) -> Tamper:
    """Return a change of the records of a name and type, which leaves the signature of the right ones."""

    def tamper(zone: dns.zone.Zone) -> None:
        before = zone.find_rdataset(_name(name), rdtype)
        zone.replace_rdataset(_name(name), dns.rdataset.from_text_list("IN", rdtype, before.ttl, texts))

    return tamper


def unsigned(name: str, rdtype: str) -> Tamper:
    """Return the removal of the signatures of the records of a name and type."""

    def tamper(zone: dns.zone.Zone) -> None:
        zone.delete_rdataset(_name(name), "RRSIG", rdtype)

    return tamper


def removed(name: str, rdtype: str) -> Tamper:
    """Return the removal of records whose existence the NSEC records still prove."""

    def tamper(zone: dns.zone.Zone) -> None:
        zone.delete_rdataset(_name(name), rdtype)
        zone.delete_rdataset(_name(name), "RRSIG", rdtype)

    return tamper


def without(*rdtypes: str) -> Tamper:
    """Return the removal of all records of these types, with their signatures, from a zone.

    Without NSEC, or without NSEC3, nothing proves that a name or its records do not exist.
    """

    def tamper(zone: dns.zone.Zone) -> None:
        for name in list(zone.nodes):
            for rdtype in rdtypes:
                zone.delete_rdataset(name, rdtype)
                zone.delete_rdataset(name, "RRSIG", rdtype)

    return tamper


def without_signatures(zone: dns.zone.Zone) -> None:
    """Remove all signatures from a zone."""
    for node in zone.nodes.values():
        node.rdatasets = [rdataset for rdataset in node.rdatasets if rdataset.rdtype != dns.rdatatype.RRSIG]


def other_digest(origin: str) -> str:
    """Return a DS record of a key that the zone does not have."""
    return tree_key().digest(origin)


def unknown_digest(origin: str) -> str:
    """Return a DS record with an algorithm that no validator knows, so that the zone counts as not signed."""
    tag, _algorithm, kind, digest = tree_key().digest(origin).split()
    return f"{tag} 200 {kind} {digest}"


def _signed_by_ldns(zone: TreeZone, key: TreeKey, text: str, folder: Path) -> str:
    """Return a zone that ldns-signzone signed with NSEC3, which dnspython cannot."""
    program = find_program("ldns-signzone")
    if program is None:
        raise FileNotFoundError("ldns-signzone is missing: install ldnsutils")
    base = folder / (zone.origin or "root")
    files = {end: base.with_name(f"{base.name}.{end}") for end in ("plain", "signed", "key", "private")}
    files["plain"].write_text(text)
    files["key"].write_text(f"{_dotted(zone.origin)} 3600 IN DNSKEY {key.record}\n")
    files["private"].write_text(_private_key_file(key))
    begin, end = (time.strftime("%Y%m%d%H%M%S", time.gmtime(moment)) for moment in zone.period)
    command = [program, "-n", *(["-p"] if zone.opt_out else []), "-i", begin, "-e", end, "-f", str(files["signed"])]
    done = subprocess.run([*command, str(files["plain"]), str(base)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ldns-signzone: {done.stderr}")
    return files["signed"].read_text()


def _private_key_file(key: TreeKey) -> str:
    """Return a private key in the format of BIND 9.

    Only elliptic curves are written, because no test needs NSEC3 and RSA at once.
    """
    assert isinstance(key.private, ec.EllipticCurvePrivateKey)
    number = key.private.private_numbers().private_value.to_bytes(32, "big")
    secret = base64.b64encode(number).decode()
    return f"Private-key-format: v1.2\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: {secret}\n"


def _name(text: str) -> dns.name.Name:
    return dns.name.from_text(_dotted(text))


def _dotted(name: str) -> str:
    return name.strip(".") + "."
