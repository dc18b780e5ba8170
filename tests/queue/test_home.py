import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mta.queue.home import Lock, prepare
from mta.queue.interface import QueueError
from mta.queue.runner import run_inline
from mta.queue.sqlite import open_queue
from tests.queue.contract import NOW


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
    take = "import os, pathlib, sys; from mta.queue.home import Lock; Lock(pathlib.Path(sys.argv[1])); os._exit(9)"
    subprocess.run([sys.executable, "-c", take, tmp_path], cwd=Path(__file__).parents[2], check=False)
    assert (tmp_path / "lock").read_text().strip()
    Lock(tmp_path).release()


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


def test_who_only_looks_makes_no_directory(tmp_path):
    with pytest.raises(QueueError, match="no queue directory"):
        open_queue(tmp_path / "none", run=run_inline, now=NOW, create=False, recover=False)
    assert not (tmp_path / "none").exists()
