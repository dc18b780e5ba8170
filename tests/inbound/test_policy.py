"""Verdicts on senders and recipients, and on the domains that the routing has to judge."""

import pytest
from twisted.internet.defer import Deferred

from mta.inbound.policy import Client, DomainCheck, RelayPolicy
from mta.message.outcome import Failed, TryLater
from mta.routing.choice import RouteChoice
from mta.routing.route import Plan, Routing
from mta.smtp.address import Address
from mta.smtp.domains import domain_list
from mta.smtp.parameters import TlsDemand
from mta.smtp.replies import Reply

FRIEND = Client("127.0.0.1", trusted=True)
STRANGER = Client("203.0.113.9", trusted=False)


HERE, RELAYED = domain_list(["here.test", "localhost"]), domain_list(["relay.test"])


def is_here(domain: str) -> bool:
    return not domain or domain == "[192.0.2.1]" or HERE.matches(domain)


POLICY = RelayPolicy(RELAYED, is_here, lambda address: address.local == "bob")


def code(client: Client, local: str, domain: str) -> int | None:
    verdict = POLICY.recipient(client, Address(local, domain), None)
    return None if verdict is None else verdict.code


def test_any_sender_is_accepted_but_a_strangers_domain_literal() -> None:
    for client in (FRIEND, STRANGER):
        assert POLICY.sender(client, None).code == 250
        assert POLICY.sender(client, Address("root", "nowhere.test")).code == 250
    assert POLICY.sender(STRANGER, Address("root", "[127.0.0.1]")).code == 501
    assert POLICY.sender(FRIEND, Address("root", "[127.0.0.1]")).code == 250


def test_trusted_clients_may_send_anywhere() -> None:
    assert code(FRIEND, "x", "anywhere.test") == 250


def test_a_stranger_may_not_relay_and_the_reply_names_the_settings() -> None:
    verdict = POLICY.recipient(STRANGER, Address("x", "anywhere.test"), None)
    assert str(verdict).startswith("550 5.7.1 relay not permitted: 203.0.113.9 is not in RELAY_NETWORKS")
    assert "anywhere.test is not in RELAY_DOMAINS" in str(verdict)


def test_a_stranger_reaches_a_relay_domain_if_the_domain_exists() -> None:
    assert code(STRANGER, "x", "relay.test") is None
    assert code(FRIEND, "x", "relay.test") == 250


def test_postmaster_is_always_reachable() -> None:
    assert code(STRANGER, "postmaster", "") == 250
    assert code(STRANGER, "PostMaster", "here.test") == 250
    assert code(STRANGER, "postmaster", "relay.test") == 250


@pytest.mark.parametrize("client", [FRIEND, STRANGER])
def test_an_unknown_local_user_is_refused_for_everyone(client: Client) -> None:
    assert code(client, "bob", "here.test") == 250
    assert code(client, "eve", "here.test") == 550


def test_an_address_literal_is_refused_to_strangers_and_to_trusted_clients_if_no_route_leads_there() -> None:
    assert code(STRANGER, "bob", "[127.0.0.1]") == 501
    assert code(STRANGER, "bob", "[192.0.2.1]") == 501
    assert code(FRIEND, "bob", "[127.0.0.1]") is None
    assert code(FRIEND, "a%b", "[127.0.0.1]") == 550


def test_an_address_literal_of_this_host_is_local() -> None:
    assert code(FRIEND, "bob", "[192.0.2.1]") == 250
    assert code(FRIEND, "eve", "[192.0.2.1]") == 550


@pytest.mark.parametrize("local", ["a@b", "a%b", "a!b", "a`b", "a#b", "a&b", "a?b", ".a", "/a", "|a", "a/../b"])
def test_local_parts_that_made_mailers_misbehave_are_refused_even_from_friends(local: str) -> None:
    assert code(FRIEND, local, "anywhere.test") == 550


@pytest.mark.parametrize("local", ["a/b", "a|b", "o'hara", "a+b", "a=b", "a*", "a..b", "a.", "a b"])
def test_odd_but_harmless_local_parts_pass_outwards(local: str) -> None:
    assert code(FRIEND, local, "anywhere.test") == 250


@pytest.mark.parametrize("local", ["a/b", "a|b", "../etc/passwd"])
def test_paths_and_pipes_are_refused_at_home(local: str) -> None:
    assert code(FRIEND, local, "here.test") == 550


def test_a_client_that_may_prove_to_be_trusted_gets_a_451() -> None:
    policy = RelayPolicy(RELAYED, is_here, lambda address: False, lambda client: client == STRANGER.address)
    verdicts = [policy.recipient(STRANGER, Address("x", domain), None) for domain in ("anywhere.test", "here.test")]
    assert [verdict.code for verdict in verdicts if verdict is not None] == [451, 550]
    assert "RELAY_NETWORKS" in str(verdicts[0])
    literal = Address("x", "[192.0.2.7]")
    assert policy.sender(STRANGER, literal).code == 451
    assert policy.recipient(STRANGER, literal, None) == policy.sender(STRANGER, literal)
    assert policy.recipient(STRANGER, Address("x", "relay.test"), None) is None
    other = policy.recipient(Client("203.0.113.10", trusted=False), Address("x", "anywhere.test"), None)
    assert other is not None
    assert other.code == 550


def test_mailboxes_that_cannot_be_read_get_a_451() -> None:
    def away(address: Address) -> bool:
        raise FileNotFoundError(address)

    policy = RelayPolicy(domain_list([]), domain_list(["here.test"]).matches, away)
    verdicts = [policy.recipient(FRIEND, Address(local, "here.test"), None) for local in ("bob", "postmaster")]
    assert [verdict.code for verdict in verdicts if verdict is not None] == [451, 250]


def test_an_address_for_reports_is_decided_before_all_other_local_ones() -> None:
    refusals = {"good/one": "", "forged": "this relay did not make this address"}
    policy = RelayPolicy(
        domain_list([]),
        domain_list(["here.test"]).matches,
        lambda address: address.local == "bob",
        return_path=lambda address, sender: refusals.get(address.local) if sender is None else None,
    )

    def answer(local: str, sender: Address | None = None) -> str:
        return str(policy.recipient(STRANGER, Address(local, "here.test"), sender))

    assert answer("good/one") == "250 2.1.5 recipient ok"
    assert answer("forged") == "550 5.7.1 <forged@here.test>: this relay did not make this address"
    assert answer("bob") == "250 2.1.5 recipient ok"
    assert answer("good/one", Address("a", "b.test")) == "550 5.1.3 restricted characters in address"
    elsewhere = policy.recipient(STRANGER, Address("good/one", "else.test"), None)
    assert elsewhere is not None
    assert elsewhere.code == 550


class SlowRouter:
    def __init__(self, memory: Routing | None = None) -> None:
        self.memory = memory
        self.finding: Deferred[Routing] = Deferred()

    def cached(self, domain: str, choice: RouteChoice | None = None, demand: TlsDemand | None = None) -> Routing | None:
        return self.memory

    def resolve(
        self, domain: str, choice: RouteChoice | None = None, demand: TlsDemand | None = None
    ) -> Deferred[Routing]:
        return self.finding


ANSWERS = [
    (Plan("mx.test", ()), 250),
    (Failed("no such domain", status="5.1.2"), 550),
    (TryLater("no server answers", status="4.4.3"), 451),
]


@pytest.mark.parametrize(("routing", "code"), ANSWERS)
def test_a_cached_routing_is_answered_at_once(routing: Routing, code: int) -> None:
    replies: list[Reply] = []
    DomainCheck(SlowRouter(routing))("a.test", replies.append)
    assert [reply.code for reply in replies] == [code]


@pytest.mark.parametrize(("routing", "code"), ANSWERS)
def test_a_routing_that_must_be_resolved_is_answered_later(routing: Routing, code: int) -> None:
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
