import pytest

from mta.inbound.policy import TOO_MANY_CONNECTIONS, TOO_MANY_FROM_YOU, Client, ConnectionLimiter, Policy
from mta.smtp.address import Address
from mta.smtp.domains import domain_list
from mta.smtp.limits import Limits

FRIEND = Client("127.0.0.1", trusted=True)
STRANGER = Client("203.0.113.9", trusted=False)


HERE, RELAYED = domain_list(["here.test", "localhost"]), domain_list(["relay.test"])


def is_here(domain: str) -> bool:
    return not domain or domain == "[192.0.2.1]" or HERE.matches(domain)


POLICY = Policy(RELAYED, is_here, lambda address: address.local == "bob")


def code(client: Client, local: str, domain: str) -> int | None:
    verdict = POLICY.recipient(client, Address(local, domain))
    return None if verdict is None else verdict.code


def test_any_sender_is_taken_but_a_strangers_domain_literal() -> None:
    for client in (FRIEND, STRANGER):
        assert POLICY.sender(client, None).code == 250
        assert POLICY.sender(client, Address("root", "nowhere.test")).code == 250
    assert POLICY.sender(STRANGER, Address("root", "[127.0.0.1]")).code == 501
    assert POLICY.sender(FRIEND, Address("root", "[127.0.0.1]")).code == 250


def test_our_own_networks_may_send_anywhere() -> None:
    assert code(FRIEND, "x", "anywhere.test") == 250


def test_a_stranger_may_not_relay_and_is_told_what_would_allow_it() -> None:
    verdict = POLICY.recipient(STRANGER, Address("x", "anywhere.test"))
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


def test_the_door_counts_everyone_and_strangers_each() -> None:
    door = ConnectionLimiter(Limits(connections=3, connections_per_stranger=1, strangers=1.0))
    assert door.refusal(STRANGER) is None
    door.enter(STRANGER)
    assert door.refusal(STRANGER) is TOO_MANY_FROM_YOU
    assert door.refusal(FRIEND) is None
    door.enter(FRIEND)
    door.enter(FRIEND)
    assert door.refusal(FRIEND) is TOO_MANY_CONNECTIONS
    door.leave(STRANGER)
    assert door.refusal(STRANGER) is None


def test_strangers_of_any_number_leave_room_for_our_own() -> None:
    door = ConnectionLimiter(Limits(connections=8))
    strangers = [Client(f"2001:db8:{number}::1", trusted=False) for number in range(6)]
    for stranger in strangers:
        assert door.refusal(stranger) is None
        door.enter(stranger)
    assert door.refusal(STRANGER) is TOO_MANY_CONNECTIONS
    assert door.refusal(FRIEND) is None
    door.leave(strangers[0])
    assert door.refusal(STRANGER) is None


def test_a_network_of_ipv6_counts_as_one_stranger_and_a_site_as_four() -> None:
    door = ConnectionLimiter(Limits(connections_per_stranger=2))
    site = [Client(f"2001:db8:1:{number:x}::1", trusted=False) for number in range(5)]
    for stranger in site[:4]:
        for _ in range(2):
            assert door.refusal(stranger) is None
            door.enter(stranger)
        assert door.refusal(stranger) is TOO_MANY_FROM_YOU
    assert door.refusal(site[4]) is TOO_MANY_FROM_YOU
    assert door.refusal(Client("2001:db8:2::1", trusted=False)) is None
    for stranger in site[:4]:
        door.leave(stranger)
        door.leave(stranger)
    assert door.refusal(site[4]) is None


def test_a_client_that_may_turn_out_to_be_trusted_is_told_to_try_later() -> None:
    policy = Policy(RELAYED, is_here, lambda address: False, lambda client: client == STRANGER.address)
    verdicts = [policy.recipient(STRANGER, Address("x", domain)) for domain in ("anywhere.test", "here.test")]
    assert [verdict.code for verdict in verdicts if verdict is not None] == [451, 550]
    assert "RELAY_NETWORKS" in str(verdicts[0])
    literal = Address("x", "[192.0.2.7]")
    assert policy.sender(STRANGER, literal).code == 451
    assert policy.recipient(STRANGER, literal) == policy.sender(STRANGER, literal)
    assert policy.recipient(STRANGER, Address("x", "relay.test")) is None
    other = policy.recipient(Client("203.0.113.10", trusted=False), Address("x", "anywhere.test"))
    assert other is not None
    assert other.code == 550


def test_mailboxes_that_cannot_be_looked_at_are_neither_refused_nor_taken() -> None:
    def away(address: Address) -> bool:
        raise FileNotFoundError(address)

    policy = Policy(domain_list([]), domain_list(["here.test"]).matches, away)
    verdicts = [policy.recipient(FRIEND, Address(local, "here.test")) for local in ("bob", "postmaster")]
    assert [verdict.code for verdict in verdicts if verdict is not None] == [451, 250]
