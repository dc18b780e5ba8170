"""Orders for a queue that relays share, from a machine on which no relay runs."""

import json
import os
import subprocess
import threading
from typing import Any

from harness.daemon import program
from harness.sink_rules import Rule
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, World, received


class Commands:
    """The commands of a machine that has the URL of the queue, and nothing else."""

    def __init__(self, url: str) -> None:
        self.environ = {"PATH": os.environ["PATH"], "QUEUE_URL": url, "QUEUE_DIR": "/nonexistent"}

    def run(self, *words: str) -> str:
        command = [program("smtprelay"), "queue", *words]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))

    @property
    def ledger(self) -> dict[str, int]:
        return self.json("summary")["ledger"]


def test_q11_commands_on_another_machine_list_show_and_change_mail(world: World, url: str):
    busy = world.sink(Rule("RCPT", "451 4.3.0 busy", times=1))
    relay = world.relay(busy, QUEUE_URL=url, NODE_NAME="mx1", RETRY_SCHEDULE="F,10m,5m")
    commands = Commands(url)
    relay.submit(mail("first"), TO)
    relay.wait_for_events("deferred")
    ((id,),) = [[each["id"] for each in commands.json("list")]]
    assert "451 4.3.0 busy" in commands.run("show", id)
    assert [each["name"] for each in commands.json("nodes")] == ["mx1"]
    commands.run("hold", id)
    assert commands.json("summary")["held"] == 1
    commands.run("release", id)
    assert busy.messages == []
    commands.run("retry", id)
    received(busy, 1)
    until(lambda: commands.json("summary")["messages"] == 0, what="an empty queue")


def test_q11_a_message_that_is_removed_before_it_is_marked_is_not_sent(world: World, url: str):
    go_on = threading.Event()
    sink = world.sink(Rule("CONNECT", "220 sink.test ESMTP", times=1, hold=go_on))
    relay = world.relay(sink, QUEUE_URL=url, NODE_NAME="mx1")
    commands = Commands(url)
    relay.submit(mail("removed"), TO)
    until(lambda: sink.waiting == 1, what="a connection that waits for the greeting")
    (entry,) = commands.json("list")
    commands.run("remove", entry["id"])
    go_on.set()
    relay.submit(mail("kept"), TO)
    (message,) = received(sink, 1)
    assert b"kept" in message.content
    relay.wait_for_events("delivered")
    until(lambda: commands.json("summary")["messages"] == 0, what="the end of the removed message")
    assert len(sink.messages) == 1
    assert commands.json("show", entry["id"])["recipients"][0]["status"] == "removed"


def test_q11_one_that_is_removed_after_its_mark_may_arrive_and_stays_removed(world: World, url: str):
    go_on = threading.Event()
    sink = world.sink(Rule(".", "250 2.0.0 Ok", times=1, hold=go_on))
    relay = world.relay(sink, QUEUE_URL=url, NODE_NAME="mx1")
    commands = Commands(url)
    relay.submit(mail("removed"), TO)
    until(lambda: sink.waiting == 1, what="a message that waits for its answer")
    (entry,) = commands.json("list")
    commands.run("remove", entry["id"])
    go_on.set()
    received(sink, 1)
    assert commands.json("show", entry["id"])["recipients"][0]["status"] == "removed"
    assert (commands.ledger["delivered"], commands.ledger["removed"]) == (0, 1)
