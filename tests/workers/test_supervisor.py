"""The supervisor with fake processes: start, restart, watchdog and stop."""

import errno
import io
import os

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from mta.delivery.destinations.window import WindowLimits
from mta.workers import STOP_SECONDS
from mta.workers.process import OutputSinks
from mta.workers.supervisor import Supervisor, WorkersFailed

PATIENCE = 40.0


class Process:
    """A worker's process as the operating system would play it."""

    def __init__(self, worker, pid):
        self.worker = worker
        self.pid = pid
        self.signals = []
        self.channel = StringTransport()
        worker.makeConnection(self)
        worker.channel.makeConnection(self.channel)

    def signalProcess(self, name):  # noqa: N802  Twisted names it
        self.signals.append(name)

    def says(self, words):
        self.worker.channel.dataReceived(words + b"\n")

    def writes(self, descriptor, data):
        self.worker.childDataReceived(descriptor, data)

    def ends(self, status=0, signal=None):
        reason = ProcessTerminated(status, signal, None) if status or signal else ProcessDone(0)
        self.worker.processEnded(Failure(reason))

    @property
    def told(self):
        """What it was told over the channel since the last look."""
        words = self.channel.value().splitlines()
        self.channel.clear()
        return words


class Processes:
    """Starts them, in place of a Launch."""

    def __init__(self):
        self.started = []
        self.gone = []
        self.trouble = None

    def start(self, _reactor, worker):
        trouble, self.trouble = self.trouble, None
        if trouble is not None:
            raise trouble
        self.started.append(Process(worker, 4000 + len(self.started)))

    def ended(self, number):
        self.gone.append(number)


class SupervisorTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.processes = Processes()
        self.lines = []
        self.out = io.BytesIO()
        self.err = io.BytesIO()
        self.supervisor = Supervisor(
            self.clock,
            self.processes,
            2,
            limits=WindowLimits(),
            sinks=OutputSinks(self.out.write, self.err.write, self.lines.append),
            patience=PATIENCE,
            wall_clock=self.clock.seconds,
        )
        self.addCleanup(self.cancel_all)

    def cancel_all(self):
        for call in self.clock.getDelayedCalls():
            call.cancel()

    def begin(self):
        self.supervisor.startService()
        for process in self.processes.started:
            process.says(b'["ready",0]')
        self.successResultOf(self.supervisor.ready)
        return list(self.processes.started)

    def test_the_relay_is_ready_when_all_workers_are_with_the_sum_of_their_messages(self):
        self.supervisor.startService()
        one, two = self.processes.started
        one.says(b'["ready",5]')
        self.assertNoResult(self.supervisor.ready)
        two.says(b'["ready",7]')
        self.assertEqual(self.successResultOf(self.supervisor.ready), 12)

    def test_a_reload_is_passed_on_to_all_workers(self):
        for process in self.begin():
            self.supervisor.reload()
            self.assertEqual(process.told[-1], b'["reload"]')

    def test_a_verb_for_all_workers_reaches_one_that_does_not_listen_yet(self):
        processes = self.begin()
        self.supervisor.tell_all("rules")
        self.assertEqual([process.told[-1] for process in processes], [b'["rules"]'] * 2)

    def test_the_mail_that_a_worker_has_counted_is_told_to_the_others(self):
        one, two = self.begin()
        line = b'["counted","digest","app",2,3600,"messages",1]'
        one.says(line)
        self.assertEqual(one.told, [])
        self.assertEqual(two.told, [line])
        self.clock.advance(60)
        one.ends(signal=9)
        self.clock.advance(0)
        again = self.processes.started[-1]
        two.says(line)
        self.assertEqual(again.told, [], "it does not listen yet")
        again.says(b'["ready",0]')
        self.assertEqual(again.told, [b'["known","digest","app",2,3600,"messages",[[60.0,1],[0.0,1]]]'])

    def test_leave_to_send_by_a_rate_is_given_to_workers_in_turn_and_counts_for_one_that_was_killed(self):
        one, two = self.begin()
        for process in (one, two):
            process.says(b'["rate_ask","mx.test",["30-pace.toml:1\\t1 message/minute\\t"],1]')
        self.assertEqual([line.split(b",")[0] for line in one.told + two.told], [b'["rate_leave"', b'["rate_wait"'])
        one.ends(signal=9)
        for _ in range(59):
            self.clock.advance(1)
            two.says(b'["alive"]')
        self.assertEqual([line.split(b",")[0] for line in two.told], [b'["rate_wait"'])
        self.clock.advance(1)
        self.assertEqual([line.split(b",")[0] for line in two.told], [b'["rate_leave"'])

    def test_a_worker_that_is_killed_starts_again_at_once_and_one_line_says_so(self):
        one, _ = self.begin()
        self.clock.advance(30)
        one.ends(signal=9)
        self.clock.advance(0)
        self.assertEqual([process.worker.number for process in self.processes.started], [1, 2, 1])
        (line,) = self.lines
        self.assertIn("worker 1 (process 4000) was killed by SIGKILL after 30 s; it starts again at once", line)
        self.assertEqual(self.processes.gone, [1])

    def test_a_worker_that_ends_again_and_again_waits_longer_each_time(self):
        self.begin()
        for wait in (0, 1, 2, 4):
            before = len(self.processes.started)
            self.processes.started[-1].ends(status=1)
            if wait:
                self.clock.advance(wait - 0.5)
                self.assertEqual(len(self.processes.started), before)
            self.clock.advance(0.5)
            self.assertEqual(len(self.processes.started), before + 1)
        self.assertIn("ended with status 1 after 0 s; it starts again in 4 s", self.lines[-1])

    def test_the_error_of_a_failed_restart_is_forwarded(self):
        one, _ = self.begin()
        one.ends(signal=9)
        self.clock.advance(0)
        again = self.processes.started[-1]
        again.writes(2, b"smtprelay: the disk is gone\n")
        self.assertEqual(self.err.getvalue(), b"")
        again.ends(status=1)
        self.assertEqual(self.err.getvalue(), b"smtprelay: the disk is gone\n")

    def test_a_worker_that_cannot_begin_ends_the_start_with_its_words_and_status_once_the_others_have_ended(self):
        self.supervisor.startService()
        one, two = self.processes.started
        one.writes(2, b"smtprelay: the queue is ")
        one.writes(2, b"damaged\n")
        one.ends(status=78)
        self.assertEqual(two.signals, ["TERM"])
        self.assertNoResult(self.supervisor.ready)
        two.writes(2, b"smtprelay: the queue is damaged\n")
        two.ends(status=78)
        failed = self.failureResultOf(self.supervisor.ready, WorkersFailed).value
        self.assertEqual((failed.words, failed.status), (b"smtprelay: the queue is damaged\n", 78))
        self.assertEqual(self.err.getvalue(), b"")
        self.assertEqual(len(self.processes.started), 2)

    def test_a_worker_that_is_killed_before_it_listens_starts_again(self):
        self.supervisor.startService()
        one, two = self.processes.started
        one.ends(signal=9)
        self.clock.advance(0)
        two.says(b'["ready",1]')
        self.processes.started[-1].says(b'["ready",1]')
        self.assertEqual(self.successResultOf(self.supervisor.ready), 2)

    def test_a_program_that_cannot_be_run_ends_the_start(self):
        self.processes.trouble = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        self.supervisor.startService()
        failed = self.failureResultOf(self.supervisor.ready, WorkersFailed).value
        self.assertEqual(self.processes.started, [])
        self.assertEqual(failed.words.count(b"\n"), 1)
        self.assertIn(b"worker 1 cannot be started (Permission denied): let user id", failed.words)

    def test_a_program_that_cannot_be_run_later_is_tried_again(self):
        one, _ = self.begin()
        self.processes.trouble = BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        one.ends(signal=9)
        self.clock.advance(0)
        self.clock.advance(1)
        self.assertEqual(self.processes.started[-1].worker.number, 1)
        self.assertIn("worker 1 cannot be started (Resource temporarily unavailable)", self.lines[-1])

    def test_a_stop_ends_all_workers_and_fires_after_the_last(self):
        one, two = self.begin()
        stopped = self.supervisor.stopService()
        self.assertEqual([one.signals, two.signals], [["TERM"], ["TERM"]])
        one.ends()
        self.assertNoResult(stopped)
        two.ends()
        self.successResultOf(stopped)
        self.assertEqual(self.lines, [])
        self.assertEqual(len(self.processes.started), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_stop_kills_workers_that_do_not_end_in_time(self):
        one, _ = self.begin()
        self.supervisor.stopService()
        self.clock.advance(STOP_SECONDS)
        self.assertEqual(one.signals, ["TERM", "KILL"])

    def test_a_stop_restarts_no_worker(self):
        one, two = self.begin()
        one.ends(signal=9)
        stopped = self.supervisor.stopService()
        two.ends()
        self.successResultOf(stopped)
        self.clock.advance(100)
        self.assertEqual(len(self.processes.started), 2)

    def test_a_worker_whose_channel_ends_is_stopped_and_starts_again(self):
        one, _ = self.begin()
        one.worker.channel.connectionLost()
        self.assertEqual(one.signals, [])
        self.clock.advance(2)
        self.assertEqual(one.signals, ["TERM"])
        one.ends()
        self.clock.advance(1)
        self.assertEqual(len(self.processes.started), 3)

    def test_a_worker_that_gives_no_sign_of_life_is_killed(self):
        one, two = self.begin()
        for _ in range(8):
            self.clock.advance(PATIENCE / 4)
            two.says(b'["alive"]')
        self.assertIn("KILL", one.signals)
        self.assertEqual(two.signals, [])
        self.assertIn("worker 1 sent no heartbeat for 40 s: it is killed", self.lines[0])

    def test_a_worker_that_does_not_listen_yet_may_take_its_time(self):
        self.supervisor.startService()
        self.clock.pump([PATIENCE / 4] * 20)
        self.assertEqual([process.signals for process in self.processes.started], [[], []])
        self.assertTrue(self.supervisor.healthy())

    def test_all_is_not_well_while_one_that_was_killed_does_not_end(self):
        one, two = self.begin()
        for _ in range(8):
            self.assertTrue(self.supervisor.healthy())
            self.clock.advance(PATIENCE / 4)
            two.says(b'["alive"]')
        self.assertFalse(self.supervisor.healthy())
        one.ends(signal=9)
        self.assertTrue(self.supervisor.healthy())

    def test_lines_of_workers_come_out_whole(self):
        one, two = self.begin()
        one.writes(1, b"one\ntw")
        two.writes(1, b"three\nfo")
        one.writes(1, b"o\n")
        two.ends(signal=9)
        self.assertEqual(self.out.getvalue(), b"one\nthree\ntwo\nfo\n")

    def test_the_limits_of_a_destination_are_shared_and_free_again_when_a_worker_is_stopped(self):
        one, two = self.begin()
        granted = 0
        one.says(b'["want","example.org",0]')
        while one.told:
            granted += 1
            one.says(b'["want","example.org",0]')
        self.assertGreaterEqual(granted, 1)
        two.says(b'["want","example.org",0]')
        self.assertNotIn(b"grant", b"".join(two.told))
        one.ends(signal=9)
        self.assertIn(b"grant", b"".join(two.told))
