"""`smtprelay tail` beside the real daemon."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from harness.daemon import Daemon, program
from harness.sink_rules import Rule
from harness.waiting import PATIENCE
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received

LATER = "F,1h,30m"


@contextmanager
def tailing(relay: Daemon, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """Follow the events of a relay; yields when nothing is missed any more."""
    command = [program("smtprelay"), "tail", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=relay.environment, stdout=pipe, stderr=pipe, text=True) as child:
        try:
            assert child.stderr is not None
            line = child.stderr.readline()
            assert line == "smtprelay: following; Ctrl-C ends this\n", line
            yield child
        finally:
            child.kill()


def waiting_message(world, reply="451 4.3.0 come back", **settings):
    """Return a relay, its sink, and the id of a message that waits for half an hour."""
    sink = world.sink(Rule("RCPT", reply, times=1))
    relay = world.relay(sink, RETRY_SCHEDULE=LATER, **settings)
    relay.submit(mail(), TO)
    (deferred,) = relay.wait_for_events("deferred")
    return relay, sink, deferred["id"]


def test_the_end_of_a_message_is_the_end_of_its_tail(world):
    relay, sink, id = waiting_message(world)
    with tailing(relay, id) as tail:
        assert relay.tool("queue", "retry", id).returncode == 0
        shown, complaints = tail.communicate(timeout=PATIENCE)
        assert (tail.returncode, complaints) == (0, "")
    received(sink)
    amended, delivered = shown.splitlines()
    assert amended.split(" ", 1)[1] == f"amended change=retry by=root ids={id}"
    assert delivered.split(" ", 1)[1].startswith(f"delivered id={id} to=<{TO}> host=")
    again = relay.tool("tail", id)
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr.endswith(f"{id} has its end already: smtprelay queue show {id}\n")


def test_ctrl_c_and_a_reader_that_leaves_end_a_tail_without_a_word(world):
    relay, _, id = waiting_message(world)
    with tailing(relay) as tail:
        tail.send_signal(signal.SIGINT)
        assert (*tail.communicate(timeout=PATIENCE), tail.returncode) == ("", "", 130)
    with tailing(relay) as tail:
        tail.stdout.close()
        tail.stdout = None
        assert relay.tool("queue", "retry", id).returncode == 0
        assert (tail.communicate(timeout=PATIENCE)[1], tail.returncode) == ("", 1)


def test_all_recipients_must_have_the_message(world):
    sink = world.sink(Rule("RCPT", "451 4.3.0 come back", times=2))
    relay = world.relay(sink, RETRY_SCHEDULE=LATER)
    relay.submit(mail(), [TO, "two@example.test"])
    id = relay.wait_for_events("deferred", 2)[0]["id"]
    with tailing(relay, id) as tail:
        assert relay.tool("queue", "retry", id).returncode == 0
        shown, _ = tail.communicate(timeout=PATIENCE)
        assert tail.returncode == 0
    assert [line.split()[1] for line in shown.splitlines()] == ["amended", "delivered", "delivered"]


def test_a_failure_is_the_end_with_status_1(world):
    relay, _, id = waiting_message(world, WORKERS="2")
    with tailing(relay, "--json", "--id", id) as tail:
        assert relay.tool("queue", "bounce", id).returncode == 0
        shown, _ = tail.communicate(timeout=PATIENCE)
        assert tail.returncode == 1
    events = [json.loads(line) for line in shown.splitlines()]
    failed = next(each for each in events if each["event"] == "failed")
    assert (failed["id"], failed["to"], failed["level"]) == (id, f"<{TO}>", "warning")


def test_events_come_by_conditions_until_the_relay_stops(world):
    sink = world.sink()
    relay = world.relay(sink)
    with tailing(relay, "--to", "two@*") as tail:
        relay.submit(mail("1"), TO)
        relay.submit(mail("2"), "two@example.test")
        received(sink, 2)
        assert tail.stdout.readline().split()[1] == "delivered"
        assert relay.stop() == 0
        shown, complaints = tail.communicate(timeout=PATIENCE)
    assert shown == ""
    assert (tail.returncode, complaints) == (2, "smtprelay: the relay tells no more events, because it stops\n")


def test_without_a_relay_or_a_message_it_is_one_line(world):
    sink = world.sink()
    relay = world.relay(sink)
    none = relay.tool("tail", "0000000000001")
    assert (none.returncode, none.stdout) == (1, "")
    assert none.stderr.endswith("smtprelay: no message 0000000000001 is in the queue or its history\n")
    assert relay.stop() == 0
    stopped = relay.tool("tail")
    assert stopped.returncode == 1
    assert stopped.stderr == f"smtprelay: no relay is running at {relay.queue_dir / 'control'}\n"
    assert os.listdir(relay.queue_dir)
