"""A search beside a relay at work that has a long history. `bench.search_bench` measures it."""

import json
import time

from harness.history.million import fill
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.world import received
from tests.length import choose


def test_mail_of_the_last_hour_is_found_in_a_long_history_while_more_arrives(world):
    world.dns.mail_host("dest.test")
    relay = world.stopped_relay(sink := world.sink(), HISTORY_DAYS="30")
    fill(relay.queue_dir, choose(30_000, 1_000_000), 7, time.time())
    relay.start()
    for number in range(20):
        relay.submit(mail(str(number)), [f"someone@{'dest.test' if number % 2 else 'example.test'}"])
    received(sink, 20)
    wanted = {f"{number}@sender.test" for number in range(1, 20, 2)}

    def found(*words):
        done = relay.tool("queue", "find", "--json", "--status", "delivered", *words)
        assert done.returncode == 0, done.stderr
        return {entry["message_id"] for entry in json.loads(done.stdout)}

    until(lambda: found("--to", "*@dest.test", "--since", "1h") == wanted, what="all deliveries in the history")
    assert relay.events("fault") == []
    assert relay.tool("queue", "find", "--count", "--to", "*@dest.test").stdout == "10\n"
    # Of the mail of seven days to 500 domains, this is a day's to one of them.
    day = choose(30_000, 1_000_000) / 7 / 500
    assert 0.9 * day < len(found("--to", "*@dest7.test", "--since", "1d", "--limit", "1000")) < 1.1 * day
