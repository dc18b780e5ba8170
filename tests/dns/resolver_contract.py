"""What every Resolver does, whoever answers. Subclasses give `make_resolver`."""

from typing import Any

from harness.zone import Zone
from mta.dns.answers import Found, LookupFailed, MxRecord, NoData, NoSuchName, Resolver

RECORDS: dict[str, dict[str, Any]] = {
    "example.test": {"MX": [[20, "backup.example.test"], [10, "MX.example.test"]], "TTL": 120},
    "mx.example.test": {"A": ["192.0.2.1", "192.0.2.2"], "AAAA": ["2001:db8::1"]},
    "v4.example.test": {"A": ["192.0.2.3"]},
    "v6.example.test": {"AAAA": ["2001:db8::3"]},
    "_mta-sts.example.test": {"TXT": ["v=STSv1; id=1;", "another text"]},
    "null.test": {"MX": [[0, ""]]},
    "odd.test": {"MX": [[0, "\\255.test"]]},
    "halfodd.test": {"MX": [[0, "\\255.test"], [10, "backup.example.test"]]},
    "alias.test": {"CNAME": "further.test"},
    "further.test": {"CNAME": "mx.example.test"},
    "nowhere.test": {"CNAME": "missing.test"},
    "circle.test": {"CNAME": "circus.test"},
    "circus.test": {"CNAME": "circle.test"},
    "broken.test": {"FAIL": "SERVFAIL"},
    "refused.test": {"FAIL": "REFUSED"},
}


class ResolverContract:
    """Mixed into a trial TestCase."""

    def make_resolver(self, zone: Zone) -> Resolver:
        raise NotImplementedError

    def setUp(self) -> None:
        self.zone = Zone(RECORDS)
        self.resolver = self.make_resolver(self.zone)

    async def test_mx_records_come_in_order_of_preference_and_in_lower_case(self) -> None:
        answer = await self.resolver.mx("Example.TEST")
        assert isinstance(answer, Found)
        assert answer.records == (MxRecord(10, "mx.example.test"), MxRecord(20, "backup.example.test"))
        assert answer.name == "example.test"
        assert 0 < answer.ttl <= 120

    async def test_txt_records_are_texts(self) -> None:
        answer = await self.resolver.txt("_mta-sts.Example.test")
        assert isinstance(answer, Found)
        assert set(answer.records) == {"v=STSv1; id=1;", "another text"}
        assert isinstance(await self.resolver.txt("example.test"), NoData)
        assert isinstance(await self.resolver.txt("_mta-sts.missing.test"), NoSuchName)

    async def test_a_null_mx_is_the_empty_host(self) -> None:
        answer = await self.resolver.mx("null.test")
        assert isinstance(answer, Found)
        assert answer.records == (MxRecord(0, ""),)

    async def test_an_mx_that_no_host_can_be_called_is_left_out(self) -> None:
        for name, left in (("odd.test", ()), ("halfodd.test", (MxRecord(10, "backup.example.test"),))):
            answer = await self.resolver.mx(name)
            assert isinstance(answer, Found)
            assert answer.records == left

    async def test_a_host_has_the_addresses_of_both_families(self) -> None:
        answer = await self.resolver.addresses("mx.example.test")
        assert isinstance(answer, Found)
        assert set(answer.records) == {"192.0.2.1", "192.0.2.2", "2001:db8::1"}

    async def test_without_ipv6_only_ipv4_is_given(self) -> None:
        answer = await self.resolver.addresses("mx.example.test", ipv6=False)
        assert isinstance(answer, Found)
        assert set(answer.records) == {"192.0.2.1", "192.0.2.2"}
        assert isinstance(await self.resolver.addresses("v6.example.test", ipv6=False), NoData)

    async def test_one_family_is_enough(self) -> None:
        for name, address in (("v4.example.test", "192.0.2.3"), ("v6.example.test", "2001:db8::3")):
            answer = await self.resolver.addresses(name)
            assert isinstance(answer, Found)
            assert answer.records == (address,)

    async def test_a_name_that_does_not_exist_differs_from_one_without_such_records(self) -> None:
        assert isinstance(await self.resolver.mx("missing.test"), NoSuchName)
        assert isinstance(await self.resolver.addresses("missing.test"), NoSuchName)
        assert isinstance(await self.resolver.mx("mx.example.test"), NoData)
        assert isinstance(await self.resolver.addresses("example.test"), NoData)
        assert isinstance(await self.resolver.mx("test"), NoData)

    async def test_cnames_are_followed_and_the_last_name_is_returned(self) -> None:
        answer = await self.resolver.addresses("alias.test")
        assert isinstance(answer, Found)
        assert answer.name == "mx.example.test"
        assert "192.0.2.1" in answer.records

    async def test_a_cname_to_nothing_is_no_such_name(self) -> None:
        assert isinstance(await self.resolver.addresses("nowhere.test"), NoSuchName)

    async def test_cnames_in_a_circle_fail(self) -> None:
        assert isinstance(await self.resolver.addresses("circle.test"), LookupFailed)
        assert isinstance(await self.resolver.mx("circle.test"), LookupFailed)

    async def test_a_server_in_trouble_is_a_failure_that_says_so(self) -> None:
        for name, word in (("broken.test", "SERVFAIL"), ("refused.test", "REFUSED")):
            answer = await self.resolver.mx(name)
            assert isinstance(answer, LookupFailed)
            assert word in answer.reason

    async def test_a_final_dot_changes_nothing(self) -> None:
        assert isinstance(await self.resolver.mx("example.test."), Found)
        assert isinstance(await self.resolver.addresses("mx.example.test."), Found)
