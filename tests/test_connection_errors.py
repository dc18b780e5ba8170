"""Words for errors of connections."""

import errno
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from twisted.internet import error, reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from mta.connection_errors import connect_error_text, connection_loss_text


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ECONNREFUSED, "connection refused"),
        (errno.ECONNRESET, "connection reset"),
        (errno.ETIMEDOUT, "connection timed out"),
        (errno.EHOSTUNREACH, "no route to host"),
        (errno.ENETUNREACH, "network unreachable"),
        (errno.ENOENT, "no such file"),
        (errno.EACCES, "permission denied"),
        (errno.EIO, "input/output error"),
    ],
)
def test_the_cause_is_told_once_and_without_its_number(number: int, words: str) -> None:
    for cause in (error.getConnectError((number, "Some words")), OSError(number, "Some words")):
        assert connect_error_text(cause, 30.0) == words


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (error.TimeoutError(), "connection timed out after 30 s"),
        (error.TCPTimedOutError(), "connection timed out"),
        (error.ConnectionRefusedError(), "connection refused"),
        (error.NoRouteError(), "network unreachable"),
        (error.ConnectError(), "connection failed"),
        (error.UserError(), "connection failed"),
    ],
)
def test_a_failure_without_a_number_is_told_by_its_class(cause: Exception, words: str) -> None:
    assert connect_error_text(cause, 30.0) == words


def test_a_reset_is_told_from_an_orderly_end() -> None:
    assert connection_loss_text(error.ConnectionLost()) == "connection reset"
    assert connection_loss_text(error.ConnectionDone()) == "connection lost"


class _Factory(ClientFactory):
    noisy = False

    def __init__(self) -> None:
        self.failed: Deferred[str] = Deferred()

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self.failed.callback(connect_error_text(reason.value, 5))


class RealSockets(TestCase):
    async def test_real_failures_have_their_words(self) -> None:
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        folder = Path(temporary.name)
        stale = folder / "stale"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(stale))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        for target, words in (
            (("127.0.0.1", port), "connection refused"),
            (folder / "missing", "no such file"),
            (stale, "connection refused"),
            (Path("/dev/null"), "connection refused"),
        ):
            factory = _Factory()
            if isinstance(target, Path):
                reactor.connectUNIX(str(target), factory, timeout=5)  # type: ignore[attr-defined]
            else:
                reactor.connectTCP(*target, factory, timeout=5)  # type: ignore[attr-defined]
            self.assertEqual(await factory.failed, words)
