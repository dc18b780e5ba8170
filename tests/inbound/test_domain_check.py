import pytest
from twisted.internet.defer import Deferred

from mta.inbound.domain_check import DomainCheck
from mta.message.outcome import Failed, TryLater
from mta.routing.route import Plan, Routing
from mta.smtp.replies import Reply


class SlowRouter:
    def __init__(self, memory: Routing | None = None) -> None:
        self.memory = memory
        self.finding: Deferred[Routing] = Deferred()

    def known(self, domain: str) -> Routing | None:
        return self.memory

    def find(self, domain: str) -> Deferred[Routing]:
        return self.finding


ANSWERS = [
    (Plan("mx.test", ()), 250),
    (Failed("no such domain", status="5.1.2"), 550),
    (TryLater("no server answers", status="4.4.3"), 451),
]


@pytest.mark.parametrize(("routing", "code"), ANSWERS)
def test_what_is_known_is_answered_at_once(routing: Routing, code: int) -> None:
    replies: list[Reply] = []
    DomainCheck(SlowRouter(routing))("a.test", replies.append)
    assert [reply.code for reply in replies] == [code]


@pytest.mark.parametrize(("routing", "code"), ANSWERS)
def test_what_must_be_asked_is_answered_later(routing: Routing, code: int) -> None:
    replies: list[Reply] = []
    router = SlowRouter()
    DomainCheck(router)("a.test", replies.append)
    assert replies == []
    router.finding.callback(routing)
    assert [reply.code for reply in replies] == [code]


def test_a_fault_in_routing_is_try_later_and_never_silence() -> None:
    replies: list[Reply] = []
    router = SlowRouter()
    DomainCheck(router)("a.test", replies.append)
    router.finding.errback(RuntimeError("oops"))
    assert [reply.code for reply in replies] == [451]
