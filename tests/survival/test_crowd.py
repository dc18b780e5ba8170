"""Clients are served beside any others: the real daemon amid crowds, floods, deaf clients and without descriptors."""

import signal
import socket
import ssl
import threading

import pytest

from bench.processes import resident_mb
from harness.certificates import authority
from harness.crowd import STRANGER, Deaf, Flood, Rest, Silent, connect, descriptors, descriptors_used_up
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.test_kill import Load, tokens
from tests.endtoend.world import TO, received
from tests.length import choose

#: Connections of a crowd.
CROWD = choose(300, 2000)
LARGE = (b"x" * 70 + b"\r\n") * 5000


def submit(relay, count=20):
    for number in range(count):
        relay.submit(mail(f"{number}"), TO)


def no_fault(relay):
    assert relay.events("fault") == []
    assert "Traceback" not in relay.child.text


def test_thousands_of_connections_of_one_own_address_are_let_in_and_others_are_served_meanwhile(world):
    sink = world.sink()
    with descriptors(5000):
        relay = world.relay(sink)
        with Silent(relay.port, CROWD) as crowd:
            assert crowd.said == {b"220 relay": CROWD}
            submit(relay)
            received(sink, 20)
    no_fault(relay)


def test_thousands_of_connections_of_a_stranger_are_fifty_and_the_others_hear_why(world):
    sink = world.sink()
    with descriptors(5000):
        relay = world.relay(sink)
        with Silent(relay.port, CROWD, STRANGER) as crowd:
            assert crowd.said == {b"220 relay": 50, b"421 4.7.0": CROWD - 50}
            submit(relay)
            received(sink, 20)
        assert relay.stop() == 0
    told = relay.events("turned-away")
    assert {event["client"] for event in told} == {STRANGER}
    # One line at once and one that counts the others, in each minute.
    assert sum(event.get("more", 1) for event in told) == CROWD - 50
    assert len(told) < 10
    no_fault(relay)


def test_clients_beyond_half_of_the_open_files_hear_421_and_there_is_room_when_some_go(world):
    sink = world.sink()
    relay = world.stopped_relay(sink)
    relay.child.command[:0] = ["prlimit", "--nofile=256:256"]
    relay.start()
    with Silent(relay.port, 200) as crowd:
        assert crowd.said == {b"220 relay": 128, b"421 4.3.2": 72}
    until(lambda: Silent(relay.port, 1).said == {b"220 relay": 1}, what="room for a client")
    submit(relay)
    received(sink, 20)
    assert "only 128 clients" in relay.child.text
    assert len(relay.events("turned-away")) == 1


def test_a_flood_of_connections_costs_a_few_lines_and_others_are_served_meanwhile(world):
    sink = world.sink()
    relay = world.relay(sink)
    with (
        Silent(relay.port, 50, STRANGER),
        Flood(relay.port, STRANGER) as refused,
        Flood(relay.port, "127.0.0.1") as own,
    ):
        submit(relay, 100)
        received(sink, 100)
        until(lambda: refused.count > 1000 and own.count > 1000, what="a flood")
    submit(relay)
    received(sink, 120)
    lines = [line for line in relay.child.text.splitlines() if "accepted" not in line and "delivered" not in line]
    assert len(lines) < 50
    no_fault(relay)


@pytest.mark.parametrize("tls", [False, True], ids=["in clear", "under TLS"])
def test_clients_that_never_read_are_no_longer_read_from_and_take_little_memory(world, tmp_path, tls):
    root = authority()
    certificate, key = root.leaf(["relay.example.test"]).write(tmp_path)
    sink = world.sink()
    relay = world.relay(sink, CERTIFICATE_PATH=str(certificate), KEY_PATH=str(key))
    submit(relay)
    clients = [asking(relay.port, root if tls else None) for _ in range(2)]
    before = resident_mb(relay.child.pid)
    with Deaf(clients, b"RCPT TO:<nobody@localhost>\r\n") as deaf:
        while deaf.ask():
            pass
        submit(relay)
        received(sink, 40)
        assert resident_mb(relay.child.pid) - before < 20
        until(Rest(relay.child.pid).come, what="a relay that rests")
    no_fault(relay)


def test_a_crowd_of_messages_half_sent_takes_no_more_memory_than_it_may_and_each_can_be_ended(world):
    sink = world.sink()
    relay = world.relay(sink)
    submit(relay)
    before = resident_mb(relay.child.pid)
    crowd = [begin_a_message(relay.port) for _ in range(choose(300, 500))]
    for client in crowd:
        client.sendall((b"x" * 70 + b"\r\n") * 3400)
    # Each has 245 kB on its way.
    until(lambda: unread(relay) == 0, what="the relay to read it all")
    assert resident_mb(relay.child.pid) - before < 64 * 1.05 + 15
    # The first lie in memory, the last in files.
    ended = [*crowd[:10], *crowd[-10:]]
    for client in ended:
        client.sendall(b".\r\n")
    for client in ended:
        assert client.recv(512).startswith(b"250")
    for client in crowd:
        client.close()
    received(sink, 40)
    until(lambda: not list(relay.queue_dir.glob("bodies/*")), what="the files of those that hung up to go")
    no_fault(relay)


def unread(relay):
    """Return how many octets of all connections with the relay are on their way."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        queues = [line.split()[4] for line in table if f":{relay.port:04X} " in line]
    return sum(int(queue, 16) for pair in queues for queue in pair.split(":"))


def asking(port, root):
    """Return a client that has said who its mail is from."""
    client = connect(port)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    assert client.recv(512).startswith(b"220")
    dialogue(client, b"EHLO client.test\r\n")
    if root is not None:
        dialogue(client, b"STARTTLS\r\n")
        context = ssl.create_default_context(cadata=root.certificate_pem.decode())
        client = context.wrap_socket(client, server_hostname="relay.example.test", suppress_ragged_eofs=True)
        dialogue(client, b"EHLO client.test\r\n")
    assert dialogue(client, b"MAIL FROM:<a@sender.test>\r\n").startswith(b"250")
    return client


def dialogue(client, line):
    client.sendall(line)
    while not (said := client.recv(4096)).endswith(b"\r\n"):
        pass
    return said


def test_half_closed_clients_are_closed_after_their_commands_are_answered(world):
    sink = world.sink()
    relay = world.relay(sink)
    with connect(relay.port) as client:
        client.sendall(b"")
        assert client.recv(512).startswith(b"220")
        client.sendall(b"EHLO client.test\r\nMAIL FROM:<a@sender.test>\r\nRCPT TO:<%s>\r\nDATA\r\n" % TO.encode())
        until(lambda: b"354" in client.recv(4096), what="354")
        client.sendall(mail("half") + b".\r\n")
        client.shutdown(socket.SHUT_WR)
        received(sink)
        while client.recv(4096):
            pass
    no_fault(relay)


def test_without_descriptors_new_clients_get_421_and_running_sessions_go_on(world):
    world.dns.mail_host("elsewhere.test", "127.0.0.6")
    sink = world.sink()
    elsewhere = world.sink(address="127.0.0.6", port=sink.port)
    relay = world.relay(sink)
    with relay.client() as client:
        client.sendmail("a@sender.test", [TO], mail("before"))
        received(sink)
        with descriptors_used_up(relay.child.pid):
            # Storing needs no descriptor, and neither does sending over an open connection.
            client.sendmail("a@sender.test", [TO], mail("small"))
            client.sendmail("a@sender.test", ["someone@elsewhere.test"], mail("to a new host"))
            client.ehlo()
            client.mail("a@sender.test")
            client.rcpt(TO)
            assert client.data(mail("large", LARGE))[0] == 451
            for _ in range(100):
                with connect(relay.port) as turned_away:
                    assert turned_away.recv(512).startswith(b"421 4.3.2")
            received(sink, 2)
            relay.wait_for_events("deferred")
            until(Rest(relay.child.pid).come, what="a relay that rests")
        received(elsewhere)
        client.sendmail("a@sender.test", [TO], mail("large", LARGE))
    submit(relay, 1)
    received(sink, 4)
    words = [event["text"] for event in relay.events("trouble") if "clients are turned away" in event["text"]]
    assert len(words) == 1
    assert len(relay.events("turned-away")) == 1
    no_fault(relay)


@pytest.mark.parametrize(("workers", "again"), [("1", signal.SIGTERM), ("2", signal.SIGINT)])
def test_a_stop_in_the_middle_of_load_loses_no_mail_and_ends_within_its_grace(world, workers, again):
    sink = world.sink()
    relay = world.relay(sink, WORKERS=workers)
    relay.wait_for_events("started")
    with Load(relay, sink) as load:
        load.up.set()
        until(lambda: len(load.accepted) > 100, what="accepted messages")
        slow = begin_a_message(relay.port)
        relay.child.process.send_signal(signal.SIGTERM)
        relay.wait_for_events("stopping")
        relay.child.process.send_signal(again)
        # A new client gets a temporary reply, and a client in the middle of a message may finish it.
        until(lambda: greeting(relay.port).startswith(b"421 4.3.2"), what="421 for a newcomer")
        slow.sendall(b"the end\r\n.\r\n")
        said = everything(slow)
        assert relay.child.wait() == 0
        load.up.clear()
        load.over.set()
    assert [line[:3] for line in said.splitlines()] == [b"250", b"421"]
    no_fault(relay)
    assert relay.events("trouble") == []
    accepted = load.accepted | {"slow"}
    in_queue = {entry["sender"].partition("@")[0] for entry in relay.queue()}
    assert accepted - set(tokens(sink)) - in_queue == set()
    relay.start()
    relay.wait_until_empty()
    assert accepted - set(tokens(sink)) == set()
    assert sink.faults == []


def begin_a_message(port):
    """Return a client whose message is half sent."""
    client = connect(port)
    assert client.recv(512).startswith(b"220")
    for line, code in (
        ("EHLO client.test", b"250"),
        ("MAIL FROM:<slow@sender.test>", b"250"),
        (f"RCPT TO:<{TO}>", b"250"),
    ):
        assert dialogue(client, line.encode() + b"\r\n").startswith(code)
    assert dialogue(client, b"DATA\r\n").startswith(b"354")
    client.sendall(mail("slow"))
    return client


def greeting(port):
    try:
        with connect(port) as client:
            return client.recv(512)
    except OSError:
        return b""


def everything(client):
    """Return all that a client hears until the connection ends."""
    said = b""
    with client:
        while more := client.recv(4096):
            said += more
    return said


def test_deliveries_under_way_have_their_grace_and_a_silent_host_does_not_prolong_it(world):
    silent = socket.create_server(("127.0.0.1", 0), backlog=100)
    relay = world.relay(type("Out", (), {"port": silent.getsockname()[1]}))
    submit(relay, 5)
    talking, _ = silent.accept()
    idle = connect(relay.port)
    threading.Thread(target=everything, args=(idle,)).start()
    # An end of its own, without SIGKILL: it waits for no answer that a host may take minutes for.
    assert relay.stop() == 0
    assert len(relay.queue()) == 5
    talking.close()
    silent.close()
