"""Records in memory: batches within their bounds, whatever the pieces in which they were written."""

from hypothesis import given
from hypothesis import strategies as st

from mta.events.fresh import MAX_BATCH, MAX_EVENTS, FreshRecords

SIZES = st.lists(st.lists(st.sampled_from([2, 100, 1000, MAX_BATCH // 3]), min_size=1, max_size=20), max_size=20)


def test_small_pieces_are_sent_together():
    fresh = FreshRecords()
    for _ in range(3):
        fresh.add(b"{}\n{}\n", 2)
    assert fresh.first() == (b"{}\n" * 6, 6)


def test_a_batch_has_a_bounded_number_of_records():
    fresh = FreshRecords()
    fresh.add(b"{}\n" * (MAX_EVENTS - 1), MAX_EVENTS - 1)
    fresh.add(b"[]\n[]\n", 2)
    assert fresh.first()[1] == MAX_EVENTS - 1
    fresh.add(b"{}\n" * 2 * MAX_EVENTS, 2 * MAX_EVENTS)
    fresh.drop(3 * (MAX_EVENTS - 1))
    assert fresh.first() == (b"[]\n[]\n", 2)
    fresh.drop(6)
    assert fresh.first() == (b"{}\n" * MAX_EVENTS, MAX_EVENTS)


def test_records_that_were_sent_before_others_came_are_removed_alone():
    fresh = FreshRecords()
    fresh.add(b"{}\n", 1)
    sent, _ = fresh.first()
    fresh.add(b"[]\n[]\n", 2)
    assert fresh.first()[1] == 3
    fresh.drop(len(sent))
    assert fresh.first() == (b"[]\n[]\n", 2)


@given(SIZES)
def test_batches_are_all_records_in_their_order_within_bounds(pieces: list[list[int]]):
    fresh, added, sent = FreshRecords(), b"", b""
    for sizes in pieces:
        data = b"".join(b"x" * (size - 1) + b"\n" for size in sizes)
        fresh.add(data, len(sizes))
        added += data
    while fresh.octets:
        data, number = fresh.first()
        assert number == data.count(b"\n") > 0
        assert data.endswith(b"\n")
        assert len(data) <= MAX_BATCH
        fresh.drop(len(data))
        sent += data
    assert sent == added
    assert fresh.first() == (b"", 0)
