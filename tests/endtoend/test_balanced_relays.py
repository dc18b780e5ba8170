"""Three relays that share a queue, behind HAProxy with the shipped configuration; one of them is killed."""

import re
import smtplib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.daemon import Daemon
from harness.processes import Child, find_program, free_port
from harness.waiting import PATIENCE, until
from mta.blocking import result_of, run_inline
from mta.queue.interface import Ledger
from mta.queue.postgres.operators_queue import OperatorsQueue
from mta.queue.postgres.url import read_server
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, World, received
from tests.programs import haproxy
from tests.programs.haproxy import BALANCER
from tests.queue.postgres.cluster import shared_cluster

SHIPPED = Path(__file__).parents[2] / "deploy" / "postgres" / "haproxy.cfg"
MESSAGES = 30

pytestmark = pytest.mark.skipif(haproxy.why_not() is not None, reason=str(haproxy.why_not()))


@contextmanager
def balancer(folder: Path, ports: Sequence[int]) -> Iterator[int]:
    """Run HAProxy with the shipped file, in which these relays take the place of Docker's; give its port."""
    text, front = SHIPPED.read_text(), free_port()
    (options,) = re.findall(r"server-template relay \d+ smtp:25 (.*) resolvers docker init-addr none\n", text)
    servers = "".join(
        f"  server relay{number} 127.0.0.1:{port} source {BALANCER} {options}\n" for number, port in enumerate(ports)
    )
    text = re.sub(r"  server-template .*\n", servers, text)
    text = re.sub(r"resolvers docker\n(?:  .*\n)*", "", text).replace("bind :25\n", f"bind 127.0.0.1:{front}\n")
    (folder / "haproxy.cfg").write_text(text)
    child = Child([str(find_program("haproxy")), "-db", "-f", str(folder / "haproxy.cfg")], folder / "haproxy.log")
    child.start()
    try:
        until(lambda: answers(front), what="HAProxy with a relay that answers")
        yield front
    finally:
        child.kill()


def answers(port: int) -> bool:
    """Whether a relay greets at this port."""
    try:
        with smtplib.SMTP("127.0.0.1", port, "client.test", timeout=5) as client:
            return client.noop()[0] == 250
    except (OSError, smtplib.SMTPException):
        return False


def send(port: int, number: int) -> bool:
    """Send a message through the balancer; return whether it was accepted."""
    try:
        with smtplib.SMTP("127.0.0.1", port, "client.test", timeout=PATIENCE) as client:
            client.sendmail("sender@sender.test", TO, mail(str(number)))
    except (TimeoutError, OSError, smtplib.SMTPException):
        return False
    return True


def books(url: str) -> Ledger:
    """Return the ledger of all relays, by a program that is none of them."""
    queue = OperatorsQueue(read_server(url), run_inline)
    try:
        return result_of(queue.summary()).ledger
    finally:
        queue.close()


@pytest.mark.long
def test_all_accepted_mail_arrives_though_a_relay_is_killed(world: World, tmp_path: Path) -> None:
    server = shared_cluster()
    database = server.database()
    url = server.url(database)
    sink = world.sink()
    relays: list[Daemon] = [
        world.other_relay(sink, name, QUEUE_URL=url, NODE_NAME=name, PROXY_NETWORKS=BALANCER)
        for name in ("one", "two", "three")
    ]
    with balancer(tmp_path, [relay.port for relay in relays]) as port:
        accepted = sum(send(port, number) for number in range(MESSAGES))
        assert accepted == MESSAGES
        assert all(relay.events("accepted") for relay in relays)
        relays[0].child.kill()
        accepted += sum(send(port, number) for number in range(MESSAGES, 2 * MESSAGES))
        assert accepted >= 2 * MESSAGES - 1, "the balancer goes on with the relays that answer"
    received(sink, accepted)
    until(lambda: books(url).waiting == 0, what="the end of all deliveries")
    assert books(url).missing == 0
    accepting = [event["client"] for relay in relays for event in relay.events("accepted")]
    assert set(accepting) == {"127.0.0.1"}, "the PROXY header names the client"
    listed = relays[1].tool("queue", "nodes")
    assert (listed.returncode, "two" in listed.stdout, "three" in listed.stdout) == (0, True, True)
    ((connections,),) = server.execute(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'")
    assert 0 < connections <= 2 * 10, "docs/postgres.md tells how many a relay has at the most"
    for relay in relays[1:]:
        assert relay.stop() == 0
    server.drop(database)
