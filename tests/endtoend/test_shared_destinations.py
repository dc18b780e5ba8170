"""Relays with one queue keep the limits of a destination together."""

import threading

from harness.sink_rules import Rule
from harness.waiting import until
from tests.endtoend.shared_relays import SharedRelays, copies, submit, tokens
from tests.endtoend.world import World
from tests.length import choose

# The back-off's first step, which is as long as the first interval of the schedule.
STEP = 3.0
# Seconds from a relay's start until the others know it, and it has its share.
KNOWN = 8.0


def started(relays: SharedRelays, number: int) -> None:
    """Start relays, and wait until each has its share of the connections."""
    ready = (
        "SELECT count(*), coalesce(max(started) + %s * interval '1 s' < clock_timestamp(), false) FROM node"
        " WHERE NOT fenced"
    )
    until(lambda: relays.rows(ready, KNOWN) == [(number, True)], what=f"{number} relays that know each other")


def test_q10_a_dead_destination_is_probed_by_one_relay_at_a_time(world: World, url: str):
    mails = tokens("m", choose(90, 10_000))
    sink = world.sink(Rule("CONNECT", None))
    relays = SharedRelays(world, sink, url)
    schedule = {"RETRY_SCHEDULE": f"F,20m,{STEP:.0f}s"}
    all_relays = [relays.relay(f"mx{number}", **schedule) for number in (1, 2, 3)]
    started(relays, 3)
    for relay, some in zip(all_relays, (mails[::3], mails[1::3], mails[2::3]), strict=True):
        submit(relay, some)
    failed = "SELECT count(*) FROM destination WHERE penalty > 0"
    until(lambda: relays.rows(failed) == [(1,)], what="news of the dead destination")
    clock = "SELECT extract(epoch FROM clock_timestamp())::float8"
    # Until then each relay may have found out by itself.
    news = relays.rows(clock)[0][0] + 2 * STEP
    until(lambda: relays.rows(clock)[0][0] >= news, what="the next looks of all relays")
    before, ((began,),) = sink.connections, relays.rows(clock)
    probes = choose(3, 10)
    until(lambda: sink.connections - before >= probes, what=f"{probes} probes")
    seconds = relays.rows(clock)[0][0] - began
    assert seconds >= (probes - 1) * STEP * 0.9, f"{probes} probes within {seconds} s"
    sink.rules.clear()
    relays.wait_until_empty()
    assert copies(sink) == dict.fromkeys(mails, 1)
    until(lambda: relays.rows(failed) == [(0,)], what="news of the end of the trouble")
    relays.assert_ledger_adds_up(len(mails))


def test_q10_a_living_destination_never_has_more_connections_than_from_one_relay(world: World, url: str):
    hold = threading.Event()
    sink = world.sink()
    relays = SharedRelays(world, sink, url)
    all_relays = [relays.relay(f"mx{number}") for number in (1, 2, 3)]
    started(relays, 3)
    most = 0
    stop = threading.Event()

    def watch() -> None:
        nonlocal most
        while not stop.wait(0.001):
            most = max(most, len(sink.open_connections))

    watcher = threading.Thread(target=watch)
    watcher.start()
    # The windows grow with each success.
    warming = tokens("w", choose(300, 3000))
    for number, relay in enumerate(all_relays):
        submit(relay, warming[number::3])
    relays.wait_until_empty()
    sink.rules.append(Rule(".", "250 2.0.0 Ok", hold=hold))
    crowd = tokens("c", 120)
    for number, relay in enumerate(all_relays):
        submit(relay, crowd[number::3])
    until(lambda: sink.waiting >= 15, what="as many connections as are allowed")
    hold.set()
    relays.wait_until_empty()
    stop.set()
    watcher.join()
    assert 15 <= most <= 20
    assert copies(sink) == dict.fromkeys([*warming, *crowd], 1)
