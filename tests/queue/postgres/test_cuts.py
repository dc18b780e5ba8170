"""Connections that are cut before, within and after a statement, and before its answer: all is done exactly once.

RELAY_CUTS sets the number of cuts, RELAY_SEED the moments. `make database-faults` is the long form.
"""

import os
import random
import threading
from collections import Counter

from harness.cutting_proxy import Moment
from harness.waiting import until
from mta.queue.ids import to_number
from tests.length import choose
from tests.queue.postgres.cluster import shared_cluster
from tests.queue.postgres.rows import parts_without_a_message, read_rows

CUTS = int(os.environ.get("RELAY_CUTS", choose("40", "300")))
SEED = int(os.environ.get("RELAY_SEED", "0")) or random.randrange(1, 1 << 32)


class Cutter:
    """Decides on the cuts: some of the statements, at a moment that a seed decides, until there were enough."""

    def __init__(self, proxy, cuts, moments=tuple(Moment)):
        self._random = random.Random(SEED)
        self._proxy = proxy
        self._moments = moments
        self.left = cuts
        self._over = threading.Event()
        proxy.decide = self
        self._thread = threading.Thread(target=self._deliver_late, daemon=True)
        self._thread.start()

    def __call__(self, text):
        # A connection that is cut at its start is made anew after a pause, which only costs time.
        if not self.left or text.lstrip().startswith("SET") or self._random.random() > 0.15:
            return None
        self.left -= 1
        return self._random.choice(self._moments)

    def _deliver_late(self):
        while not self._over.wait(self._random.uniform(0, 0.1)):
            self._proxy.deliver_late()

    def stop(self):
        self._over.set()
        self._thread.join()


def test_each_message_is_added_sent_and_settled_once_however_often_connections_are_cut(capsys, database, proxy, node):
    cutter = Cutter(proxy, CUTS)
    begun = [
        node.start(lambda: node.busy.clients(10)),
        node.start(lambda: node.busy.clients(5, leased=False)),
        node.start(lambda: node.busy.deliveries(lambda: False)),
    ]
    until(lambda: not cutter.left)
    node.busy.stop()
    for each in begun:
        node.wait(each)
    node.deliver_all()
    cutter.stop()
    books, rows = node.busy.books, read_rows(shared_cluster(), database)
    cuts = Counter(moment.name for moment in proxy.cuts)
    with capsys.disabled():
        print(f"\nRELAY_SEED={SEED}: {len(books.accepted)} messages, cut {dict(cuts)}", end=" ")
    once = Counter(books.accepted)
    assert books.refused == {}
    assert books.sent == once
    assert books.settled == once
    assert not books.lost
    assert rows.waiting == Counter()
    assert rows.finished == Counter(map(to_number, once))
    assert rows.ledger["accepted"] == rows.ledger["delivered"] == len(once)
    assert set(parts_without_a_message(shared_cluster(), database).values()) == {0}
    assert proxy.cancels == 0
