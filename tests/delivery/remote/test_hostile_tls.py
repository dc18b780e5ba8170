"""The connector over real sockets with a server that lies before TLS begins: nothing counts, and it learns nothing."""

import socket
import ssl
import threading
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from harness import certificates
from harness.waiting import PATIENCE
from mta.delivery.remote.connector import SmtpConnector
from mta.message.outcome import TryLater
from mta.routing.route import Credentials, Plan, Route, TlsRule
from tests.drivers.loopback_case import loopback_options

AUTHORITY = certificates.authority()
USER = Credentials("the-user", "hunter2")
GREETING = b"220 sink.test\r\n"
OFFER = b"250-sink.test\r\n250-STARTTLS\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN\r\n"
GO = b"220 go\r\n"


class Liar:
    """Serves one connection: sends each of `clear` after a line, then begins TLS and sends each of `inside`.

    `late` is sent in clear once the client has begun its handshake.
    """

    def __init__(self, context: ssl.SSLContext, clear: Sequence[bytes], inside: Sequence[bytes], late: bytes) -> None:
        self._context = context
        self._clear = clear
        self._inside = inside
        self._late = late
        self.heard = b""
        self.heard_inside = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def done(self) -> None:
        """Wait for the end of the connection."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        self._listener.close()
        connection.settimeout(PATIENCE)
        try:
            connection.sendall(GREETING)
            for words in self._clear:
                self.heard += _line(connection)
                connection.sendall(words)
            if self._late and connection.recv(1, socket.MSG_PEEK):
                connection.sendall(self._late)
            with self._context.wrap_socket(connection, server_side=True) as inside:
                for words in self._inside:
                    self.heard_inside += _line(inside)
                    inside.sendall(words)
                self.heard_inside += _rest(inside)
        except OSError:
            pass
        finally:
            connection.close()


def _line(connection: Any) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        more = connection.recv(1)
        if not more:
            raise OSError("hung up")
        data += more
    return data


def _rest(connection: Any) -> bytes:
    data = b""
    while more := connection.recv(4096):
        data += more
    return data


class HostileTlsTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        certificate, key = AUTHORITY.leaf(["sink.test"]).write(Path(folder.name))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)

    async def lied_to(
        self, clear: Sequence[bytes], inside: Sequence[bytes] = (), late: bytes = b""
    ) -> tuple[Liar, TryLater]:
        """Return the server and the outcome of opening the connection, which must have failed."""
        liar = Liar(self.context, clear, inside, late)
        options = loopback_options(AUTHORITY)
        route = Route("sink.test", "127.0.0.1", liar.port, TlsRule.VERIFY, credentials=USER)
        outcome = await SmtpConnector(options).open(Plan("x", (route,)))
        await deferToThread(liar.done)
        assert isinstance(outcome, TryLater), outcome
        for octets in (liar.heard, liar.heard_inside):
            self.assertNotIn(b"AUTH", octets)
            self.assertNotIn(b"MAIL", octets)
        return liar, outcome

    async def test_replies_in_one_segment_with_the_go_ahead_end_the_session(self) -> None:
        for injected in (b"250 ok\r\n", b"250-sink.test\r\n250 AUTH PLAIN\r\n", b"235 logged in\r\n", b"2", b"\r\n"):
            liar, outcome = await self.lied_to([OFFER, GO + injected])
            self.assertIn("plain text after the reply to STARTTLS", outcome.text)
            self.assertEqual(liar.heard_inside, b"")

    async def test_replies_before_the_command_do_not_answer_inside_tls(self) -> None:
        liar, _ = await self.lied_to([OFFER + GO + b"250 AUTH PLAIN\r\n"])
        self.assertEqual(liar.heard_inside, b"")

    async def test_an_early_go_ahead_leads_into_tls_where_all_is_asked_anew(self) -> None:
        liar, outcome = await self.lied_to([OFFER + GO, b""], [b"250 sink.test\r\n"])
        self.assertEqual(liar.heard_inside, b"EHLO me.test\r\n")
        self.assertIn("no usable login mechanism: offered none", outcome.text)

    async def test_replies_in_clear_once_the_handshake_has_begun_break_it(self) -> None:
        for late in (b"250-sink.test\r\n250 AUTH PLAIN\r\n", b"235 logged in\r\n"):
            liar, outcome = await self.lied_to([OFFER, GO], [OFFER], late)
            self.assertEqual((liar.heard_inside, outcome.status), (b"", "4.7.5"))
            self.assertIn("TLS failed: ", outcome.text)

    async def test_a_login_offered_in_clear_that_is_gone_inside_tls_is_not_used(self) -> None:
        liar, outcome = await self.lied_to([OFFER, GO], [b"250-sink.test\r\n250 PIPELINING\r\n"])
        self.assertEqual(liar.heard, b"EHLO me.test\r\nSTARTTLS\r\n")
        self.assertIn("no usable login mechanism: offered none", outcome.text)

    async def test_a_server_that_takes_starttls_out_of_its_offer_gets_neither_password_nor_mail(self) -> None:
        liar, outcome = await self.lied_to([b"250-sink.test\r\n250 AUTH PLAIN LOGIN\r\n"])
        self.assertIn("STARTTLS is not offered", outcome.text)
        self.assertEqual(liar.heard, b"EHLO me.test\r\n")

    async def test_a_refused_starttls_gets_neither_password_nor_mail(self) -> None:
        for refusal in (b"454 not now\r\n", b"503 what\r\n", b"334 \r\n", b"354 go\r\n"):
            liar, _ = await self.lied_to([OFFER, refusal])
            self.assertEqual(liar.heard, b"EHLO me.test\r\nSTARTTLS\r\n")
