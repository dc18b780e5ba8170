"""The shares of relays add up to the connections that a destination takes."""

from hypothesis import given
from hypothesis import strategies as st

from mta.delivery.relays.shares import share

relays = st.sets(st.integers(1, 5000), min_size=1, max_size=40)


@given(st.text(max_size=20), st.integers(1, 60), relays)
def test_shares_add_up_and_differ_by_one_at_most(destination: str, connections: int, living: set[int]):
    shares = [share(destination, connections, relay, living) for relay in living]
    assert sum(shares) == connections
    assert max(shares) - min(shares) <= 1


def test_a_relay_alone_has_all():
    assert share("example.com", 20, 7, (7,)) == share("example.com", 20, 7, ()) == 20


def test_the_relays_without_a_connection_differ_by_destination():
    living = range(1, 11)
    first = {next(relay for relay in living if share(f"d{n}.test", 1, relay, living)) for n in range(100)}
    assert len(first) == 10


def test_the_order_in_which_relays_are_known_does_not_matter():
    assert share("example.com", 20, 3, [3, 1, 2]) == share("example.com", 20, 3, (1, 2, 3))
