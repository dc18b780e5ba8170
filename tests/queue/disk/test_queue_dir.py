"""Homes, their creation and their locks."""

import fcntl
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mta.blocking import run_inline
from mta.queue.disk.queue_dir import RELAY_LOCK, Lock, homes, lock_relay, prepare, worker_home, worker_numbers
from mta.queue.interface import QueueError
from mta.queue.sqlite.queue import open_queue
from tests.queue.messages import NOW


def test_a_new_directory_is_closed_to_others(tmp_path):
    home = tmp_path / "spool" / "smtprelay"
    prepare(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "bodies").stat().st_mode) == 0o700


def test_a_second_daemon_is_refused_by_the_pid_of_the_first(tmp_path):
    lock = Lock(tmp_path)
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    with pytest.raises(QueueError, match=rf"process {os.getpid()}\) uses"):
        Lock(tmp_path)
    lock.release()
    Lock(tmp_path).release()


def test_the_lock_ends_with_the_process_that_had_it(tmp_path):
    lock = "from mta.queue.disk.queue_dir import Lock; Lock(pathlib.Path(sys.argv[1]))"
    take = f"import os, pathlib, sys; {lock}; os._exit(9)"
    subprocess.run([sys.executable, "-c", take, tmp_path], cwd=Path(__file__).parents[3], check=False)
    assert (tmp_path / "lock").read_text().strip()
    Lock(tmp_path).release()


def test_the_lock_of_a_process_that_still_ends_is_waited_for(tmp_path):
    lock = Lock(tmp_path)
    end = threading.Timer(0.1, lock.release)
    end.start()
    Lock(tmp_path, patience=20).release()
    end.join()


def test_patience_ends_in_the_same_refusal(tmp_path):
    lock = Lock(tmp_path)
    with pytest.raises(QueueError, match=rf"process {os.getpid()}\) uses"):
        Lock(tmp_path, patience=0.1)
    lock.release()


def test_a_lock_whose_name_went_while_it_was_waited_for_is_taken_anew(tmp_path, monkeypatch):
    """The home is merged and made anew between the opening of the name and the locking of what it named."""
    flock = fcntl.flock

    def too_late(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        (tmp_path / "lock").unlink()
        others.append(Lock(tmp_path))
        flock(descriptor, how)

    others: list[Lock] = []
    monkeypatch.setattr(fcntl, "flock", too_late)
    with pytest.raises(QueueError, match="uses"):
        Lock(tmp_path)
    others.pop().release()
    Lock(tmp_path).release()


def test_the_relay_and_its_first_worker_have_locks_of_their_own(tmp_path):
    home = tmp_path / "spool"
    relay = lock_relay(home)
    open_queue(home, run=run_inline, now=NOW).close()
    with pytest.raises(QueueError, match=rf"another smtprelay \(process {os.getpid()}\) uses {home}"):
        lock_relay(home)
    relay.release()
    assert RELAY_LOCK in os.listdir(home)


def test_the_first_worker_lives_in_the_queue_directory_itself(tmp_path):
    assert worker_home(tmp_path, 1) == tmp_path
    assert worker_home(tmp_path, 2) == tmp_path / "worker-2"


def test_homes_come_in_the_order_of_their_numbers_and_hold_a_queue(tmp_path):
    for name in ("worker-10", "worker-2", "worker-3", "worker-02", "worker-1", "worker-0", "worker-x", "worker-4.old"):
        prepare(tmp_path / name)
        if name != "worker-3":
            (tmp_path / name / "queue.sqlite").touch()
    (tmp_path / "worker-5").touch()
    assert homes(tmp_path) == [tmp_path, tmp_path / "worker-2", tmp_path / "worker-10"]
    assert worker_numbers(tmp_path) == [2, 3, 10]


def test_homes_of_a_directory_that_is_not_there_are_refused(tmp_path):
    with pytest.raises(QueueError, match="cannot be used"):
        homes(tmp_path / "none")


def test_a_queue_that_could_not_be_opened_leaves_the_lock_free(tmp_path):
    (tmp_path / "queue.sqlite").write_bytes(b"nonsense")
    with pytest.raises(QueueError, match="is not a queue file"):
        open_queue(tmp_path, run=run_inline, now=NOW)
    Lock(tmp_path).release()


def test_a_place_that_cannot_be_a_directory_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(QueueError, match="set QUEUE_DIR to a directory"):
        prepare(tmp_path / "file")
    with pytest.raises(QueueError, match="Not a directory"):
        prepare(tmp_path / "file" / "below")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_write_permission_is_refused(tmp_path):
    prepare(tmp_path)
    tmp_path.chmod(0o500)
    with pytest.raises(QueueError, match="Permission denied"):
        open_queue(tmp_path, run=run_inline, now=NOW)
    tmp_path.chmod(0o700)


def test_a_reader_creates_no_directory(tmp_path):
    with pytest.raises(QueueError, match="no queue directory"):
        open_queue(tmp_path / "none", run=run_inline, now=NOW, create=False, recover=False)
    assert not (tmp_path / "none").exists()
