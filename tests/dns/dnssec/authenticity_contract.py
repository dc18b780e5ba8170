"""What every Authenticity does, whatever proves its answers. Subclasses give `make_authenticity`."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from mta.dns.answers import Found, LookupFailed, MxRecord, NoData, NoSuchName, TlsaRecord
from mta.dns.dnssec.authenticity import Authenticity, Security, ValidatedAnswer
from mta.dns.message import RecordType

DIGEST = bytes(range(32))
#: The zones: those below secure.test and bogus.test are signed, the latter wrongly; the others are not.
RECORDS: dict[str, dict[str, Any]] = {
    "secure.test": {"MX": [[10, "mx.secure.test"]], "TTL": 120},
    "mx.secure.test": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
    "_25._tcp.mx.secure.test": {"TLSA": [f"3 1 1 {DIGEST.hex()}"]},
    "alias.secure.test": {"CNAME": "mx.secure.test"},
    "out.secure.test": {"CNAME": "mx.plain.test"},
    "circle.secure.test": {"CNAME": "circus.secure.test"},
    "circus.secure.test": {"CNAME": "circle.secure.test"},
    "plain.test": {"MX": [[10, "mx.plain.test"]]},
    "mx.plain.test": {"A": ["192.0.2.2"]},
    "in.plain.test": {"CNAME": "mx.secure.test"},
    "bogus.test": {"MX": [[10, "mx.bogus.test"]]},
    "mx.bogus.test": {"A": ["192.0.2.3"]},
}


class AuthenticityContract:
    """Mixed into a trial TestCase."""

    #: Whether answers can be secure at all.
    validates = True
    #: Returns how many questions the server has been asked.
    asked: Callable[[], int]

    def make_authenticity(self) -> Authenticity:
        """Return one that looks names up in RECORDS."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.authenticity = self.make_authenticity()
        self.authenticity.start()
        self.secure = Security.SECURE if self.validates else Security.INSECURE

    async def ask(self, name: str, rdtype: RecordType = RecordType.A) -> ValidatedAnswer:
        found = await self.authenticity.look_up(name, rdtype)
        assert (found.security is Security.SECURE) == (not found.reason)
        assert "\n" not in found.reason
        return found

    async def test_the_records_of_a_signed_zone_are_secure(self) -> None:
        for name, rdtype, record in (
            ("secure.test", RecordType.MX, MxRecord(10, "mx.secure.test")),
            ("MX.secure.test.", RecordType.A, "192.0.2.1"),
            ("mx.secure.test", RecordType.AAAA, "2001:db8::1"),
            ("_25._tcp.mx.secure.test", RecordType.TLSA, TlsaRecord(3, 1, 1, DIGEST)),
        ):
            found = await self.ask(name, rdtype)
            assert found.security is self.secure
            assert isinstance(found.answer, Found)
            assert found.answer.records == (record,)
            assert found.answer.name == name.lower().rstrip(".")
            assert 0 < found.answer.ttl <= 300
        assert self.authenticity.usable is self.validates

    async def test_that_there_are_no_records_is_secure_too(self) -> None:
        found = await self.ask("mx.secure.test", RecordType.TLSA)
        assert (type(found.answer), found.security) == (NoData, self.secure)
        found = await self.ask("_25._tcp.missing.secure.test", RecordType.TLSA)
        assert (type(found.answer), found.security) == (NoSuchName, self.secure)

    async def test_the_records_of_a_zone_that_is_not_signed_are_insecure(self) -> None:
        found = await self.ask("plain.test", RecordType.MX)
        assert found.security is Security.INSECURE
        assert isinstance(found.answer, Found)
        assert found.answer.records == (MxRecord(10, "mx.plain.test"),)
        found = await self.ask("missing.plain.test")
        assert (type(found.answer), found.security) == (NoSuchName, Security.INSECURE)

    async def test_a_zone_with_wrong_signatures_is_bogus_and_its_records_are_not_given(self) -> None:
        for name, rdtype in (("mx.bogus.test", RecordType.A), ("bogus.test", RecordType.MX)):
            found = await self.ask(name, rdtype)
            assert found.security is (Security.BOGUS if self.validates else Security.INSECURE)
            assert isinstance(found.answer, LookupFailed)
            assert found.answer.ttl <= 60

    async def test_a_chain_of_cnames_is_as_secure_as_its_worst_part(self) -> None:
        for name, security, target in (
            ("alias.secure.test", self.secure, "mx.secure.test"),
            ("out.secure.test", Security.INSECURE, "mx.plain.test"),
            ("in.plain.test", Security.INSECURE, "mx.secure.test"),
        ):
            found = await self.ask(name)
            assert found.security is security, (name, found)
            assert isinstance(found.answer, Found)
            assert found.answer.name == target

    async def test_a_cname_is_as_secure_as_its_own_zone(self) -> None:
        for name, security, target in (
            ("out.secure.test", self.secure, "mx.plain.test"),
            ("in.plain.test", Security.INSECURE, "mx.secure.test"),
        ):
            found = await self.ask(name, RecordType.CNAME)
            assert found.security is security, (name, found)
            assert isinstance(found.answer, Found)
            assert (found.answer.records, found.answer.name) == ((target,), name)

    async def test_a_circle_of_cnames_is_a_failed_look_up(self) -> None:
        found = await self.ask("circle.secure.test")
        assert isinstance(found.answer, LookupFailed)
        assert found.security is not Security.SECURE

    async def test_an_impossible_name_does_not_exist(self) -> None:
        for name in ("a..test", "x" * 64 + ".test", ".".join(["x" * 60] * 5), "\udcff.test"):
            found = await self.ask(name)
            assert (type(found.answer), found.security) == (NoSuchName, Security.INSECURE)

    async def test_an_answer_is_asked_for_once(self) -> None:
        both = [Deferred.fromCoroutine(self.ask(name, RecordType.MX)) for name in ("secure.test", "SECURE.test.")]
        first, second = await gatherResults(both)
        assert isinstance(first.answer, Found)
        assert first.answer.records == second.answer.records
        before = self.asked()
        again = await self.ask("secure.test", RecordType.MX)
        assert again.security is self.secure
        assert again.answer.ttl <= first.answer.ttl
        assert self.asked() == before
