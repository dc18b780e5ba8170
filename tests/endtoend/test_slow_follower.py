"""A program that follows the events and does not read: it misses some and is told how many, and mail flows on."""

import json
import socket
from typing import Any

import pytest

from harness.waiting import until
from mta.admin.feed import LOST, MAX_WAITING
from mta.admin.socket_path import SOCKET_NAME
from tests.endtoend.mails import mail
from tests.endtoend.world import TO
from tests.length import choose

REQUEST = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"


def events_of(chunked: bytes) -> list[dict[str, Any]]:
    """Return the events in an HTTP/1.1 answer that is not complete yet."""
    rest, body = chunked.partition(b"\r\n\r\n")[2], b""
    while b"\r\n" in rest:
        size, _, rest = rest.partition(b"\r\n")
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return [json.loads(line) for line in body.split(b"\n")[:-1] if line]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_follower_that_does_not_read_is_told_how_many_events_it_missed(world, workers):
    number = choose(1500, 10_000)
    relay = world.relay(sink := world.sink(), WORKERS=workers)
    relay.wait_for_events("started")
    with socket.socket(socket.AF_UNIX) as follower:
        follower.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        follower.connect(str(relay.queue_dir / SOCKET_NAME))
        follower.sendall(REQUEST)
        answer = follower.recv(1000)
        with relay.client() as client:
            for each in range(number):
                client.sendmail("sender@sender.test", TO, mail(f"{each}"))
        until(lambda: len(sink.messages) == number, what="the mail")
        relay.wait_for_events("delivered", number)
        follower.settimeout(60.0)
        # Each event arrives or is counted.
        while sum(event.get("events", 1) for event in events_of(answer)) < 2 * number:
            more = follower.recv(1 << 20)
            assert more, "the relay ends the answer"
            answer += more
    events = events_of(answer)
    assert sum(event["events"] for event in events if event["event"] == LOST) > 0
    assert len(events) >= MAX_WAITING
    names = [event["id"] for event in events if event["event"] == "accepted"]
    assert len(set(names)) == len(names)
    assert relay.events("fault") == []
