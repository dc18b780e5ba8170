"""The queues of workers that run no more become one queue, wherever that is cut.

RELAY_FAULTS=all cuts at every operation; otherwise at a few.
"""

import gc
import os
from contextlib import suppress

import pytest

from mta.blocking import run_inline
from mta.queue.disk.queue_dir import worker_home
from mta.queue.interface import QueueError
from mta.queue.sqlite.queue import open_queue
from mta.queue.worker_queues.merge import merge
from tests.length import choose
from tests.queue.homes import Home
from tests.queue.messages import NOW

ALL = os.environ.get("RELAY_FAULTS") == "all"
STRIDE = 1 if ALL else choose(97, 29)


def filled(directory):
    """Make a QUEUE_DIR with the queues of two workers, small and large messages in both; return their ids."""
    ids = set()
    for number in (1, 2):
        home = Home(worker_home(directory, number))
        ids.update(home.added("bob@b.test", large=large).id for large in (False, True, True))
        home.queue.close()
    return ids


def read(directory):
    """Return the ids of all messages whose bodies are whole."""
    queue = open_queue(directory, run=run_inline, now=NOW)
    try:
        claims = []
        queue.claim(NOW + 1, 100, 1.0).addCallback(claims.extend)
        return {claim.id for claim in claims if len(b"".join(claim.body.chunks())) == claim.body.size}
    finally:
        queue.close()


@pytest.mark.parametrize("seed", [None, 1, 2] if ALL else [1])
def test_wherever_a_merge_of_queues_is_cut_the_next_start_has_all_mail(disk, seed):
    for number in range(1, 2000, STRIDE):
        directory = disk.mount / f"queue-{number}"
        ids = filled(directory)
        disk.fail("any", number, name="*[!m]", lasting=True)
        with suppress(QueueError):
            merge(directory, 1, NOW)
        gc.collect()
        over = disk.seen().get("any", 0) < number
        disk.cut()
        disk.on(seed)
        merge(directory, 1, NOW)
        assert read(directory) == ids, number
        if over:
            break
