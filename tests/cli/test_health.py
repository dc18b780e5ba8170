"""`smtprelay health` against servers and queues in each state."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from harness.processes import free_port
from harness.sink import Sink
from harness.sink_rules import Rule
from harness.waiting import until
from mta.blocking import run_inline
from mta.cli.health import UnhealthyError, accepts, all_can_be_written, can_be_written, check
from mta.cli.main import main
from mta.queue.disk.queue_dir import FILE_NAME
from mta.queue.interface import QueueError, QueueFull
from mta.queue.sqlite.queue import open_queue

SOON = 0.3


@pytest.fixture
def queue(tmp_path):
    """Return the directory of a queue that a daemon has open."""
    opened = open_queue(tmp_path, run=run_inline, now=1e9)
    yield tmp_path
    opened.close()


def log_of(queue: Path) -> Path:
    return queue / f"{FILE_NAME}-wal"


def run(queue: Path, port: int, **more: str):
    settings = {"QUEUE_DIR": str(queue), "PORT": str(port), "BIND_IP": "127.0.0.1", **more}
    return CliRunner().invoke(main, ["health"], env=settings)


def test_a_relay_that_greets_and_writes_is_healthy(queue):
    with Sink() as sink:
        done = run(queue, sink.port)
    assert (done.exit_code, done.output) == (0, "")


def test_a_relay_on_any_address_is_asked_on_loopback(queue):
    with Sink() as sink:
        assert run(queue, sink.port, BIND_IP="0.0.0.0").exit_code == 0


def test_mistakes_in_other_settings_are_not_our_business(queue):
    with Sink() as sink:
        check({"QUEUE_DIR": str(queue), "PORT": str(sink.port), "MESSAGE_SIZE_LIMIT": "huge"})


def test_a_closed_port_is_unhealthy(queue):
    done = run(queue, free_port())
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1
    assert "smtprelay: unhealthy: no answer on 127.0.0.1 port" in done.stderr


def test_a_wrong_setting_is_reported_in_one_line(queue):
    done = run(queue, 0, BIND_IP="nonsense")
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1
    assert "BIND_IP" in done.stderr


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            Rule("CONNECT", "421 4.3.2 too many connections"),
            "the greeting is '421 4.3.2 too many connections', not 220",
        ),
        (Rule("EHLO", "421 4.3.2 stopping"), "the reply to EHLO is '421 4.3.2 stopping', not 250"),
        (Rule("EHLO", None), "the reply to EHLO is 'nothing', not 250"),
    ],
)
def test_a_relay_that_turns_clients_away_is_unhealthy_in_its_own_words(rule, said):
    with Sink([rule]) as sink, pytest.raises(UnhealthyError) as caught:
        accepts("127.0.0.1", sink.port)
    assert str(caught.value) == said


def test_a_silent_relay_is_unhealthy_after_the_timeout():
    silence = threading.Event()
    with Sink([Rule("CONNECT", "220 late", hold=silence)]) as sink, pytest.raises(UnhealthyError, match="timed out"):
        accepts("127.0.0.1", sink.port, SOON)
    silence.set()


def test_the_probe_ends_its_session_as_a_client_should():
    with Sink() as sink:
        accepts("127.0.0.1", sink.port)
        assert (sink.connections, sink.faults) == (1, [])


def test_the_probe_writes_and_syncs_without_changing_anything(queue):
    def rows():
        with sqlite3.connect(queue / FILE_NAME) as connection:
            return list(connection.iterdump())

    before, size = rows(), log_of(queue).stat().st_size
    can_be_written(queue)
    assert log_of(queue).stat().st_size > size
    assert rows() == before


def test_a_missing_queue_is_unhealthy_and_is_not_created(tmp_path):
    with pytest.raises(QueueError, match="cannot be read or written"):
        can_be_written(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_queue_is_unhealthy(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b"no queue" * 1000)
    with pytest.raises(QueueError, match="damaged"):
        can_be_written(tmp_path)


@pytest.fixture
def locked(queue):
    """Return the directory of a queue in which a transaction does not end."""
    connection = sqlite3.connect(queue / FILE_NAME, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield queue
    connection.close()


def test_a_queue_where_a_transaction_hangs_is_unhealthy(locked):
    with pytest.raises(QueueError, match="locked"):
        can_be_written(locked, SOON)


def test_a_queue_that_is_written_without_a_gap_is_healthy(locked):
    writer = threading.Timer(SOON / 3, os.utime, [log_of(locked)])
    writer.start()
    can_be_written(locked, SOON)
    writer.join()


def test_a_full_disk_is_unhealthy(queue, monkeypatch):
    full = SimpleNamespace(f_bavail=1000, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    with pytest.raises(QueueFull, match="only 3 MiB free"):
        can_be_written(queue)


@pytest.fixture
def workers(queue):
    """Return QUEUE_DIR of a relay with three workers."""
    others = [open_queue(queue / f"worker-{number}", run=run_inline, now=1e9) for number in (2, 3)]
    yield queue
    for opened in others:
        opened.close()


def test_every_workers_queue_is_written(workers):
    logs = [log_of(home) for home in (workers, workers / "worker-2", workers / "worker-3")]
    before = [log.stat().st_size for log in logs]
    with Sink() as sink:
        assert run(workers, sink.port).exit_code == 0
    assert all(log.stat().st_size > size for log, size in zip(logs, before, strict=True))


def test_a_worker_whose_queue_cannot_be_written_is_named(workers):
    (workers / "worker-3" / FILE_NAME).write_bytes(b"no queue" * 1000)
    log_of(workers / "worker-3").unlink()
    with Sink() as sink:
        done = run(workers, sink.port)
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"smtprelay: unhealthy: in {workers}/worker-3: the queue file is damaged")


@contextmanager
def transactions(homes: list[Path]) -> Iterator[None]:
    """Begin a transaction in the queue of each home and do not end it."""
    connections = [sqlite3.connect(home / FILE_NAME, isolation_level=None) for home in homes]
    for connection in connections:
        connection.execute("BEGIN IMMEDIATE")
    yield
    for connection in connections:
        connection.close()


def times_open(home: Path) -> int:
    """Return how many descriptors we have of a home's queue file."""
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found += os.readlink(f"/proc/self/fd/{descriptor}") == str(home / FILE_NAME)
    return found


def test_only_the_worker_that_hangs_is_named(workers):
    with transactions([workers / "worker-2"]), pytest.raises(QueueError) as caught:
        all_can_be_written(workers, SOON)
    assert str(caught.value).startswith(f"in {workers}/worker-2: the queue file is locked")
    assert "worker-3" not in str(caught.value)


def test_workers_that_write_without_a_gap_are_asked_at_the_same_time(workers):
    # Each write is seen only by a probe that runs already.
    homes = [workers / "worker-2", workers / "worker-3"]
    with transactions(homes):
        idle = [times_open(home) for home in homes]

        def write() -> None:
            until(lambda: all(times_open(home) > before for home, before in zip(homes, idle, strict=True)))
            for home in homes:
                os.utime(log_of(home))

        writer = threading.Thread(target=write)
        writer.start()
        all_can_be_written(workers, 5 * SOON)
        writer.join()


def test_a_worker_that_has_not_begun_is_no_trouble_unless_it_is_the_first(workers):
    (workers / "worker-4").mkdir()
    all_can_be_written(workers)
    (workers / FILE_NAME).unlink()
    with pytest.raises(QueueError, match=f"in {workers}: the queue file cannot be read or written"):
        all_can_be_written(workers)
