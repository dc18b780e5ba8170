"""Rules about how mail is carried, in the running relay: rates, connections, and the relay's names and addresses."""

import os
import signal
import time
from collections import Counter

import pytest

from harness.sink import Sink
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received

#: The seconds of a rate's span: a test sees several, and a busy machine restarts a relay or sends ten messages in one.
SPAN = 5


class Timed(Sink):
    """Notes when each message came, and how many connections were open at most."""

    def __post_init__(self):
        super().__post_init__()
        self.times = []
        self.most_open = 0
        self.peers = set()

    def rule_for(self, verb, argument):
        with self.lock:
            self.most_open = max(self.most_open, len(self.open_connections))
            self.peers |= {connection.getpeername()[0] for connection in self.open_connections}
            if verb == ".":
                self.times.append(time.monotonic())
        return super().rule_for(verb, argument)


@pytest.fixture
def sink(world):
    return world._stack.enter_context(Timed([]))


@pytest.fixture
def relay_with(world, tmp_path, sink):
    """Return a function that makes a relay that has these rules."""

    def relay_with(rules, **settings):
        directory = tmp_path / "rules.d"
        directory.mkdir()
        (directory / "30-pace.toml").write_text(rules)
        return world.stopped_relay(sink, RULES_DIR=str(directory), **{"RETRY_SCHEDULE": "F,1h,15m", **settings})

    return relay_with


def submit(relay, count, to=TO):
    with relay.client() as client:
        for number in range(count):
            client.sendmail("sender@sender.test", to, mail(str(number)))


def most_within(times, seconds):
    """Return the largest number of these times in any span of so many seconds."""
    return max(sum(first <= at < first + seconds for at in times) for first in times)


def assert_not_tried_in_vain(relay, count):
    relay.wait_until_empty()
    assert len(relay.wait_for_events("delivered", count)) == count
    for event in ("deferred", "failed", "reported", "destination-throttled"):
        assert relay.events(event) == []


@pytest.mark.parametrize("workers", ["1", "4"])
def test_a_rate_is_never_exceeded_and_waiting_for_it_is_no_attempt(relay_with, sink, workers):
    with relay_with(f'[[transport]]\nrate = "10 messages / {SPAN} seconds"\n', WORKERS=workers) as relay:
        submit(relay, 25)
        received(sink, 25)
        assert_not_tried_in_vain(relay, 25)
    assert most_within(sink.times, SPAN) == 10


@pytest.mark.parametrize(("end", "workers"), [("stop", "1"), ("kill", "1"), ("kill", "2")])
def test_a_restart_gives_no_second_allowance(relay_with, sink, end, workers):
    relay = relay_with(f'[[transport]]\nrate = "10 messages / {SPAN} seconds"\n', WORKERS=workers)
    with relay:
        submit(relay, 15)
        received(sink, 7)
        getattr(relay, end)()
        relay.start()
        received(sink, 15)
        relay.wait_until_empty()
    assert most_within(sink.times, SPAN) <= 10


@pytest.mark.parametrize("workers", ["1", "2"])
def test_changed_rules_that_leave_a_rate_as_it_was_give_no_second_allowance(relay_with, tmp_path, sink, workers):
    rule = f'[[transport]]\nrate = "5 messages / {SPAN} seconds"\n'
    with relay_with(rule, WORKERS=workers) as relay:
        submit(relay, 5)
        received(sink, 5)
        (tmp_path / "rules.d" / "30-pace.toml").write_text(f"# The rule moves to another line.\n\n{rule}")
        (tmp_path / "rules.d" / "40-more.toml").write_text("[[transport]]\nconnections = 3\n")
        os.kill(relay.child.pid, signal.SIGHUP)
        relay.wait_for_events("rules")
        submit(relay, 7)
        received(sink, 12)
        assert_not_tried_in_vain(relay, 12)
    assert most_within(sink.times, SPAN) == 5


def test_the_rate_of_a_rule_is_that_of_all_its_mail_and_other_mail_is_free(relay_with, world, sink):
    for domain in ("a.test", "b.test", "c.test"):
        world.dns.mail_host(domain)
    rules = f'[[transport]]\nrecipient = ["a.test", "b.test"]\nrate = "4 messages / {SPAN} seconds"\n'
    with relay_with(rules) as relay:
        for domain in ("a.test", "b.test", "c.test"):
            submit(relay, 3, f"bob@{domain}")
        received(sink, 9)
        assert_not_tried_in_vain(relay, 9)
    limited = [at for at, to in zip(sink.times, sink.messages, strict=True) if "c.test" not in to.recipients[0]]
    assert most_within(limited, SPAN) == 4
    assert sink.times[6] - sink.times[0] < SPAN


def test_domains_with_the_same_host_have_a_rate_each_if_rules_tell_them_apart(relay_with, world, sink):
    world.dns.add({"mx.both.test": {"A": ["127.0.0.1"]}})
    world.dns.add({domain: {"MX": [[1, "mx.both.test"]]} for domain in ("a.test", "b.test")})
    rules = "".join(
        f'[[transport]]\nrecipient = "{domain}"\nrate_each = "2 messages / {SPAN} seconds"\n'
        for domain in ("a.test", "b.test")
    )
    with relay_with(rules) as relay:
        for domain in ("a.test", "b.test"):
            submit(relay, 3, f"bob@{domain}")
        received(sink, 4)
        assert sorted(each.recipients[0] for each in sink.messages[:4]) == ["bob@a.test"] * 2 + ["bob@b.test"] * 2
        received(sink, 6)
        assert_not_tried_in_vain(relay, 6)
    assert sink.times[4] - sink.times[0] > SPAN


@pytest.mark.parametrize("workers", ["1", "2"])
def test_one_connection_of_three_messages_is_all_that_the_host_sees(relay_with, sink, workers):
    rules = "[[transport]]\nconnections = 1\nmessages_per_connection = 3\n"
    with relay_with(rules, WORKERS=workers) as relay:
        submit(relay, 20)
        until(lambda: len(sink.messages) == 20 or relay.events("deferred"))
        assert_not_tried_in_vain(relay, 20)
    assert sink.most_open == 1
    carried = Counter(message.connection for message in sink.messages)
    assert max(carried.values()) == 3


def test_the_name_and_the_address_of_a_rule_are_seen_by_the_host(relay_with, sink):
    with relay_with('[[transport]]\nhelo = "out.example.test"\nsource = "127.0.0.3"\n') as relay:
        submit(relay, 1)
        received(sink, 1)
        assert_not_tried_in_vain(relay, 1)
    assert (sink.messages[0].helo, sink.peers) == ("out.example.test", {"127.0.0.3"})


def test_a_source_that_is_not_ours_is_told_with_its_rule_and_the_mail_waits(relay_with, sink):
    with relay_with('[[transport]]\nsource = "192.0.2.77"\n') as relay:
        submit(relay, 1)
        (deferred,) = relay.wait_for_events("deferred")
        lines = [event["text"] for event in relay.wait_for_events("trouble")]
        relay.wait_for_messages(1)
    words = "cannot send from 192.0.2.77, which is not an address of this host: correct source in "
    assert deferred["reply"].startswith(words)
    assert len(lines) == 1
    assert lines[0].startswith(words)
    assert "30-pace.toml:1" in lines[0]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_message_that_waits_for_a_rate_says_so(relay_with, sink, workers):
    with relay_with('[[transport]]\nrate = "1 message/day"\n', WORKERS=workers) as relay:
        submit(relay, 3)
        received(sink, 1)
        relay.wait_for_messages(2)
        for entry in relay.queue():
            until(lambda shown=entry["id"]: "state: waits for" in relay.tool("queue", "show", shown).stdout)
            shown = relay.tool("queue", "show", entry["id"]).stdout
            assert "state: waits for the rate of 30-pace.toml:1\n" in shown
            assert entry["recipients"][0]["attempts"] == 0
