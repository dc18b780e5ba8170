"""The look-ups of records by which domains demand proof of their MX hosts."""

from twisted.internet.defer import Deferred

from harness.zone import Zone, ZoneResolver
from mta.blocking import result_of
from mta.dns.answers import Answer, Found, NoData
from mta.dns.dnssec.authenticity import Security, ValidatedAnswer
from mta.dns.message import RecordType
from mta.doctor.drivers.published import PublishedLookups
from mta.doctor.published_records import PublishedRecords
from mta.routing.demands.dane import Dane, TlsaState
from mta.sts.fetching import PolicyFetchError
from mta.sts.policy import StsMode, StsPolicy

POLICY = StsPolicy(StsMode.ENFORCE, ("mx1.a.test",), 86_400)
ZONE = {
    "a.test": {"MX": [[20, "mx2.a.test"], [10, "mx1.a.test"]]},
    "_mta-sts.a.test": {"TXT": ["v=STSv1; id=1;"]},
    "_smtp._tls.a.test": {"TXT": ["other", "v=TLSRPTv1; rua=mailto:r@a.test, https://a.test/r"]},
}


class Fetcher:
    async def fetch(self, domain: str, patience: float) -> StsPolicy:
        if domain == "a.test":
            return POLICY
        raise PolicyFetchError(f"mta-sts.{domain}: no answer within {patience:g} s")


class Unsigned:
    """Gives answers that no signature proves."""

    usable = True

    async def look_up(self, name: str, rdtype: RecordType) -> ValidatedAnswer:
        answer: Answer[str] = Found((), 60.0, name) if rdtype is RecordType.A else NoData(60.0)
        return ValidatedAnswer(answer, Security.INSECURE, "not signed")

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


def look_up(zone: Zone, *domains: str, dane: Dane | None = None) -> list[PublishedRecords]:
    lookups = PublishedLookups(ZoneResolver(zone), Fetcher(), dane, 25)
    return result_of(Deferred.fromCoroutine(lookups.of_domains(domains)))


def test_all_records_of_a_domain_are_found() -> None:
    (found,) = look_up(Zone(ZONE), "a.test")
    assert [host.name for host in found.hosts] == ["mx1.a.test", "mx2.a.test"]
    assert (found.policy, found.fault) == (POLICY, "")
    assert found.reports == ("mailto:r@a.test", "https://a.test/r")
    assert [host.tlsa for host in found.hosts] == [None, None]


def test_a_domain_without_records_has_itself_as_its_host() -> None:
    (found,) = look_up(Zone({"b.test": {"A": ["192.0.2.1"]}}), "b.test")
    assert [host.name for host in found.hosts] == ["b.test"]
    assert not found.announced


def test_the_reason_for_which_there_is_no_policy_is_kept() -> None:
    zone = Zone({"_mta-sts.b.test": {"TXT": ["v=STSv1; id=1"]}, "_mta-sts.c.test": {"TXT": ["v=STSv1; id="]}})
    zone.fail("_mta-sts.d.test")
    found = look_up(zone, "b.test", "c.test", "d.test", "a" * 250)
    assert [each.announced for each in found] == [True, True, True, False]
    assert found[0].fault == "mta-sts.b.test: no answer within 15 s"
    assert found[1].fault.startswith("_mta-sts.c.test: the record is malformed")
    assert found[2].fault == "looking up _mta-sts.d.test failed: SERVFAIL"


def test_the_tlsa_records_of_each_host_are_asked_for() -> None:
    (found,) = look_up(Zone(ZONE), "a.test", dane=Dane(Unsigned()))
    assert [host.tlsa and host.tlsa.state for host in found.hosts] == [TlsaState.INSECURE] * 2
