"""Relays of two releases with one queue: both deliver, until the new release takes away what the old one needs."""

from pathlib import Path

import pytest

from harness.waiting import until
from mta.queue.postgres.opening.migration import CONTRACT_INTERVAL
from tests.endtoend.next_release import CONTRACTED, EXPANDED, next_release
from tests.endtoend.shared_relays import SharedRelays, copies, submit, tokens
from tests.endtoend.world import World


def versions(relays: SharedRelays) -> dict[str, int]:
    return dict(relays.rows("SELECT name, value FROM meta"))


@pytest.mark.long
def test_two_releases_share_a_queue_until_the_last_relay_of_the_old_one_ends(url: str, world: World, tmp_path: Path):
    sink = world.sink()
    relays = SharedRelays(world, sink, url)
    old = relays.relay("old")
    submit(old, tokens("before", 10))
    release = next_release(tmp_path / "next")
    new = relays.relay("new", PYTHONPATH=str(release))
    assert versions(relays) == {"version": EXPANDED, "oldest_compatible": 1}
    submit(old, tokens("old", 20))
    submit(new, tokens("new", 20))
    relays.wait_until_empty()
    assert set(copies(sink)) == {*tokens("before", 10), *tokens("old", 20), *tokens("new", 20)}
    assert new.wait_for_events("delivered")
    assert old.wait_for_events("delivered")
    assert versions(relays)["oldest_compatible"] == 1
    old.stop()
    until(
        lambda: versions(relays)["oldest_compatible"] == CONTRACTED,
        2 * CONTRACT_INTERVAL + 60,
        what="the step that waits for the old relay",
    )
    submit(new, tokens("after", 10))
    relays.wait_until_empty()
    refusal = f"the shared queue was made by a newer smtprelay (schema {CONTRACTED}, and this one knows 1)"
    assert refusal in old.start_and_fail(1)
    relays.assert_ledger_adds_up(60)
