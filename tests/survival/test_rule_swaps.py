"""No connection is dropped and no message meets a mixture of two rule sets, however often rules change under load.

RELAY_SWAPS sets the number of changes, RELAY_SEED their moments: a failure prints the seed that repeats them.
`make rule-swaps` is the long form.
"""

import os
import random
import signal
import threading

import pytest

from harness.waiting import until
from tests.length import choose
from tests.survival.swaps import ConfigMap, HalfWritten, Idle, Outcomes, Sessions, mixtures

SWAPS = int(os.environ.get("RELAY_SWAPS", choose("50", "200")))
SEED = int(os.environ.get("RELAY_SEED", "0")) or random.randrange(1, 1 << 32)
SESSIONS = 4
#: Connections that are silent between two rounds.
IDLE = 10
#: After so many changes, all sessions must have the newest rules.
ROUND = 10
#: Seconds in which they must have them.
SOON = 5.0


class Swapper:
    """Changes the rules at moments that a seed decides, while their files are read too."""

    def __init__(self, relay, folder):
        self.config_map = ConfigMap(folder)
        self.half = HalfWritten(folder)
        self.outcomes = Outcomes(relay.child.output)
        self.relay = relay
        self.moments = random.Random(SEED)
        self.halves = 0
        self._pause = threading.Event()

    def reload(self):
        """Have the rules read, and wait for the outcome or a part of the time that it takes."""
        before = self.outcomes.look()
        os.kill(self.relay.child.pid, signal.SIGHUP)
        if self.moments.randrange(2):
            until(lambda: self.outcomes.look() > before, what="a reading")
        else:
            self._pause.wait(self.moments.uniform(0, 0.03))

    def change(self):
        if self.moments.randrange(3) == 0:
            self.halves += 1
            self.half.begin()
            self.reload()
            self.half.finish()
        self.config_map.prepare()
        if self.moments.randrange(2):
            self.reload()
        self.config_map.swap()
        self.reload()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_connection_is_dropped_and_no_message_meets_two_rule_sets(world, tmp_path, workers):
    print(f"RELAY_SEED={SEED}")
    sink = world.sink()
    folder = tmp_path / "rules.d"
    relay = world.stopped_relay(sink, RULES_DIR=str(folder), WORKERS=workers)
    swapper = Swapper(relay, folder)
    relay.start()
    relay.wait_for_events("started")
    with Sessions(relay, SESSIONS, SEED) as sessions:
        idle = Idle(sessions, IDLE, SEED)
        for count in range(1, SWAPS + 1):
            swapper.change()
            if count % ROUND == 0:
                newest = {swapper.config_map.version}
                until(lambda newest=newest: idle.versions() == newest, SOON, what=f"rules {newest} in all sessions")
    assert sessions.faults == []
    relay.wait_until_empty()
    arrived = [message.content for message in sink.messages]
    assert mixtures(sessions.expected, arrived) == []
    assert len(arrived) >= len(sessions.expected) > SWAPS
    # A version is never in force in part: only the file that was written in halves had mistakes.
    told = [event["text"] for event in relay.events("trouble")]
    assert [text for text in told if "not taken up" not in text and "90-half.toml" not in text] == []
    assert relay.events("fault") == []
    assert relay.stop() == 0
    outcomes = swapper.outcomes
    outcomes.look()
    print(
        f"{SWAPS} changes, {swapper.halves} of them beside a half-written file: rules were taken up"
        f" {outcomes.taken_up} times, and {outcomes.refused} times not.\n{len(sessions.expected)} messages accepted and"
        f" {sessions.refused} refused after their data, by {len(sessions.versions)} versions: no connection was dropped"
        "\nand no message met two versions."
    )
