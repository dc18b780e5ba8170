"""The threads of a relay's queue."""

import gc

from mta.daemon.queues.choosing import SHARED_THREADS
from mta.queue.postgres.session import DatabaseSession
from tests.queue.postgres.cluster import shared_cluster
from tests.queue.postgres.nodes import create_schema, running_node


def test_a_relay_with_a_shared_queue_has_a_thread_for_each_connection():
    # Otherwise no sign of life would be given while all others wait for the database.
    with shared_cluster().temporary() as name:
        url = shared_cluster().url(name)
        create_schema(url)
        with running_node(url):
            gc.collect()
            sessions = [each for each in gc.get_objects() if type(each) is DatabaseSession]
            assert sum(name in str(each._parameters) for each in sessions) == SHARED_THREADS
