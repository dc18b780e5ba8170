"""Real processes: what a worker inherits, how its words come out, and how it ends."""

import os
import signal
import socket
import sys
import tempfile

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from mta.workers.process import Launch, OutputSinks, WorkerProcess

# A worker in a few lines: it says that it listens, and does what it is told.
SCRIPT = """
import json, os, socket, sys
channel, *inherited = map(int, sys.argv[2:])
channel = socket.socket(fileno=channel).makefile("rw", encoding="utf-8")
def say(*words):
    print(json.dumps(words), file=channel, flush=True)
say("ready", 7)
for line in channel:
    verb, *words = json.loads(line)
    if verb == "inherited":
        contents = [os.pread(one, 100, 0).decode() for one in inherited]
        say("told", contents, sorted(map(int, os.listdir("/proc/self/fd"))))
    elif verb == "stdin":
        say("told", sys.stdin.read())
    elif verb == "environment":
        say("told", dict(os.environ))
    elif verb == "write":
        os.write(words[0], words[1].encode())
        say("told")
    elif verb == "exit":
        sys.exit(words[0])
    elif verb == "nonsense":
        print("nonsense", file=channel, flush=True)
"""


class Life(TestCase):
    def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.out, self.err, self.troubles, self.told = [], [], [], []
        self.ready = Deferred()
        self.ended = Deferred()
        self.next_told = Deferred()

    def launch(self, *inherited, script=SCRIPT):
        sinks = OutputSinks(self.out.append, self.err.append, self.troubles.append)
        self.worker = WorkerProcess(3, self, sinks, self.reactor, {"told": self.hear})
        command = [sys.executable, "-c", script]
        launch = Launch(lambda number: [*command, str(number)], {"LANG": "C"}, inherited, lambda _: None)
        launch.start(self.reactor, self.worker)

    def worker_ready(self, worker):
        self.ready.callback(worker.waiting)

    def worker_ended(self, _worker, end):
        self.ended.callback(end)

    def hear(self, *words):
        heard, self.next_told = self.next_told, Deferred()
        heard.callback(words)

    async def ask(self, *words):
        heard = self.next_told
        self.worker.channel.send(*words)
        return await heard

    async def test_it_inherits_the_given_descriptors_in_order_and_no_others(self):
        with tempfile.TemporaryFile() as one, tempfile.TemporaryFile() as two, socket.socket() as other:
            os.set_inheritable(other.fileno(), True)
            one.write(b"one")
            two.write(b"two")
            one.flush()
            two.flush()
            self.launch(two.fileno(), one.fileno())
            assert await self.ready == 7
            assert self.worker.listens
            contents, descriptors = await self.ask("inherited")
        assert contents == ["two", "one"]
        # The last is that of the listing.
        assert descriptors[:6] == [0, 1, 2, 3, 4, 5]
        assert len(descriptors) <= 7
        assert await self.ask("stdin") == ("",)
        assert (await self.ask("environment"))[0]["LANG"] == "C"
        assert not {"PATH", "HOME"} & (await self.ask("environment"))[0].keys()
        self.worker.channel.send("exit", 0)
        assert str(await self.ended) == "ended with status 0"

    async def test_descriptors_that_lie_where_others_shall_are_not_mixed_up(self):
        files = [os.memfd_create("file") for _ in range(12)]
        for number, file in enumerate(files):
            os.write(file, f"file {number}".encode())
        self.launch(*reversed(files))
        contents, _ = await self.ask_when_begun("inherited")
        assert contents == [f"file {number}" for number in reversed(range(12))]
        for file in files:
            os.close(file)
        self.worker.stop()
        await self.ended

    async def ask_when_begun(self, *words):
        await self.ready
        return await self.ask(*words)

    async def test_half_a_line_is_ended_when_the_worker_is_killed(self):
        self.launch()
        await self.ask_when_begun("write", 1, "whole\nhal")
        await self.ask("write", 2, "a complai")
        os.kill(self.worker.pid, signal.SIGKILL)
        assert str(await self.ended) == "was killed by SIGKILL"
        assert b"".join(self.out) == b"whole\nhal\n"
        assert b"".join(self.err) == b"a complai\n"

    async def test_a_stop_is_a_sigterm(self):
        self.launch()
        await self.ready
        self.worker.stop()
        assert str(await self.ended) == "was killed by SIGTERM"
        assert not [call for call in self.reactor.getDelayedCalls() if call.func == self.worker.kill]

    async def test_its_standard_error_is_kept_until_it_listens(self):
        self.launch(script="import sys; print('one\\ntwo', file=sys.stderr); sys.exit(78)")
        end = await self.ended
        assert (end.status, end.signal) == (78, None)
        assert self.worker.startup_errors == b"one\ntwo\n"
        assert self.err == []

    async def test_a_worker_that_talks_nonsense_loses_its_channel_and_so_ends(self):
        self.launch()
        await self.ready
        self.worker.channel.send("nonsense")
        assert str(await self.ended) == "ended with status 0"
        (trouble,) = self.troubles
        assert "nonsense" in trouble
