"""The readings of the counts: at the start, after each minute, and when the queue cannot be read."""

from functools import partial

from twisted.internet.task import Clock

from mta.admin.traffic import Traffic
from mta.blocking import run_inline
from mta.daemon.parts.traffic import TrafficService
from mta.queue.disk.queue_dir import FILE_NAME, prepare
from mta.queue.sqlite.queue import open_queue
from mta.queue.worker_queues.totals import totals
from tests.queue.messages import NOW, mail


class Relay:
    """The service over a queue in a directory; its clock begins at NOW, 20 seconds after a minute began."""

    def __init__(self, directory) -> None:
        self.directory = directory
        prepare(directory)
        self.clock = Clock()
        self.troubles: list[str] = []
        self.service = self.restarted()

    def now(self) -> float:
        return NOW + self.clock.seconds()

    def restarted(self) -> TrafficService:
        service = TrafficService(
            self.directory,
            partial(totals, self.directory),
            run=run_inline,
            clock=self.clock,
            trouble=self.troubles.append,
            wall_clock=self.now,
        )
        service.startService()
        return service

    def minutes(self) -> list[tuple[float, int]]:
        return [(each.time - NOW, each.accepted) for each in Traffic(self.directory, self.now).since(0.0)]


def test_the_mail_of_each_minute_counts(tmp_path):
    relay = Relay(tmp_path)
    queue = open_queue(tmp_path, run=run_inline, now=NOW)
    queue.add(mail("a@example.test", "b@example.test"), NOW)
    relay.clock.advance(41)
    assert relay.minutes() == [(-20, 2)]
    relay.clock.pump([30, 30])
    queue.add(mail(), NOW)
    relay.clock.pump([60, 60])
    assert relay.minutes() == [(-20, 2), (100, 1)]
    relay.service.stopService()
    assert relay.clock.getDelayedCalls() == []
    queue.close()


def test_a_start_counts_the_mail_since_the_last_reading(tmp_path):
    relay = Relay(tmp_path)
    relay.service.stopService()
    queue = open_queue(tmp_path, run=run_inline, now=NOW)
    queue.add(mail(), NOW)
    relay.clock.advance(300)
    relay.restarted()
    assert [accepted for _, accepted in relay.minutes()] == [1]
    queue.close()


def test_trouble_is_told_once_and_not_for_a_queue_that_is_just_made(tmp_path):
    relay = Relay(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(b"something else" * 100)
    relay.clock.advance(41)
    assert relay.troubles == []
    for _ in range(5):
        relay.clock.advance(60)
    assert len(relay.troubles) == 1
    assert "the counts of mail a minute cannot be kept in QUEUE_DIR" in relay.troubles[0]
    (tmp_path / FILE_NAME).unlink()
    relay.clock.advance(60)
    (tmp_path / "traffic").unlink()
    (tmp_path / "traffic").mkdir()
    for _ in range(3):
        relay.clock.advance(60)
    assert len(relay.troubles) == 2
