"""No mail that was answered 250 is lost or miscounted, however often and whenever the daemon is killed.

RELAY_KILLS sets the number of cycles, RELAY_SEED the moments of the kills: a failure prints the seed that repeats them.
`make kills CYCLES=300` is the long form.
"""

import os
import random
import signal
from collections import Counter

from harness.waiting import until
from tests.length import choose
from tests.survival.kills import REFUSED, STAYS, Lines, Load, assert_the_books_agree, put_off, tokens
from tests.survival.kills_queue import ledger, marked
from tests.survival.kills_workers import a_workers_process

__all__ = ["Load", "tokens"]

CYCLES = int(os.environ.get("RELAY_KILLS", choose("3", "10")))
SEED = int(os.environ.get("RELAY_SEED", "0")) or random.randrange(1, 1 << 32)
#: When the daemon is killed: at work, after it was asked to stop, and a second time while it starts and recovers.
MOMENTS = ("work", "work", "work", "stop", "start", "recovery")


class Killer:
    """Kills a relay at moments that a seed decides, and examines its queue each time."""

    def __init__(self, relay, load, seed):
        self.relay = relay
        self.load = load
        self.moments = random.Random(seed)
        self.lines = Lines(relay.child.output)
        self.kills = Counter()
        self.marks = 0
        self.removed = set()

    def cycle(self):
        moment = self.moments.choice(MOMENTS)
        self.load.sink.rules.append(put_off(5))
        self.load.up.set()
        begun = len(self.load.accepted)
        until(lambda: len(self.load.accepted) > begun, what="an accepted message")
        self.load.over.wait(self.moments.uniform(0, 0.8))
        if self.moments.randrange(3) == 0:
            self.remove_some()
        self.load.up.clear()
        if moment == "stop":
            self.relay.child.process.terminate()
            self.load.over.wait(self.moments.uniform(0, 0.4))
        self.kill(moment)
        if moment in {"start", "recovery"}:
            self.relay.child.start()
            self.load.over.wait(self.moments.uniform(0, 0.4) if moment == "start" else self.moments.uniform(0.4, 1.2))
            self.kill(moment)
        self.start()

    def kill(self, moment):
        self.kills[moment] += 1
        self.relay.kill()
        sink = self.load.sink
        until(lambda: not sink.open_connections, what="the end of the dead daemon's connections")
        self.load.books.take()
        left = ledger(self.relay.queue_dir)
        assert left["accepted"] == left["delivered"] + left["failed"] + left["removed"] + left["waiting"]

    def start(self):
        """Start, and assert that the events name exactly the marked recipients."""
        left = marked(self.relay.queue_dir)
        self.marks += left.total()
        self.lines.read()
        self.lines.found = Counter()
        started = self.lines.started
        self.relay.start()
        until(lambda: self.lines.read() > started, what="the line that says that the relay has started")
        assert self.lines.found == left

    def remove_some(self):
        """Hold the messages that no host will ever take, and remove them."""
        stays = [entry["id"] for entry in self.relay.queue() if self.waiting(entry, "stays.")]
        if not stays:
            return
        self.relay.tool("queue", "hold", *stays)
        still = [entry for entry in self.relay.queue() if entry["held"] and not entry["in_delivery"]]
        if still:
            done = self.relay.tool("queue", "remove", *(entry["id"] for entry in still))
            assert done.returncode == 0, done.stderr
            self.removed.update(*map(self.waiting, still))
        self.relay.tool("queue", "release", *stays)

    @staticmethod
    def waiting(entry, name=""):
        waits = [state["address"] for state in entry["recipients"] if state["status"] == "waiting"]
        return {address for address in waits if address.startswith(name)}


def test_every_accepted_message_arrives_though_the_daemon_is_killed_again_and_again(world, capsys):
    with capsys.disabled():
        print(f"\nRELAY_SEED={SEED}", end=" ", flush=True)
    sink = world.sink(REFUSED, STAYS)
    relay = world.relay(sink)
    with Load(relay, sink) as load:
        killer = Killer(relay, load, SEED)
        for cycle in range(1, CYCLES + 1):
            killer.cycle()
            if cycle % 50 == 0:
                with capsys.disabled():
                    print(f"\n{cycle} cycles", end=" ", flush=True)
    sink.rules[:] = [REFUSED]
    relay.wait_until_empty()
    books, lines = load.books, killer.lines
    books.take()
    lines.read()
    with capsys.disabled():
        print(
            f"{killer.kills.total()} kills {dict(killer.kills)}, {len(load.accepted)} accepted of {load.sent},"
            f" {len(books.arrived)} recipients reached, {len(books.failed)} failed, {len(killer.removed)} removed;"
            f" {books.copies.total()} duplicates, {lines.reasons.total()} named, {killer.marks} marks left and told of"
        )
    assert sink.faults == []
    assert books.spoilt == []
    assert lines.faults == []
    assert len(lines.cut) <= killer.kills.total()
    assert books.copies <= lines.reasons
    assert_the_books_agree(relay, books, killer.removed, load.owed)


def test_a_worker_that_is_killed_again_and_again_leaves_a_ledger_that_adds_up(world, capsys):
    moments = random.Random(SEED)
    sink = world.sink(REFUSED)
    relay = world.relay(sink, WORKERS="2")
    lines = Lines(relay.child.output)
    with Load(relay, sink) as load:
        load.up.set()
        for _ in range(choose(1, 2) + CYCLES // 30):
            sink.rules.append(put_off(5))
            begun = len(load.accepted)
            until(lambda begun=begun: len(load.accepted) > begun + 20, what="accepted messages")
            load.over.wait(moments.uniform(0, 0.5))
            number = moments.choice([1, 2])
            old = until(lambda number=number: a_workers_process(relay, number), what=f"worker {number}")
            os.kill(old, signal.SIGKILL)
            until(
                lambda number=number, old=old: a_workers_process(relay, number) not in {None, old},
                what="the next process",
            )
    sink.rules[:] = [REFUSED]
    relay.wait_until_empty()
    load.books.take()
    lines.read()
    with capsys.disabled():
        print(f"\n{len(lines.faults)} workers killed, {load.books.copies.total()} duplicates", end=" ")
    assert all("was killed by SIGKILL" in line for line in lines.faults)
    assert len(lines.cut) <= len(lines.faults)
    assert load.books.spoilt == []
    assert load.books.copies <= lines.reasons
    assert_the_books_agree(relay, load.books, set(), load.owed)
