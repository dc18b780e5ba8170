"""The security of answers from made-up zones: libunbound and the AD bit judge as the unbound daemon does."""

import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SkipTest, TestCase

from harness import network_namespace, zone_servers
from harness.network_namespace import public_address, public_network
from harness.zone_servers import Nsd, Unbound
from mta.dns.answers import Found, NoData, NoSuchName
from mta.dns.client import DnsClient
from mta.dns.dnssec.ad_bit import AdBit
from mta.dns.dnssec.authenticity import Authenticity, Security, ValidatedAnswer
from mta.dns.dnssec.library import libunbound
from mta.dns.dnssec.trust_anchors import read_anchors
from mta.dns.dnssec.unbound import UnboundResolver
from mta.dns.message import RecordType
from tests.dns.dnssec.made_up_zones import FORMS, Question, made_up_zones
from tests.length import choose

NAME_SERVER, RESOLVER, OTHER_RESOLVER = (public_address(host) for host in (1, 2, 3))

#: Questions asked at the same time.
_AT_A_TIME = 20

#: The security of an answer, and whether it has records. A bogus one has none that count.
Verdict = tuple[str, str]


def daemon_verdict(question: Question) -> Verdict:
    """Return the verdict of the daemon: it shows bogus records only to those that do not want them checked."""
    reply = _reply(question, dns.flags.AD)
    if reply.rcode() == dns.rcode.SERVFAIL:
        unchecked = _reply(question, dns.flags.CD)
        return ("failed" if unchecked.rcode() == dns.rcode.SERVFAIL else "bogus"), ""
    rdtype = dns.rdatatype.from_text(question[1])
    if reply.rcode() == dns.rcode.NXDOMAIN:
        kind = "no such name"
    else:
        kind = "found" if any(rrset.rdtype == rdtype for rrset in reply.answer) else "no data"
    return ("secure" if reply.flags & dns.flags.AD else "insecure"), kind


def _reply(question: Question, flag: int) -> dns.message.Message:
    query = dns.message.make_query(*question, want_dnssec=True)
    query.flags |= flag
    return dns.query.udp_with_fallback(query, RESOLVER, timeout=60)[0]


def own_verdict(found: ValidatedAnswer) -> Verdict:
    """Return the verdict of the relay."""
    if found.security is Security.BOGUS:
        bogus = "validation failure" in found.reason or "signatures" in found.reason
        return ("bogus" if bogus else "failed"), ""
    kinds = {Found: "found", NoData: "no data", NoSuchName: "no such name"}
    return found.security.value, kinds.get(type(found.answer), "failed")


class TestVerdicts(TestCase):
    timeout = 600

    def setUp(self) -> None:
        from twisted.internet import reactor

        reason = zone_servers.why_not() or network_namespace.why_not()
        if reason:
            raise SkipTest(reason)
        library = libunbound()
        if library is None:
            raise SkipTest("libunbound is missing (Debian: libunbound8)")
        tree, self.questions = made_up_zones(NAME_SERVER, choose(("p256", "nsec3"), tuple(FORMS)))
        assert len(tree.zones) > choose(100, 200)
        stack = ExitStack()
        self.addCleanup(stack.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(public_network())
        stack.enter_context(Nsd(tree, folder / "nsd", NAME_SERVER))
        stack.enter_context(Unbound(tree, folder / "unbound", RESOLVER, caching=True))
        stack.enter_context(Unbound(tree, folder / "other", OTHER_RESOLVER, validating=False, caching=True))
        driver: Any = reactor
        self.ways: dict[str, Authenticity] = {
            "the AD bit": AdBit(DnsClient(driver, [(RESOLVER, 53)]), driver.seconds),
            "libunbound": UnboundResolver(driver, library, lambda: [(RESOLVER, 53)], read_anchors(tree.anchor)),
            "libunbound behind a resolver that does not validate": UnboundResolver(
                driver, library, lambda: [(OTHER_RESOLVER, 53)], read_anchors(tree.anchor)
            ),
        }
        for way in self.ways.values():
            self.addCleanup(way.stop)

    async def test_the_verdicts_of_libunbound_and_of_the_ad_bit_are_those_of_the_daemon(self) -> None:
        expected = {question: daemon_verdict(question) for question in self.questions}
        counts = Counter(security for security, _ in expected.values())
        # Each verdict must be there, or the zones prove little.
        assert min(counts[security] for security in ("secure", "insecure", "bogus")) > choose(50, 200), counts
        for name, way in self.ways.items():
            verdicts = await self._verdicts(way)
            assert {
                question: verdict for question, verdict in verdicts.items() if verdict != expected[question]
            } == {}, name

    async def _verdicts(self, way: Authenticity) -> dict[Question, Verdict]:
        verdicts: dict[Question, Verdict] = {}
        waiting = iter(self.questions)

        async def ask() -> None:
            for name, rdtype in waiting:
                verdicts[name, rdtype] = own_verdict(await way.look_up(name, RecordType[rdtype]))

        await gatherResults(Deferred.fromCoroutine(ask()) for _ in range(_AT_A_TIME))
        return verdicts
