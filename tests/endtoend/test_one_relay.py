"""Several workers are one relay in each way in which an operator looks: command, API, page and tail agree."""

import json
import re
import urllib.request

import pytest

from harness.processes import free_port
from harness.sink_rules import Rule
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.test_tail import tailing
from tests.endtoend.world import TO

MESSAGES = 24


@pytest.mark.parametrize("workers", ["2", "4"])
def test_command_api_page_and_tail_show_the_mail_of_all_workers(world, workers):
    port = free_port()
    settings = {"RETRY_SCHEDULE": "F,1h,30m", "WORKERS": workers, "ADMIN_LISTEN": f"127.0.0.1:{port}"}
    relay = world.relay(world.sink(Rule("RCPT", "451 4.3.0 come back")), **settings)
    relay.wait_for_events("started")

    def fetched(path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.read().decode()

    def found(*conditions):
        return {entry["id"] for entry in json.loads(relay.tool("queue", "find", "--json", *conditions).stdout)}

    with tailing(relay, "--json") as tail:
        clients = [relay.client() for _ in range(MESSAGES)]
        for number, client in enumerate(clients):
            client.sendmail("app@sender.test", [TO], mail(str(number)))
            client.quit()
        accepted = set()
        while len(accepted) < MESSAGES:
            event = json.loads(tail.stdout.readline())
            if event["event"] == "accepted":
                accepted.add(event["id"])
    relay.wait_for_events("deferred", MESSAGES)
    listed = set(re.findall(r'href="/messages/(\w{13})"', fetched("/messages?status=waiting")))
    assert accepted == found() == listed
    answered = json.loads(fetched(f"/api/v1/messages?status=waiting&limit={MESSAGES}"))
    assert accepted == {entry["id"] for entry in answered["messages"]}
    assert f"{workers} workers" in fetched("/")
    assert re.search(rf'id="figure-waiting">{MESSAGES}<', fetched("/"))
    held = sorted(accepted)[: MESSAGES // 2]
    assert relay.tool("queue", "hold", *held).returncode == 0
    listed = set(re.findall(r'href="/messages/(\w{13})"', fetched("/messages?status=held")))
    assert set(held) == found("--status", "held") == listed
    assert f"not tried: {len(held)} held messages" in relay.tool("queue", "retry", "--all").stderr
    until(lambda: len(relay.events("deferred")) == 2 * MESSAGES - len(held), what="the second attempts")
