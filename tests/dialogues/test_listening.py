"""Every script through the whole listening side: in memory and over a socket, whole and one octet at a time."""

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from harness.certificates import authority
from tests.dialogues.listening import MemoryDriver, ReactorThread, SocketDriver
from tests.dialogues.script import SCRIPTS, Script, octets, read_script, run, whole
from tests.drivers.listener import Listening


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_comes_out_as_written(path):
    run(read_script(path), MemoryDriver(), whole)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_comes_out_alike_one_octet_at_a_time(path):
    script = read_script(path)
    if "whole" in script.opening:
        pytest.skip("the script is about segments")
    run(script, MemoryDriver(), octets)


OPTIONS = authority().leaf(["relay.test"]).server_options()


class SocketTests(TestCase):
    def run_over_socket(self, script: Script, cut) -> Deferred[None]:
        ports = []

        def serve(parts: Listening) -> int:
            parts.factory.certificate = OPTIONS
            ports.append(reactor.listenTCP(0, parts.factory.for_port(parts.rule), interface="127.0.0.1"))
            self.addCleanup(ports[-1].stopListening)
            self.addCleanup(parts.factory.stop)
            return ports[-1].getHost().port

        def converse() -> None:
            driver = SocketDriver(ReactorThread(reactor), serve)
            try:
                run(script, driver, cut)
            finally:
                driver.close()

        return deferToThread(converse)


def _add_tests() -> None:
    for path in SCRIPTS:
        script = read_script(path)
        for name, cut in (("whole", whole), ("octets", octets)):
            if cut is octets and "whole" in script.opening:
                continue

            def test(self, script=script, cut=cut):
                return self.run_over_socket(script, cut)

            setattr(SocketTests, f"test_{path.stem}_{name}", test)


_add_tests()
