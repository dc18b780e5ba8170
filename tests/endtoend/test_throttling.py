"""Servers that ask for less, end to end: real sockets, real time, and no attempt that counts."""

import threading
import time

from harness.sink import Sink
from harness.sink_rules import Rule
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received

OFFERS = ("PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES")


class Slow(Sink):
    """Takes five messages in any second."""

    def rule_for(self, verb, argument):
        if verb != ".":
            return super().rule_for(verb, argument)
        with self.lock:
            now = time.monotonic()
            self.__dict__.setdefault("times", [])
            self.times = [each for each in self.times if each > now - 1]
            if len(self.times) >= 5:
                return Rule(".", "454 Throttling failure: Maximum sending rate exceeded.")
            self.times.append(now)
        return None


class Few(Sink):
    """Takes three transactions at a time."""

    def rule_for(self, verb, argument):
        if verb == "MAIL":
            with self.lock:
                self.__dict__.setdefault("running", set())
                if len(self.running) >= 3:
                    return Rule("MAIL", "432 4.3.2 Concurrent connections limit exceeded.")
                self.running.add(threading.get_ident())
        elif verb == "DATA":
            # A transaction takes a while, so that others come meanwhile.
            threading.Event().wait(0.05)
        elif verb == ".":
            with self.lock:
                self.running.discard(threading.get_ident())
        return None


def assert_throttled(world, sink, count):
    """Send so many messages at once and assert that all arrive without a failed attempt."""
    # A message that is put off waits longer than this test.
    relay = world.relay(sink, RETRY_SCHEDULE="F,1h,15m")
    with relay.client() as client:
        for number in range(count):
            client.sendmail("sender@sender.test", [TO], mail(str(number)))
    received(sink, count)
    relay.wait_until_empty()
    assert len(sink.messages) == count
    assert relay.events("deferred") == []
    assert relay.events("reported") == []
    assert len(relay.events("destination-throttled")) == 1
    return relay


def test_five_messages_a_second_are_found_and_kept_to(world):
    sink = world._stack.enter_context(Slow([], extensions=OFFERS))
    relay = assert_throttled(world, sink, 30)
    assert "454 Throttling failure" in relay.events("destination-throttled")[0]["reply"]


def test_three_transactions_at_a_time_are_found_and_kept_to(world):
    assert_throttled(world, world._stack.enter_context(Few([], extensions=OFFERS)), 40)


def test_two_workers_share_the_pace(world):
    sink = world._stack.enter_context(Slow([], extensions=OFFERS))
    relay = world.stopped_relay(sink, RETRY_SCHEDULE="F,1h,15m", WORKERS="2")
    with relay:
        for number in range(20):
            relay.submit(mail(str(number)), TO)
        received(sink, 20)
        assert relay.events("deferred") == []
    assert len(sink.messages) == 20
