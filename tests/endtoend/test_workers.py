"""WORKERS=2: two processes that an operator sees as one relay, also after the end of one of them or their parent."""

import os
import signal
import sqlite3
import threading
from collections import Counter

import pytest

from harness.certificates import self_signed
from harness.processes import greets
from harness.sink_rules import Rule
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.test_kill import Load, tokens
from tests.endtoend.world import TO, received
from tests.programs.open_python import NOBODY, with_open_python

SLOW = Rule("RCPT", "451 4.3.0 come back")


def gone(pid):
    """Whether a process has ended, even if its status was not read yet."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def waiting(home):
    """Return how many messages wait in the queue of one worker."""
    connection = sqlite3.connect(f"file:{home}/queue.sqlite?mode=ro", uri=True)
    try:
        return connection.execute("SELECT count(*) FROM message WHERE finished IS NULL").fetchone()[0]
    finally:
        connection.close()


def two_workers(world, out, **settings):
    """Return a relay both of whose workers listen."""
    relay = world.relay(out, WORKERS="2", **settings)
    relay.wait_for_events("started")
    return relay


def submit_at_once(relay, number):
    """Have so many clients connect before the first of them sends, and have each send one message."""
    clients = [relay.client() for _ in range(number)]
    for count, client in enumerate(clients):
        client.sendmail(f"{count}@sender.test", [TO], mail(f"{count}"))
    for client in clients:
        client.quit()


def test_both_workers_take_mail_and_deliver_it_and_the_log_is_that_of_one_relay(world):
    sink = world.sink()
    relay = two_workers(world, sink)
    submit_at_once(relay, 40)
    received(sink, 40)
    assert sorted(tokens(sink)) == sorted(str(number) for number in range(40))
    assert len(relay.wait_for_events("delivered", 40)) == 40
    assert len(relay.events("listening")) == 1
    assert [event["waiting"] for event in relay.events("started")] == [0]
    assert relay.stop() == 0
    assert len(relay.events("stopped")) == 1
    assert relay.events("trouble") == []
    assert relay.events("fault") == []
    assert all(line.startswith("{") and line.endswith("}") for line in relay.child.text.splitlines())


def test_each_worker_has_a_process_group_in_the_session_of_the_parent(world):
    relay = two_workers(world, world.sink())
    parent = relay.child.pid
    workers = [*relay.workers().values()]
    assert len(workers) == 2
    assert [os.getpgid(worker) for worker in workers] == workers
    assert {os.getsid(worker) for worker in workers} == {os.getsid(parent)}


def test_each_worker_has_a_queue_and_the_next_start_counts_them_together(world):
    relay = two_workers(world, world.sink(SLOW), RETRY_SCHEDULE="F,1h,30m")
    submit_at_once(relay, 40)
    relay.wait_for_events("deferred", 40)
    homes = [relay.queue_dir, relay.queue_dir / "worker-2"]
    assert sum(map(waiting, homes)) == 40
    assert all(map(waiting, homes))
    relay.wait_for_messages(40)
    assert relay.stop() == 0
    relay.start()
    assert [event["waiting"] for event in relay.wait_for_events("started", 2)] == [0, 40]


def test_with_fewer_workers_the_queue_that_is_left_over_is_merged_and_its_mail_delivered(world):
    relay = two_workers(world, world.sink(SLOW), RETRY_SCHEDULE="F,1h,30m")
    submit_at_once(relay, 40)
    relay.wait_for_events("deferred", 40)
    relay.stop()
    sink = world.sink()
    relay.environment |= {"WORKERS": "1", "SMTPPORTOUT": str(sink.port)}
    relay.start()
    received(sink, 40)
    relay.wait_until_empty()
    assert not (relay.queue_dir / "worker-2").exists()
    assert relay.wait_for_events("started", 2)[1]["waiting"] == 40


def test_a_worker_killed_under_load_starts_again_and_no_accepted_mail_is_lost(world):
    sink = world.sink()
    relay = two_workers(world, sink)
    with Load(relay, sink) as load:
        load.up.set()
        for count, number in enumerate([2, 1, 2], 1):
            begun = len(load.accepted)
            until(lambda begun=begun: len(load.accepted) > begun + 20, what="accepted messages")
            old = until(lambda number=number: relay.workers().get(number), what=f"worker {number}")
            os.kill(old, signal.SIGKILL)
            relay.wait_for_events("trouble", count)
            until(lambda old=old, number=number: relay.workers().get(number, old) != old, what="the next process")
    relay.wait_until_empty()
    assert load.accepted - set(tokens(sink)) == set()
    assert sink.faults == []
    texts = [event["text"] for event in relay.events("trouble")]
    assert all("was killed by SIGKILL" in text and "it starts again" in text for text in texts)
    assert relay.events("fault") == []
    assert relay.stop() == 0


def test_the_workers_end_with_their_parent_and_the_next_start_takes_over(world):
    sink = world.sink()
    relay = two_workers(world, sink)
    with Load(relay, sink) as load:
        for count in range(2, 5):
            relay.wait_for_events("started", count - 1)
            load.up.set()
            begun = len(load.accepted)
            until(lambda begun=begun: len(load.accepted) > begun + 20, what="accepted messages")
            workers = relay.workers()
            assert sorted(workers) == [1, 2]
            load.up.clear()
            relay.kill()
            # At once: the workers may still hold the port and their queues.
            relay.start()
            relay.wait_for_events("started", count)
            # They give up their queues a moment before they end.
            until(lambda workers=workers: all(map(gone, workers.values())), what="the end of the workers")
    relay.wait_until_empty()
    arrived = Counter(tokens(sink))
    assert load.accepted - set(arrived) == set()
    assert relay.events("fault") == []


def test_a_stop_under_load_ends_with_status_0_and_loses_no_mail(world):
    sink = world.sink()
    relay = two_workers(world, sink)
    with Load(relay, sink) as load:
        load.up.set()
        until(lambda: len(load.accepted) > 50, what="accepted messages")
        workers = relay.workers()
        status = relay.stop()
        load.up.clear()
        assert status == 0
        assert all(map(gone, workers.values()))
        relay.start()
    relay.wait_until_empty()
    assert load.accepted - set(tokens(sink)) == set()
    assert relay.events("trouble") == []
    assert relay.events("fault") == []


def test_a_queue_that_cannot_be_opened_ends_the_start_with_one_line(world):
    relay = two_workers(world, world.sink())
    assert relay.stop() == 0
    relay.child.output.write_text("")
    (relay.queue_dir / "worker-2" / "queue.sqlite").write_bytes(b"\xff" * 8192)
    words = relay.start_and_fail()
    assert relay.child.wait() == 1
    assert len([line for line in words.splitlines() if line.startswith("smtprelay: ")]) == 1
    assert "queue.sqlite" in words
    assert "Traceback" not in words
    assert relay.events("started") == []


def test_a_second_relay_on_the_same_directory_is_refused_with_any_number_of_workers(world):
    relay = two_workers(world, world.sink())
    for workers in ("1", "3"):
        second = world.stopped_relay(world.sink(), WORKERS=workers, QUEUE_DIR=str(relay.queue_dir), PORT="0")
        words = second.start_and_fail()
        assert str(relay.queue_dir) in words
    assert greets(relay.port)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives privileges up")
def test_workers_run_as_the_user_that_the_parent_became_and_serve_a_certificate_only_root_can_read(world, home):
    prefix = with_open_python()
    if prefix is None:
        pytest.skip("nobody but root may run this Python")
    tls = home / "tls"
    tls.mkdir(0o700)
    certificate, key = self_signed(["relay.example.test"]).write(tls)
    key.chmod(0o600)
    queue = home / "queue"
    relay = world.stopped_relay(
        world.sink(), WORKERS="2", CERTIFICATE_PATH=str(certificate), KEY_PATH=str(key), QUEUE_DIR=str(queue)
    )
    queue.mkdir(0o700)
    os.chown(queue, NOBODY, NOBODY)
    relay.child.command[1:1] = [f"--uid={NOBODY}", f"--gid={NOBODY}"]
    relay.child.command[:0] = prefix
    relay.start()
    # A worker that is killed before it listens would end the start.
    relay.wait_for_events("started")
    workers = relay.workers()
    assert sorted(workers) == [1, 2]
    for pid in workers.values():
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            lines = dict(line.split(":", 1) for line in file)
        assert lines["Uid"].split() == [str(NOBODY)] * 4
    os.kill(workers[2], signal.SIGKILL)
    until(lambda: relay.workers().get(2, workers[2]) != workers[2], what="the next process")
    for _ in range(6):
        with relay.client() as client:
            client.starttls()
            assert client.ehlo()[0] == 250
    assert relay.stop() == 0


def test_lines_of_both_workers_come_out_whole_when_much_is_logged_at_a_time(world):
    sink = world.sink()
    relay = two_workers(world, sink)
    threads = [threading.Thread(target=submit_at_once, args=(relay, 10)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    relay.wait_for_events("delivered", 60)
    assert relay.stop() == 0
    lines = relay.child.text.splitlines()
    assert all(line.startswith("{") and line.endswith("}") for line in lines)
