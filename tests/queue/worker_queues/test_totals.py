"""The sum of the counts of all queues in QUEUE_DIR."""

import pytest

from mta.blocking import run_inline
from mta.queue.disk.queue_dir import FILE_NAME, prepare, worker_home
from mta.queue.interface import Ledger, QueueError
from mta.queue.sqlite.queue import open_queue
from mta.queue.worker_queues.totals import totals
from tests.queue.messages import NOW, mail


def test_the_counts_of_all_homes_are_added(tmp_path):
    prepare(tmp_path)
    assert totals(tmp_path) == Ledger()
    for number, mails in ((1, 2), (3, 1)):
        queue = open_queue(worker_home(tmp_path, number), run=run_inline, now=NOW)
        for _ in range(mails):
            queue.add(mail("a@example.test", "b@example.test"), NOW)
        queue.close()
    worker_home(tmp_path, 4).mkdir()
    assert totals(tmp_path) == Ledger(accepted=6)


def test_a_file_that_is_no_queue_is_an_error_for_the_operator(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b"something else" * 100)
    with pytest.raises(QueueError, match="damaged"):
        totals(tmp_path)
