"""No mail that was answered 250 is lost, however often and whenever the daemon is killed.

RELAY_KILLS sets the number of cycles, RELAY_SEED the moments of the kills: a failure prints the seed that repeats them.
"""

import os
import random
import smtplib
import threading
from collections import Counter

from tests.endtoend.mails import mail
from tests.endtoend.world import TO
from tests.fakes.processes import until

CYCLES = int(os.environ.get("RELAY_KILLS", "30"))
CLIENTS = 20
# Clients pause while this many accepted messages have not arrived, so that the last restart has an end in sight.
BACKLOG = 1000
LINE = b"x" * 70 + b"\r\n"
SMALL = LINE * 40
# More than the queue keeps in a row: one message in fifty has a file.
LARGE = LINE * 5000


class Load:
    """Clients that send and note every 250. A connection that breaks is opened again."""

    def __init__(self, relay, sink):
        self.relay = relay
        self.sink = sink
        self.accepted = set()
        self.sent = 0
        self.up = threading.Event()
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.up.set()
        for thread in self.threads:
            thread.join()

    def run(self, number):
        count = 0
        while self.up.wait() and not self.over.is_set():
            try:
                with self.relay.client() as client:
                    while not self.over.wait(0.01 if self.behind() else 0):
                        count += 1
                        self.send(client, f"{number}.{count}", SMALL if count % 50 else LARGE)
            except (OSError, smtplib.SMTPException):
                self.over.wait(0.01)

    def behind(self):
        return len(self.accepted) - len(self.sink.messages) > BACKLOG

    def send(self, client, token, body):
        with self.lock:
            self.sent += 1
        client.sendmail(f"{token}@sender.test", [TO], mail(token, body))
        with self.lock:
            self.accepted.add(token)


def token(sender):
    return sender.partition("@")[0]


def tokens(sink):
    return [token(message.sender) for message in list(sink.messages)]


def whole(message):
    return message.without_trace in {mail(token(message.sender), body) for body in (SMALL, LARGE)}


def in_flight(relay, sink):
    """Return what the sink has and the dead daemon's queue still holds: only that may arrive again."""
    until(lambda: not sink.open_connections, what="the end of the dead daemon's connections")
    return {token(entry["sender"]) for entry in relay.queue()} & set(tokens(sink))


def test_every_accepted_message_arrives_though_the_daemon_is_killed_again_and_again(world, capsys):
    seed = int(os.environ.get("RELAY_SEED", "0")) or random.randrange(1, 1 << 32)
    moments = random.Random(seed)
    sink = world.sink()
    relay = world.relay(sink)
    unsettled = Counter()
    with Load(relay, sink) as load:
        for _ in range(CYCLES):
            load.up.set()
            begun = len(load.accepted)
            until(lambda begun=begun: len(load.accepted) > begun, what=f"an accepted message (seed {seed})")
            load.over.wait(moments.uniform(0, 1))
            load.up.clear()
            relay.kill()
            unsettled.update(in_flight(relay, sink))
            relay.start()
    relay.empty(120)
    arrived = Counter(tokens(sink))
    repeated = arrived - Counter(set(arrived))
    with capsys.disabled():
        print(
            f"\n{CYCLES} kills, {load.sent} sent, {len(load.accepted)} accepted, {len(arrived)} arrived,"
            f" {repeated.total()} duplicates of {unsettled.total()} in flight, seed {seed}"
        )
    assert sink.faults == []
    assert all(whole(message) for message in sink.messages)
    assert load.accepted - set(arrived) == set()
    assert repeated <= unsettled
