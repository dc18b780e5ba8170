"""Made-up zones, signed in several ways, each with one fault: wrong times, keys, signatures, proofs and delegations."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import dns.dnssec
import dns.name
import dns.rdata
import dns.rdataset
import dns.rdatatype
import dns.zone

from harness.zone_tree import (
    Tamper,
    TreeKey,
    TreeZone,
    ZoneTree,
    forged,
    other_digest,
    removed,
    tree_key,
    unknown_digest,
    unsigned,
    without,
    without_signatures,
)

Question = tuple[str, str]


@dataclass(frozen=True)
class SignatureForm:
    """A way to sign a zone."""

    algorithm: str = "ECDSAP256SHA256"
    nsec3: bool = False
    opt_out: bool = False


FORMS = {
    "p256": SignatureForm(),
    "ed25519": SignatureForm("ED25519"),
    "rsa256": SignatureForm("RSASHA256"),
    "rsa512": SignatureForm("RSASHA512"),
    "nsec3": SignatureForm(nsec3=True),
    "optout": SignatureForm(nsec3=True, opt_out=True),
}
#: The questions to each zone, by the name below its origin: what is there, what is not, wildcards and aliases.
QUESTIONS: tuple[Question, ...] = (
    ("", "MX"),
    ("mx", "A"),
    ("mx", "AAAA"),
    ("_25._tcp.mx", "TLSA"),
    ("_tcp.mx", "TLSA"),
    ("none", "A"),
    ("a.wild", "A"),
    ("a.wild", "TLSA"),
    ("alias", "A"),
)
_DAY = 86400
_DIGEST = "ab" * 32


class MadeUpZone:
    """One zone with the usual names, while its fault is made."""

    def __init__(self, tree: ZoneTree, zone: TreeZone) -> None:
        self.tree = tree
        self.zone = zone
        #: Questions besides the usual ones.
        self.questions: list[Question] = []
        for name, rdtype, text in (
            ("", "MX", f"10 {self.name('mx')}."),
            ("mx", "A", "192.0.2.1"),
            ("_25._tcp.mx", "TLSA", f"3 1 1 {_DIGEST}"),
            ("*.wild", "A", "192.0.2.2"),
            ("alias", "CNAME", f"{self.name('mx')}."),
        ):
            zone.add(self.name(name), rdtype, text)

    def name(self, below: str) -> str:
        """Return the whole name of one below the origin; "" is the origin."""
        return f"{below}.{self.zone.origin}" if below else self.zone.origin

    @property
    def key(self) -> TreeKey:
        """The key of the zone."""
        assert self.zone.key is not None
        return self.zone.key

    @property
    def denial(self) -> str:
        """The type of the records that prove what does not exist."""
        return "NSEC3" if self.zone.nsec3 else "NSEC"

    def spoil(self, tamper: Tamper) -> None:
        """Have the zone changed after it is signed."""
        self.zone.tampering.append(tamper)

    def change(self, rdtype: str, below: str = "", **changes: Any) -> None:
        """Change the fields of the signature of records."""

        def tamper(zone: dns.zone.Zone) -> None:
            name, covers = dns.name.from_text(self.name(below)), dns.rdatatype.from_text(rdtype)
            rrsigs = zone.find_rdataset(name, "RRSIG", covers)
            changed = [rrsig.replace(**changes) for rrsig in rrsigs]
            zone.replace_rdataset(name, dns.rdataset.from_rdata_list(rrsigs.ttl, changed))

        self.spoil(tamper)

    def key_flags(self, flags: int, *, ds: bool = True) -> None:
        """Give the key other flags, with which it signs the zone; with `ds` the parent knows of them."""
        key = self.key
        self.zone.key = TreeKey(key.private, key.record.replace(flags=flags))
        if ds:
            record = dns.dnssec.make_ds(dns.name.from_text(self.zone.origin), self.zone.key.record, "SHA256")
            self.zone.digests = [str(record)]

    def ask(self, name: str, rdtype: str = "A") -> None:
        """Ask one more question, about a whole name."""
        self.questions.append((name, rdtype))


Fault = Callable[[MadeUpZone], object]


def _each(zone: dns.zone.Zone, rdtype: str, change: Callable[[Any], dns.rdata.Rdata]) -> None:
    """Change all records of a type, and leave their signatures."""
    for name, node in list(zone.nodes.items()):
        for rdataset in list(node.rdatasets):
            if rdataset.rdtype == dns.rdatatype.from_text(rdtype):
                changed = [change(rdata) for rdata in rdataset]
                zone.replace_rdataset(name, dns.rdataset.from_rdata_list(rdataset.ttl, changed))


def _digest(made: MadeUpZone, **changes: Any) -> None:
    """Change the fields of the DS record."""
    texts = dict(zip(("tag", "algorithm", "kind", "digest"), made.zone.digests[0].split(), strict=True)) | changes
    made.zone.digests = [" ".join(map(str, texts.values()))]


def _other_kind(kind: str) -> Fault:
    def make(made: MadeUpZone) -> None:
        record = dns.dnssec.make_ds(dns.name.from_text(made.zone.origin), made.key.record, kind)
        made.zone.digests = [str(record)]

    return make


def _flipped(made: MadeUpZone) -> None:
    def flip(zone: dns.zone.Zone) -> None:
        name = dns.name.from_text(made.name("mx"))
        rrsigs = zone.find_rdataset(name, "RRSIG", "A")
        changed = [rrsig.replace(signature=bytes([rrsig.signature[0] ^ 1]) + rrsig.signature[1:]) for rrsig in rrsigs]
        zone.replace_rdataset(name, dns.rdataset.from_rdata_list(rrsigs.ttl, changed))

    made.spoil(flip)


def _second_signature(made: MadeUpZone) -> None:
    """A wrong signature beside the right one."""

    def tamper(zone: dns.zone.Zone) -> None:
        rrsigs = zone.find_rdataset(dns.name.from_text(made.name("mx")), "RRSIG", "A")
        rrsigs.add(rrsigs[0].replace(signature=bytes(len(rrsigs[0].signature)), original_ttl=1), rrsigs.ttl)

    made.spoil(tamper)


def _signed_by_another(made: MadeUpZone) -> None:
    """Records signed by a key that the zone does not have."""
    other = tree_key()
    begin, end = made.zone.period

    def tamper(zone: dns.zone.Zone) -> None:
        name = dns.name.from_text(made.name("mx"))
        signature = dns.dnssec.sign(
            (name, zone.find_rdataset(name, "A")), other.private, zone.origin, other.record, begin, end
        )
        zone.replace_rdataset(name, dns.rdataset.from_rdata(60, signature))

    made.spoil(tamper)


def _other_next(made: MadeUpZone) -> None:
    """Proofs that end at another name."""

    def change(rdata: Any) -> dns.rdata.Rdata:
        return rdata.replace(next=bytes(20) if made.zone.nsec3 else zone_name)

    zone_name = dns.name.from_text(made.zone.origin)
    made.spoil(lambda zone: _each(zone, made.denial, change))


def _other_types(made: MadeUpZone) -> None:
    """Proofs with the types of other names."""
    made.spoil(lambda zone: _each(zone, made.denial, lambda rdata: rdata.replace(windows=((0, b"\x40"),))))


def _sub(*, signed: bool, known: bool = True, spoilt: bool = False) -> Fault:
    """Return the delegation of a zone below; the zone knows its keys or not, and its signatures are right or not."""

    def make(made: MadeUpZone) -> None:
        below = made.tree.zone(made.name("sub"), signed=signed)
        below.add(f"mx.{below.origin}", "A", "192.0.2.3")
        if not known:
            below.digests = []
        if spoilt:
            below.tampering.append(without_signatures)
        for name in (f"mx.{below.origin}", f"none.{below.origin}"):
            made.ask(name)

    return make


def _unproven_sub(made: MadeUpZone) -> None:
    """A zone below that is not signed, without the proof of that."""
    _sub(signed=False)(made)
    made.spoil(without(made.denial))


def _unsigned_ds(made: MadeUpZone) -> None:
    _sub(signed=True)(made)
    made.spoil(unsigned(made.name("sub"), "DS"))


def _alias_to(target: str) -> Fault:
    def make(made: MadeUpZone) -> None:
        made.zone.add(made.name("out"), "CNAME", f"{target}.")
        made.ask(made.name("out"))

    return make


def _chain(made: MadeUpZone) -> None:
    """Aliases one after the other, one of which is not signed."""
    for number in range(4):
        made.zone.add(made.name(f"c{number}"), "CNAME", f"{made.name(f'c{number + 1}')}.")
    made.zone.add(made.name("c4"), "A", "192.0.2.4")
    made.spoil(unsigned(made.name("c2"), "CNAME"))
    for number in range(5):
        made.ask(made.name(f"c{number}"))


def _dname(made: MadeUpZone) -> None:
    made.zone.add(made.name("tree"), "DNAME", f"{made.zone.origin}.")
    made.ask(made.name("mx.tree"))
    made.ask(made.name("none.tree"))


def _unsigned_dname(made: MadeUpZone) -> None:
    _dname(made)
    made.spoil(unsigned(made.name("tree"), "DNAME"))


def _period(begin: int, end: int) -> Fault:
    def make(made: MadeUpZone) -> None:
        made.zone.validity = (begin, end)

    return make


def _set_digests(of: Callable[[str], str], *, beside: bool = False) -> Fault:
    def make(made: MadeUpZone) -> None:
        made.zone.digests = [*(made.zone.digests if beside else ()), of(made.zone.origin)]

    return make


def _no_digests(made: MadeUpZone) -> None:
    made.zone.digests = []


def _more_keys(made: MadeUpZone) -> None:
    """One more key, of an algorithm that no validator knows."""

    def tamper(zone: dns.zone.Zone) -> None:
        keys = zone.find_rdataset(zone.origin, "DNSKEY")
        keys.add(keys[0].replace(algorithm=200), keys.ttl)

    made.spoil(tamper)


FAULTS: dict[str, Fault] = {
    "good": lambda _: None,
    "expired": _period(-20 * _DAY, -10 * _DAY),
    "early": _period(10 * _DAY, 20 * _DAY),
    "backwards": _period(10 * _DAY, -10 * _DAY),
    "other-ds": _set_digests(other_digest),
    "two-ds": _set_digests(other_digest, beside=True),
    "unknown-ds": _set_digests(unknown_digest),
    "unknown-ds-beside": _set_digests(unknown_digest, beside=True),
    "no-ds": _no_digests,
    "ds-sha384": _other_kind("SHA384"),
    "ds-kind": lambda made: _digest(made, kind=200),
    "ds-tag": lambda made: _digest(made, tag=(int(made.zone.digests[0].split()[0]) + 1) % 65536),
    "ds-digest": lambda made: _digest(made, digest="00" * 32),
    "no-dnskey": lambda made: made.spoil(without("DNSKEY")),
    "unsigned-dnskey": lambda made: made.spoil(unsigned(made.zone.origin, "DNSKEY")),
    "more-dnskeys": _more_keys,
    "no-signatures": lambda made: made.spoil(without_signatures),
    "unsigned-a": lambda made: made.spoil(unsigned(made.name("mx"), "A")),
    "unsigned-tlsa": lambda made: made.spoil(unsigned(made.name("_25._tcp.mx"), "TLSA")),
    "unsigned-alias": lambda made: made.spoil(unsigned(made.name("alias"), "CNAME")),
    "forged-mx": lambda made: made.spoil(forged(made.zone.origin, "MX", "10 evil.test.")),
    "forged-a": lambda made: made.spoil(forged(made.name("mx"), "A", "192.0.2.9")),
    "forged-wildcard": lambda made: made.spoil(forged(made.name("*.wild"), "A", "192.0.2.9")),
    "removed-tlsa": lambda made: made.spoil(removed(made.name("_25._tcp.mx"), "TLSA")),
    "flipped": _flipped,
    "second-signature": _second_signature,
    "other-key": _signed_by_another,
    "signer": lambda made: made.change("A", "mx", signer=dns.name.from_text("test.")),
    "labels": lambda made: made.change("A", "mx", labels=2),
    "key-tag": lambda made: made.change("A", "mx", key_tag=1),
    "algorithm": lambda made: made.change("A", "mx", algorithm=200),
    "original-ttl": lambda made: made.change("A", "mx", original_ttl=1),
    "short-signature": lambda made: made.change("A", "mx", signature=b"\1\2\3"),
    "expiration": lambda made: made.change("A", "mx", expiration=2**31),
    "no-proofs": lambda made: made.spoil(without(made.denial)),
    "other-next": _other_next,
    "other-types": _other_types,
    "zone-key": lambda made: made.key_flags(256),
    "no-zone-key": lambda made: made.key_flags(1),
    "revoked": lambda made: made.key_flags(257 | 128),
    "unsigned-sub": _sub(signed=False),
    "signed-sub": _sub(signed=True),
    "island": _sub(signed=True, known=False),
    "spoilt-sub": _sub(signed=True, spoilt=True),
    "unproven-sub": _unproven_sub,
    "unsigned-ds": _unsigned_ds,
    "to-plain": _alias_to("mx.plain.test"),
    "to-good": _alias_to("mx.good-p256.test"),
    "to-bogus": _alias_to("mx.no-signatures-p256.test"),
    "to-nothing": _alias_to("none.good-nsec3.test"),
    "to-missing-zone": _alias_to("none.missing"),
    "chain": _chain,
    "dname": _dname,
    "unsigned-dname": _unsigned_dname,
}
# ldns-signzone signs the zones with NSEC3, from the key's usual file and with its own times.
_WITHOUT_NSEC3 = {"zone-key", "no-zone-key", "revoked", "backwards"}


@cache
def _shared_key(algorithm: str) -> TreeKey:
    return tree_key(algorithm)


def made_up_zones(server: str, forms: Iterable[str]) -> tuple[ZoneTree, list[Question]]:
    """Return a tree with a zone for each fault and form, and the questions about them.

    It is served at this address. All FORMS make more than 200 zones; `p256` and `nsec3` must be among them.
    """
    tree = ZoneTree(server)
    questions = list(_plain(tree))
    # Below a zone whose proofs opt out, a zone without DS may be there or not.
    opting_out = tree.zone("optout")
    opting_out.nsec3 = opting_out.opt_out = True
    for top in ("test", "optout"):
        faults = FAULTS if top == "test" else dict.fromkeys(("good", "no-ds", "other-ds", "to-plain"))
        for fault in faults:
            for form in forms:
                signed = FORMS[form]
                if signed.nsec3 and fault in _WITHOUT_NSEC3:
                    continue
                made = MadeUpZone(tree, _zone(tree, f"{fault}-{form}.{top}", signed))
                FAULTS[fault](made)
                questions += [(made.name(below), rdtype) for below, rdtype in QUESTIONS] + made.questions
    return tree, questions


def _zone(tree: ZoneTree, origin: str, form: SignatureForm) -> TreeZone:
    zone = tree.zone(origin)
    # Keys of RSA take long to make.
    zone.key = _shared_key(form.algorithm)
    zone.digests = [zone.key.digest(origin)]
    zone.nsec3, zone.opt_out = form.nsec3, form.opt_out
    return zone


def _plain(tree: ZoneTree) -> Iterator[Question]:
    """Make zones without signatures, and yield the questions about them and about the zones above."""
    for origin in ("plain.test", "plain.optout"):
        zone = tree.zone(origin, signed=False)
        zone.add(f"mx.{origin}", "A", "192.0.2.5")
        zone.add(f"in.{origin}", "CNAME", "mx.good-p256.test.")
        yield from ((f"{below}.{origin}", "A") for below in ("mx", "none", "in"))
    for name in ("", "test", "optout", "missing.test", "missing.optout", "missing"):
        yield from ((name, rdtype) for rdtype in ("MX", "A"))
