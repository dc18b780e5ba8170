"""A day in the life of three relays that share a queue on a primary with a synchronous standby, under load.

One after the other is stopped and started again as the next release, whose tables lose a column that this release needs
once all three run the next one. The primary fails and its standby is promoted, one relay is killed, and one is frozen
until the others have its mail.
"""

import pytest

from harness.postgres import Cluster
from harness.waiting import until
from tests.endtoend.next_release import CONTRACTED, EXPANDED, next_release
from tests.length import choose
from tests.queue.postgres.cluster import shared_cluster
from tests.survival.kills import REFUSED, Load, put_off
from tests.survival.shared_queue import assert_nothing_is_lost, shared_queue


class Day:
    """The relays, and the events of the day. After each the clients must get mail accepted as before."""

    def __init__(self, queue, load, standby):
        self.queue, self.load, self.standby = queue, load, standby

    def go_on(self):
        self.load.sink.rules.append(put_off(5))
        begun = len(self.load.accepted)
        until(lambda: len(self.load.accepted) > begun + choose(100, 500), what="accepted messages")

    def upgrade(self, release):
        for number, relay in enumerate(self.queue.relays):
            # The relay that is to be stopped still needs the column. Without it the column may go at any time.
            assert self.queue.versions() == {"version": EXPANDED if number else 1, "oldest_compatible": 1}
            assert relay.stop() == 0
            self.go_on()
            relay.environment["PYTHONPATH"] = str(release)
            relay.start()
            self.go_on()
        self.queue.contract_soon()
        until(lambda: self.queue.versions()["oldest_compatible"] == CONTRACTED, what="the tables of the next release")
        self.go_on()

    def fail_over(self):
        self.queue.server.kill()
        self.standby.promote()
        self.queue.server = self.standby
        self.go_on()

    def kill(self, name, relay):
        relay.kill()
        self.queue.take_over(name)
        self.go_on()
        relay.start()

    def freeze(self, name, relay):
        self.queue.freeze(relay)
        self.queue.take_over(name)
        self.go_on()
        self.queue.thaw(relay)
        relay.wait_for_events("trouble")
        self.go_on()


@pytest.mark.long
def test_nothing_is_lost_in_a_day_of_upgrades_and_failures(world, tmp_path, capsys):
    shared_cluster()
    sink = world.sink(REFUSED)
    with Cluster("first") as primary, Cluster("second", copy_of=primary) as standby:
        primary.wait_for_standby(standby)
        with (
            shared_queue(world, sink, primary, lambda name: primary.url(name, standby)) as queue,
            Load(queue, sink) as load,
        ):
            _, two, three = (queue.relay(name) for name in ("one", "two", "three"))
            day = Day(queue, load, standby)
            load.up.set()
            day.go_on()
            day.upgrade(next_release(tmp_path / "next"))
            day.fail_over()
            day.kill("two", two)
            day.freeze("three", three)
            counts = assert_nothing_is_lost(queue, load)
            with capsys.disabled():
                print(f"\n{counts}", end=" ")
