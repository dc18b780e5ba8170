import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.internet.task import Clock
from twisted.logger import Logger, LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from mta.ops.journal import Journal, json_line
from mta.ops.output import Output, TwistedObserver


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
        self.output.pass_on(b"two\nthree\n")
        assert self.path.read_text() == "one\ntwo\nthree\n"
        self.clock.advance(0.02)
        assert self.path.read_text() == "one\ntwo\nthree\n"

    def test_a_reader_that_is_gone_does_no_harm(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        output = Output(writing, self.clock)
        output.write("lost\n")
        self.clock.advance(0.02)
        os.close(writing)


class ObserverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines: list[str] = []
        journal = Journal(self.lines.append, lambda: 0.0, json_line)
        self.log = Logger(observer=LogPublisher(TwistedObserver(journal, lambda: None)))

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

    def test_chatter_is_dropped_and_warnings_are_kept(self) -> None:
        self.log.info("Log opened.")
        assert self.lines == []
        self.log.warn("a warning")
        assert "a warning" in self.lines[0]
