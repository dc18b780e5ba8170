"""Output of the event log: gathered lines, readers that stop, and events of Twisted's log."""

import contextlib
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.internet.task import Clock
from twisted.logger import Logger, LogPublisher, globalLogPublisher
from twisted.python import log
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from mta.event_log.lines import render_json
from mta.event_log.log import EventLog
from mta.event_log.output import MAX_WAITING, Output, TwistedObserver, end_cut_line


class OutputTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "log"
        self.path.touch()
        self.descriptor = os.open(self.path, os.O_WRONLY)
        self.addCleanup(os.close, self.descriptor)
        self.output = Output(self.descriptor, self.clock)

    def test_lines_of_one_moment_go_out_together_at_its_end(self) -> None:
        self.output.write("one\n")
        self.output.write("two\n")
        assert self.path.read_text() == ""
        self.clock.advance(0.02)
        assert self.path.read_text() == "one\ntwo\n"
        assert not self.clock.getDelayedCalls()

    def test_lines_of_another_process_go_out_at_once_behind_those_that_wait(self) -> None:
        self.output.write("one\n")
        self.output.write_lines(b"two\nthree\n")
        assert self.path.read_text() == "one\ntwo\nthree\n"
        self.clock.advance(0.02)
        assert self.path.read_text() == "one\ntwo\nthree\n"

    def test_lines_that_are_made_when_they_are_written_keep_their_order(self) -> None:
        made = []

        def line(now: float, text: str) -> str:
            made.append(text)
            if text == "two":
                self.output.write("four\n")
            return f"{now} {text}\n"

        self.output.write("one\n")
        self.output.write_later(line, 1.5, ("two",))
        self.output.write_later(line, 2.5, ("three",))
        assert made == []
        self.clock.advance(0.02)
        assert self.path.read_text() == "one\n1.5 two\n2.5 three\n"
        # A line that is written while another one is made follows them.
        self.clock.advance(0.02)
        assert self.path.read_text() == "one\n1.5 two\n2.5 three\nfour\n"
        assert not self.clock.getDelayedCalls()

    def test_a_line_that_cannot_be_made_costs_no_other_line(self) -> None:
        self.output.write_later(lambda now: f"{now} one\n", 1.5, ())
        self.output.write_later(lambda now: f"{now} {1 // 0}\n", 2.5, ())
        self.output.write_later(lambda now: f"{now} three\n", 3.5, ())
        self.output.flush()
        one, fault, three = self.path.read_text().splitlines()
        assert (one, three) == ("1.5 one", "3.5 three")
        assert fault.startswith('1970-01-01T00:00:02.500Z fault text="the line of an event cannot be made" traceback=')
        assert "ZeroDivisionError" in fault

    def test_a_receiver_that_fails_is_one_fault_an_event(self) -> None:
        event_log = EventLog(self.output.write, self.clock.seconds, later=self.output.write_later)
        observer = TwistedObserver(event_log, self.output.flush)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        event_log.copy_to(lambda now, name, fields: 1 // 0)
        event_log.notice("one")
        self.clock.advance(0.02)
        (fault,) = self.path.read_text().splitlines()
        assert "ZeroDivisionError" in fault
        assert not self.clock.getDelayedCalls()

    def test_a_reader_that_is_gone_does_no_harm(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        output = Output(writing, self.clock)
        output.write("lost\n")
        self.clock.advance(0.02)
        os.close(writing)


class CutLineTests(SynchronousTestCase):
    """The output goes to a file to which another process has written."""

    def ended(self, content: bytes, flags: int, at: int = 0) -> bytes:
        """Return the content of a file after its cut line was ended, and a line was written."""
        path = Path(self.mktemp())
        path.write_bytes(content)
        descriptor = os.open(path, os.O_WRONLY | flags)
        try:
            os.lseek(descriptor, at, os.SEEK_SET)
            end_cut_line(descriptor)
            os.write(descriptor, b"two\n")
        finally:
            os.close(descriptor)
        return path.read_bytes()

    def test_a_line_that_was_cut_is_ended(self) -> None:
        assert self.ended(b"one\ncu", os.O_APPEND) == b"one\ncu\ntwo\n"
        assert self.ended(b"one\ncu", 0, at=6) == b"one\ncu\ntwo\n"

    def test_whole_lines_and_an_empty_file_stay_as_they_are(self) -> None:
        assert self.ended(b"one\n", os.O_APPEND) == b"one\ntwo\n"
        assert self.ended(b"one\ncu", 0, at=4) == b"one\ntwo\n"
        assert self.ended(b"", os.O_APPEND) == b"two\n"
        assert self.ended(b"", 0, at=2) == b"\0\0two\n"

    def test_a_pipe_or_a_closed_descriptor_gets_nothing(self) -> None:
        reading, writing = os.pipe()
        end_cut_line(writing)
        os.close(writing)
        end_cut_line(writing)
        assert os.read(reading, 1) == b""
        os.close(reading)


class StoppedReaderTests(SynchronousTestCase):
    """Standard output is a pipe that is not read for a while."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.addCleanup(os.close, self.reading)
        self.addCleanup(os.close, self.writing)
        self.output = Output(self.writing, self.clock, render_json, wall_clock=lambda: 0.0)
        self.output.open()
        self.addCleanup(self.output.close, 0.0)

    def write(self, first: int, last: int) -> None:
        """Write numbered lines of about a hundred octets, some in each moment."""
        for number in range(first, last):
            self.output.write(f"{number} {'x' * 92}\n")
            if number % 100 == 99:
                self.clock.advance(0.02)

    def read(self, data: bytes = b"") -> list[str]:
        """Read to the end, as a reader that is back and had these octets before."""
        for _ in range(200):
            with contextlib.suppress(BlockingIOError):
                data += os.read(self.reading, 1 << 20)
            self.clock.advance(0.5)
        return data.decode().splitlines()

    def numbers(self, lines: list[str]) -> list[int]:
        return [int(line.split()[0]) for line in lines if not line.startswith("{")]

    def test_lines_wait_for_it_without_loss_while_there_is_room(self) -> None:
        self.write(0, 10_000)
        assert self.numbers(self.read()) == list(range(10_000))
        assert not self.clock.getDelayedCalls()

    def test_later_lines_are_dropped_and_one_line_counts_them(self) -> None:
        self.write(0, 30_000)
        lines = self.read()
        (lost,) = [json.loads(line) for line in lines if line.startswith("{")]
        assert lost["event"] == "trouble"
        came = self.numbers(lines)
        assert came == list(range(len(came)))
        assert lines[-1].startswith("{")
        assert lost["text"].startswith(f"{30_000 - len(came)} lines of the log are lost: standard output was not read")
        self.write(30_000, 30_100)
        assert self.numbers(self.read()) == list(range(30_000, 30_100))

    def test_memory_is_bounded(self) -> None:
        self.write(0, 100_000)
        assert self.output.waiting <= MAX_WAITING

    def test_a_gap_stands_where_the_lines_are_missing(self) -> None:
        self.write(0, 20_000)
        heard = os.read(self.reading, 1 << 20)
        for _ in range(12):
            self.clock.advance(0.5)
            heard += os.read(self.reading, 1 << 20)
        self.write(20_000, 20_100)
        lines = self.read(heard)
        gap = next(at for at, line in enumerate(lines) if '"trouble"' in line)
        before, after = self.numbers(lines[:gap]), self.numbers(lines[gap:])
        told = int(json.loads(lines[gap])["text"].split()[0])
        assert before == list(range(len(before)))
        assert after[0] == len(before) + told
        assert after == list(range(after[0], 20_100))

    def test_lines_that_a_reader_which_is_gone_did_not_get_are_counted_too(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        os.mkfifo(f"{folder.name}/log")
        reading = os.open(f"{folder.name}/log", os.O_RDONLY | os.O_NONBLOCK)
        writing = os.open(f"{folder.name}/log", os.O_WRONLY)
        self.addCleanup(os.close, writing)
        output = Output(writing, self.clock, render_json)
        os.close(reading)
        for text in ("one\n", "two\n"):
            output.write(text)
            self.clock.advance(0.02)
        reading = os.open(f"{folder.name}/log", os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reading)
        output.write("three\n")
        self.clock.advance(0.02)
        lost, three = os.read(reading, 65536).decode().splitlines()
        assert json.loads(lost)["text"].startswith("2 lines of the log are lost")
        assert three == "three"

    def test_the_end_of_the_program_does_not_wait_for_it(self) -> None:
        self.write(0, 5_000)
        self.output.close(0.05)
        assert not self.clock.getDelayedCalls()

    def test_lines_of_another_process_are_bounded_too(self) -> None:
        for _ in range(100):
            self.output.write_lines(b"0 line of a worker\n" * 2000)
        assert self.output.waiting <= MAX_WAITING
        assert '"trouble"' in self.read()[-1]


class ObserverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines: list[str] = []
        self.event_log = EventLog(self.lines.append, lambda: 0.0, render_json)
        self.flushed: list[int] = []
        observer = TwistedObserver(self.event_log, lambda: self.flushed.append(len(self.lines)))
        self.log = Logger(observer=LogPublisher(observer))

    def test_a_fault_is_one_line_with_its_traceback(self) -> None:
        try:
            raise ValueError("boom")
        except ValueError:
            self.log.failure("something broke")
        (line,) = self.lines
        event = json.loads(line)
        assert event["event"] == "fault"
        assert event["text"] == "something broke"
        assert "ValueError: boom" in event["traceback"]

    def test_a_fault_that_a_reactor_logs_is_one_too(self) -> None:
        publisher = log.LogPublisher(publishPublisher=LogPublisher(TwistedObserver(self.event_log, lambda: None)))
        failure = Failure(ValueError("boom"))
        publisher.msg(failure=failure, why=None, isError=1)
        publisher.msg(failure=failure, why="while it read", isError=1)
        events = [json.loads(line) for line in self.lines]
        assert [(event["event"], event["text"]) for event in events] == [("fault", "boom"), ("fault", "while it read")]
        assert "ValueError: boom" in events[0]["traceback"]

    def test_chatter_is_dropped_and_warnings_are_kept(self) -> None:
        self.log.info("Log opened.")
        assert (self.lines, self.flushed) == ([], [])
        self.log.warn("a warning")
        assert "a warning" in self.lines[0]
        assert self.flushed == [1]
