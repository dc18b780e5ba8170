"""Questions on a connection that was lost since the last one, as in a failover."""

from harness.cutting_proxy import CuttingProxy
from mta.blocking import run_inline
from mta.queue.postgres.operators_queue import OperatorsQueue
from mta.queue.postgres.url import read_server
from tests.queue.postgres.cluster import shared_cluster
from tests.queue.postgres.nodes import create_schema
from tests.queue.postgres.test_crash import now


def test_a_question_is_asked_again_on_a_new_connection(database_url: str):
    create_schema(database_url)
    with CuttingProxy(shared_cluster().socket) as proxy:
        queue = OperatorsQueue(read_server(proxy.url(read_server(database_url).database)), run_inline)
        for _ in range(2):
            assert now(queue.summary()).messages == 0
            proxy.cut_all()
        now(queue.close())
