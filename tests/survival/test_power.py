"""No mail that was answered 250 is lost when the power fails, at any moment.

RELAY_CUTS sets the number of cuts of each test, RELAY_SEED their moments: a failure prints the seed that repeats them.
"""

import os
import random
from collections import Counter

import pytest

from harness.waiting import until
from tests.endtoend.mails import mail
from tests.length import choose
from tests.survival.power import LARGE, SMALL, Load, Outage, ledger, named, repeated, tokens

CUTS = int(os.environ.get("RELAY_CUTS", choose("1", "2")))
LONG = "RELAY_CUTS" in os.environ


@pytest.fixture
def outage(disk, world):
    def make(*, torn=False, **settings):
        seed = int(os.environ.get("RELAY_SEED", "0")) or random.randrange(1, 1 << 32)
        sink = world.sink()
        # A folder that the relay has to make, in another.
        queue = disk.mount / "spool" / "queue"
        return Outage(world.stopped_relay(sink, QUEUE_DIR=str(queue), **settings), sink, disk, seed, torn)

    return make


def endure(outage, cuts=CUTS):
    with Load(outage.relay, outage.sink) as load:
        for _ in range(cuts):
            outage.cycle(load)
    outage.finish()
    return load.accepted


def assert_nothing_is_lost(outage, accepted, capsys, *, whole_log=True):
    arrived, again, told = set(tokens(outage.sink)), repeated(outage.sink), named(outage.relay)
    with capsys.disabled():
        print(
            f"\n{len(accepted)} accepted, {len(arrived)} arrived, {again.total()} duplicates of"
            f" {told.total()} that the log names, seed {outage.seed}"
        )
    assert outage.damage == []
    assert outage.sink.faults == []
    assert accepted - arrived == set()
    assert all(whole(message) for message in outage.sink.messages)
    assert again - told == Counter() or not whole_log
    assert list(outage.relay.queue_dir.rglob("bodies/*")) == []
    account = ledger(outage.relay)
    assert account["waiting"] == 0
    assert account["accepted"] == account["delivered"] >= len(accepted)
    assert "Traceback" not in outage.relay.child.text


def whole(message):
    token = message.sender.partition("@")[0]
    return message.without_trace in {mail(token, body) for body in (SMALL, LARGE)}


def test_every_accepted_message_arrives_though_the_power_fails_again_and_again(outage, capsys):
    played = outage()
    assert_nothing_is_lost(played, endure(played), capsys)


def test_every_accepted_message_arrives_although_the_disk_kept_parts_of_unsynced_octets(outage, capsys):
    played = outage(torn=True)
    assert_nothing_is_lost(played, endure(played), capsys)


@pytest.mark.skipif(not LONG, reason="runs with make power-loss")
def test_every_accepted_message_arrives_though_the_power_fails_under_two_workers(outage, capsys):
    played = outage(torn=True, WORKERS="2")
    accepted = endure(played, max(1, CUTS // 5))
    # The output of workers passes through the parent, and its unwritten part is lost when the parent is killed.
    assert_nothing_is_lost(played, accepted, capsys, whole_log=False)


def test_on_a_disk_that_lies_about_syncs_the_same_loses_mail_so_that_these_tests_can_fail(outage):
    played = outage()
    played.relay.start()
    played.disk.lie()
    with Load(played.relay, played.sink) as load:
        played.refuse(True)
        load.up.set()
        until(lambda: len(load.accepted) >= 20, what="accepted messages")
        played.cut(load)
    played.finish()
    assert len(load.accepted - set(tokens(played.sink))) >= 20
