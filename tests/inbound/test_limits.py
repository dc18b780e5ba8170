"""The limits on connections, in all and for each stranger."""

from mta.inbound.limits import TOO_MANY_CONNECTIONS, TOO_MANY_FROM_YOU, ConnectionLimiter, InboundLimits
from mta.inbound.policy import Client

FRIEND = Client("127.0.0.1", trusted=True)
STRANGER = Client("203.0.113.9", trusted=False)


def test_the_limiter_counts_everyone_and_strangers_each() -> None:
    limiter = ConnectionLimiter(InboundLimits(connections=3, connections_per_stranger=1, stranger_share=1.0))
    assert limiter.refusal(STRANGER) is None
    limiter.enter(STRANGER)
    assert limiter.refusal(STRANGER) is TOO_MANY_FROM_YOU
    assert limiter.refusal(FRIEND) is None
    limiter.enter(FRIEND)
    limiter.enter(FRIEND)
    assert limiter.refusal(FRIEND) is TOO_MANY_CONNECTIONS
    limiter.leave(STRANGER)
    assert limiter.refusal(STRANGER) is None


def test_strangers_of_any_number_leave_room_for_our_own() -> None:
    limiter = ConnectionLimiter(InboundLimits(connections=8))
    strangers = [Client(f"2001:db8:{number}::1", trusted=False) for number in range(6)]
    for stranger in strangers:
        assert limiter.refusal(stranger) is None
        limiter.enter(stranger)
    assert limiter.refusal(STRANGER) is TOO_MANY_CONNECTIONS
    assert limiter.refusal(FRIEND) is None
    limiter.leave(strangers[0])
    assert limiter.refusal(STRANGER) is None


def test_a_network_of_ipv6_counts_as_one_stranger_and_a_site_as_four() -> None:
    limiter = ConnectionLimiter(InboundLimits(connections_per_stranger=2))
    site = [Client(f"2001:db8:1:{number:x}::1", trusted=False) for number in range(5)]
    for stranger in site[:4]:
        for _ in range(2):
            assert limiter.refusal(stranger) is None
            limiter.enter(stranger)
        assert limiter.refusal(stranger) is TOO_MANY_FROM_YOU
    assert limiter.refusal(site[4]) is TOO_MANY_FROM_YOU
    assert limiter.refusal(Client("2001:db8:2::1", trusted=False)) is None
    for stranger in site[:4]:
        limiter.leave(stranger)
        limiter.leave(stranger)
    assert limiter.refusal(site[4]) is None
