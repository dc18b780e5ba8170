"""Large messages in a queue that relays share."""

import hashlib
from collections.abc import Iterator

import pytest

from harness.cutting_proxy import CuttingProxy, Moment
from harness.sink_rules import Rule
from harness.waiting import until
from mta.queue.postgres.membership.chores import sweep
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, World, received
from tests.length import choose
from tests.queue.postgres.cluster import shared_cluster

MIB = choose(5, 50)
LARGE = mail("large", b"".join(b"%077d\r\n" % number for number in range(MIB * 13_107)))


@pytest.fixture
def database() -> Iterator[str]:
    with shared_cluster().temporary() as name:
        yield name


def count(database: str, table: str) -> int:
    ((number,),) = shared_cluster().execute(f"SELECT count(*) FROM smtprelay.{table}", database=database)
    return number


def test_a_message_of_50_mib_arrives_by_another_relay_than_the_one_that_took_it(world: World, database: str) -> None:
    url = shared_cluster().url(database)
    settings = {"QUEUE_URL": url, "MESSAGE_SIZE_LIMIT": "60M", "RETRY_SCHEDULE": "F,10m,1h"}
    left = world.relay(world.sink(Rule("RCPT", reply="451 4.3.0 busy")), **settings)
    left.submit(LARGE, TO)
    left.wait_for_events("deferred")
    left.kill()
    assert count(database, "chunk") > 3 * MIB
    sink = world.sink()
    right = world.other_relay(sink, "right", **settings)
    assert right.tool("queue", "retry", "--all", "--yes").returncode == 0
    (message,) = received(sink)
    assert hashlib.sha256(message.content[-len(LARGE) :]).digest() == hashlib.sha256(LARGE).digest()
    right.wait_for_events("delivered")
    assert [count(database, table) for table in ("message", "chunk", "history")] == [0, 0, 1]
    assert list((right.queue_dir / "arriving").iterdir()) == []


def test_the_chunks_of_a_message_whose_relay_is_killed_before_its_250_are_swept(world: World, database: str) -> None:
    server = shared_cluster()
    with CuttingProxy(server.socket) as proxy:
        relay = world.relay(world.sink(), QUEUE_URL=proxy.url(database), MESSAGE_SIZE_LIMIT="60M")
        # No statement that adds a message reaches the database.
        proxy.decide = lambda text: Moment.BEFORE if "INTO message" in text and count(database, "chunk") else None
        with relay.client() as client:
            client.ehlo()
            client.mail("sender@sender.test")
            client.rcpt(TO)
            client.putcmd("data")
            client.getreply()
            client.sock.sendall(LARGE + b".\r\n")
            until(lambda: proxy.cuts, what="the statement that adds the message")
            relay.kill()
    session = DatabaseSession(read_server(server.url(database)).connection_parameters(), changes=False)
    try:
        sweep(session)
        assert count(database, "chunk") > 3 * MIB
        session.rows("UPDATE node SET fenced = true, alive_until = clock_timestamp() - interval '1 h' WHERE id > 0")
        sweep(session)
    finally:
        session.close()
    assert [count(database, table) for table in ("message", "chunk", "history")] == [0, 0, 0]
