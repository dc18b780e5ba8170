"""The traffic of the last day, as a real relay keeps it: with workers too, and over a stop and a kill."""

import os
import time

import pytest

from harness.waiting import until
from mta.admin.traffic import FILE_NAME, Traffic
from tests.endtoend.mails import mail
from tests.endtoend.world import TO


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_traffic_of_all_workers_is_kept_over_a_stop_and_a_kill(world, workers):
    relay = world.relay(world.sink(), WORKERS=workers)
    for number in range(6):
        relay.submit(mail(f"{number}"), TO)
    relay.wait_until_empty()
    relay.stop()
    relay.start()
    traffic = Traffic(relay.queue_dir, time.time)

    def counts() -> tuple[int, int]:
        minutes = traffic.since(0.0)
        return sum(each.accepted for each in minutes), sum(each.delivered for each in minutes)

    until(lambda: counts() == (6, 6), what="the mail of before the stop")
    relay.submit(mail("more"), TO)
    relay.wait_until_empty()
    relay.kill()
    relay.start()
    until(lambda: counts() == (7, 7), what="the mail of before the kill")
    assert os.stat(relay.queue_dir / FILE_NAME).st_mode & 0o777 == 0o600
    assert relay.events("trouble") == []
