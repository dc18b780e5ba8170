"""Relays that share a queue in PostgreSQL: mail goes out, others deliver what is left, and a database that is away."""

import smtplib
from collections.abc import Sequence

from harness.postgres import WITH_PASSWORD, Cluster
from harness.sink_rules import Rule
from harness.waiting import until
from mta.blocking import result_of, run_inline
from mta.queue.postgres.operator.overview import NodeState
from mta.queue.postgres.operators_queue import OperatorsQueue
from mta.queue.postgres.url import read_server
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, World, received
from tests.queue.postgres.cluster import shared_cluster

LARGE = mail("large", (b"x" * 78 + b"\r\n") * 8_000)


def nodes(url: str) -> Sequence[NodeState]:
    """Return the relays that share a queue."""
    queue = OperatorsQueue(read_server(url), run_inline)
    try:
        return result_of(queue.nodes())
    finally:
        queue.close()


def test_a_relay_takes_mail_and_delivers_it(world: World, url: str) -> None:
    sink = world.sink()
    relay = world.relay(sink, QUEUE_URL=url, NODE_NAME="left")
    (started,) = relay.wait_for_events("started")
    assert started["queue"].startswith("postgresql://relay@127.0.0.1:")
    relay.submit(mail(), [TO, "other@example.test"])
    relay.submit(LARGE, TO)
    messages = received(sink, 2)
    assert any(each.content.endswith(LARGE) for each in messages)
    relay.wait_for_events("delivered", 3)
    done = relay.tool("queue", "find", "--count", "--status", "delivered")
    assert (done.stdout, done.stderr) == ("2\n", "")
    assert [(each.name, each.alive) for each in nodes(url)] == [("left", True)]
    assert relay.tool("health").returncode == 0
    assert relay.stop() == 0
    assert nodes(url) == []
    assert not list(relay.queue_dir.glob("queue.sqlite*"))


def test_another_relay_delivers_the_mail_of_one_that_has_stopped(world: World, url: str) -> None:
    busy = world.sink(Rule("RCPT", reply="451 4.3.0 busy"))
    left = world.relay(busy, QUEUE_URL=url, NODE_NAME="left", RETRY_SCHEDULE="F,10m,1h")
    for number in range(5):
        left.submit(mail(str(number)), TO)
    left.wait_for_events("deferred", 5)
    assert left.stop() == 0
    sink = world.sink()
    right = world.other_relay(sink, "right", QUEUE_URL=url)
    done = right.tool("queue", "retry", "--all", "--yes")
    assert done.returncode == 0, done.stderr
    assert len(received(sink, 5)) == 5


def test_each_worker_is_a_relay_of_its_own(world: World, url: str) -> None:
    sink = world.sink(Rule("RCPT", reply="451 4.2.1 later", match="later@"))
    relay = world.relay(sink, QUEUE_URL=url, NODE_NAME="left", WORKERS="2")
    for number in range(10):
        relay.submit(mail(str(number)), TO)
    received(sink, 10)
    relay.wait_for_events("delivered", 10)
    until(lambda: sorted(each.name for each in nodes(url)) == ["left/1", "left/2"], what="both workers")
    assert relay.tool("queue", "find", "--count").stdout == "10\n"
    relay.submit(mail("later"), "later@example.test")
    relay.wait_for_events("deferred")
    held = relay.tool("queue", "hold", "--to", "later@example.test", "--yes")
    assert (held.returncode, held.stderr) == (0, "")
    assert len(relay.wait_for_events("amended")) == 1
    assert relay.stop() == 0
    assert nodes(url) == []


def refusal(relay_port: int) -> bytes:
    """Return the reply to MAIL FROM."""
    with smtplib.SMTP("127.0.0.1", relay_port, "client.test", timeout=30) as client:
        client.ehlo()
        code, text = client.mail("sender@sender.test")
    return b"%d %s" % (code, text)


def test_a_database_that_is_away_is_waited_for(world: World) -> None:
    shared_cluster()
    with Cluster() as server:
        url = server.url(server.database())
        sink = world.sink()
        relay = world.relay(sink, QUEUE_URL=url)
        server.stop()
        until(lambda: refusal(relay.port).startswith(b"451 4.3.0"), what="451 while the database is away")
        unhealthy = relay.tool("health")
        assert unhealthy.returncode == 1
        assert "no connection to the database" in unhealthy.stderr
        server.start()
        until(lambda: refusal(relay.port).startswith(b"250"), what="250 once the database is back")
        relay.submit(mail(), TO)
        received(sink)
        assert relay.stop() == 0


def test_the_password_is_shown_nowhere(world: World) -> None:
    server = shared_cluster()
    secret = world.secret("Gehe1m-of-the-database")
    database = server.database()
    server.execute(f"CREATE ROLE guarded LOGIN PASSWORD '{secret}' IN ROLE {WITH_PASSWORD}, relay")
    url = server.url(database, user="guarded")
    try:
        sink = world.sink()
        relay = world.stopped_relay(sink, QUEUE_URL=url, QUEUE_PASSWORD=secret, VERBOSE="true")
        with relay:
            relay.submit(mail(), TO)
            received(sink)
            shown = relay.tool("config", "show")
            assert secret not in shown.stdout + shown.stderr
        relay.environment["QUEUE_PASSWORD"] = world.secret("another-Gehe1mnis")
        told = relay.start_and_fail(1)
        assert "password authentication failed" in told.splitlines()[-1]
    finally:
        server.drop(database)
        server.execute("DROP ROLE guarded")
