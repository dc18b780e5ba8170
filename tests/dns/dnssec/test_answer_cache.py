"""The cache of validated answers: CNAMEs over several replies, times to live, and failures."""

import dns.message
import dns.rrset
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mta.dns.answers import Found, LookupFailed, NoSuchName
from mta.dns.dnssec.answer_cache import AnswerCache, ValidatedReply
from mta.dns.dnssec.authenticity import Security, ValidatedAnswer
from mta.dns.message import RecordType
from mta.dns.parser import parse_reply
from mta.dns.resolver import MAX_CNAME_QUERIES

SECURE, INSECURE, BOGUS = Security.SECURE, Security.INSECURE, Security.BOGUS


class ChainOfReplies:
    """Answers each question with the CNAME of the next name, and the last one with an address."""

    def __init__(self, *securities: Security) -> None:
        self.securities = securities
        self.asked: list[str] = []
        self.clock = Clock()
        self.cache = AnswerCache(self.ask, self.clock.seconds)

    async def ask(self, name: str, _rdtype: RecordType) -> ValidatedReply:
        if not name.startswith("n"):
            raise ValueError(name)
        number = int(name.removesuffix(".test")[1:])
        self.asked.append(name)
        security = self.securities[number]
        reason = "" if security is SECURE else f"{security.value} {number}"
        if security is BOGUS:
            return ValidatedReply(LookupFailed(reason), security, reason)
        reply = dns.message.make_response(dns.message.make_query(name, "A"))
        last = number + 1 == len(self.securities)
        texts = ("A", "192.0.2.1") if last else ("CNAME", f"n{number + 1}.test.")
        reply.answer.append(dns.rrset.from_text(f"{name}.", 100 - number, "IN", *texts))
        return ValidatedReply(parse_reply(reply.to_wire()), security, reason)

    def answer(self, name: str = "n0.test") -> ValidatedAnswer:
        found: list[ValidatedAnswer] = []
        Deferred.fromCoroutine(self.cache.look_up(name, RecordType.A)).addCallback(found.append)
        return found[0]


@pytest.mark.parametrize(
    ("securities", "security", "reason"),
    [
        ((SECURE, SECURE), SECURE, ""),
        ((INSECURE, SECURE), INSECURE, "insecure 0"),
        ((SECURE, INSECURE), INSECURE, "insecure 1"),
        ((SECURE, INSECURE, SECURE), INSECURE, "insecure 1"),
        ((INSECURE, INSECURE), INSECURE, "insecure 0"),
    ],
)
def test_a_chain_over_several_replies_is_as_secure_as_its_worst_part(
    securities: tuple[Security, ...], security: Security, reason: str
) -> None:
    chain = ChainOfReplies(*securities)
    last = len(securities) - 1
    assert chain.answer() == ValidatedAnswer(Found(("192.0.2.1",), 100.0 - last, f"n{last}.test"), security, reason)


def test_a_chain_with_a_bogus_part_is_bogus() -> None:
    found = ChainOfReplies(INSECURE, BOGUS).answer()
    assert isinstance(found.answer, LookupFailed)
    assert found.security is BOGUS


def test_a_chain_that_is_too_long_is_a_failed_look_up() -> None:
    chain = ChainOfReplies(*[SECURE] * (MAX_CNAME_QUERIES + 1))
    found = chain.answer()
    assert isinstance(found.answer, LookupFailed)
    assert (found.security, found.reason) == (INSECURE, found.answer.reason)
    assert len(chain.asked) == MAX_CNAME_QUERIES


def test_a_failure_is_kept_for_seconds_only() -> None:
    chain = ChainOfReplies(BOGUS)
    for _ in range(2):
        chain.answer()
    assert len(chain.asked) == 1
    chain.clock.advance(5)
    chain.answer()
    assert len(chain.asked) == 2


def test_a_text_that_cannot_be_a_name_does_not_exist() -> None:
    assert ChainOfReplies().answer("x") == ValidatedAnswer(NoSuchName(300.0), INSECURE, "the name is impossible")
