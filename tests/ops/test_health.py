import os
import sqlite3
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from mta.ops.cli import main
from mta.ops.health import UnhealthyError, accepts, can_be_written, check
from mta.queue.interface import QueueError, QueueFull
from mta.queue.runner import run_inline
from mta.queue.sqlite import FILE_NAME, open_queue
from tests.fakes.processes import free_port
from tests.fakes.received import Rule
from tests.fakes.sink import Sink

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


def test_a_port_where_nobody_listens_is_unhealthy(queue):
    done = run(queue, free_port())
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1
    assert "smtprelay: unhealthy: no answer on 127.0.0.1 port" in done.stderr


def test_a_wrong_setting_is_told_in_one_line(queue):
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


def test_a_relay_that_says_nothing_is_unhealthy_when_patience_ends():
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


def test_a_missing_queue_is_unhealthy_and_none_is_made(tmp_path):
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
