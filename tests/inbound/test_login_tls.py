"""Logins inside real TLS: SCRAM that is bound to the connection, and the protocol in the trace of mail."""

import base64
import socket
from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from harness.certificates import authority
from mta.inbound.sockets.port_rule import SUBMISSION_PORT, SUBMISSION_TLS_PORT, PortRule
from mta.inbound.sockets.ports import bind, listen
from mta.smtp.sasl import scram
from mta.smtp.sasl.logins import ChannelBinding, PasswordLogin
from mta.smtp.sasl.scram_client import ScramClient
from mta.tls.binding import channel_binding
from tests.drivers.listener import Listening

SECRET = scram.format_secret(scram.derive("wonder", b"salt of sixteen."))
LOGIN = PasswordLogin("alice", "wonder")


class Talker:
    """A client over a blocking socket."""

    def __init__(self, address: Any, rule: PortRule, version: int) -> None:
        self._plain = socket.create_connection(address, timeout=30)
        self._plain.setblocking(True)
        self._stream: Any = self._plain
        if rule.implicit_tls:
            self._start_tls(version)
            self.said()
        else:
            self.said()
            self.say("EHLO client.test")
            self.say("STARTTLS")
            self._start_tls(version)
        self.offer = self.say("EHLO client.test")

    def say(self, line: str) -> str:
        self._stream.sendall(f"{line}\r\n".encode())
        return self.said()

    def said(self) -> str:
        """Return the next reply."""
        text = ""
        while not text.endswith("\r\n") or text.splitlines()[-1][3] != " ":
            text += self._stream.recv(4096).decode()
        return text

    def getHandle(self) -> Any:
        return self._stream

    def log_in(self, client: ScramClient) -> str:
        assert client.initial is not None
        reply = self.say(f"AUTH {client.name} {base64.b64encode(client.initial).decode()}")
        while reply.startswith("334 "):
            response = client.respond(base64.b64decode(reply[4:]))
            reply = self.say(base64.b64encode(response).decode())
        return reply

    def close(self) -> None:
        self._plain.close()

    def _start_tls(self, version: int) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
        self._stream = SSL.Connection(context, self._plain)
        self._stream.set_connect_state()
        self._stream.do_handshake()


class TlsLoginTests(TestCase):
    def setUp(self) -> None:
        self.parts = Listening(starttls=True, users=f"alice:{SECRET}\n")
        self.parts.factory.certificate = authority().leaf(["a.test"]).server_options()
        self.addresses = {}
        for rule in (SUBMISSION_PORT, SUBMISSION_TLS_PORT):
            bound = bind("127.0.0.1", 0, "BIND_IP")
            self.addresses[rule] = bound.getsockname()
            port = listen(reactor, bound, self.parts.factory.for_port(rule))
            self.addCleanup(port.stopListening)
        self.addCleanup(self.parts.factory.stop)

    async def talk(self, rule: PortRule, version: int, what: Callable[[Talker], None]) -> None:
        def run() -> None:
            talker = Talker(self.addresses[rule], rule, version)
            try:
                what(talker)
            finally:
                talker.close()

        await deferToThread(run)

    async def test_a_bound_login_succeeds_and_its_mail_says_so(self) -> None:
        def what(talker: Talker) -> None:
            assert "AUTH PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS\r\n" in talker.offer
            client = ScramClient(LOGIN, channel_binding(talker), plus=True)
            assert talker.log_in(client).startswith("235")
            assert client.complete
            for line in ("MAIL FROM:<a@a.test>", "RCPT TO:<b@b.test>"):
                assert talker.say(line).startswith("250")
            assert talker.say("BDAT 7 LAST\r\nhello").startswith("250")

        for rule in (SUBMISSION_PORT, SUBMISSION_TLS_PORT):
            for version in (SSL.TLS1_3_VERSION, SSL.TLS1_2_VERSION):
                await self.talk(rule, version, what)
        assert [claim.envelope.origin.protocol for claim in self.parts.delivery.taken] == ["ESMTPSA"] * 4
        (first, *_) = [line for line in self.parts.lines if " login " in line]
        assert 'login client=127.0.0.1 user=alice mechanism=SCRAM-SHA-256-PLUS tls="TLSv1.3 TLS_' in first

    async def test_a_login_that_is_bound_to_another_connection_or_that_saw_no_plus_is_refused(self) -> None:
        def what(talker: Talker) -> None:
            binding = channel_binding(talker)
            assert binding is not None
            other = ChannelBinding(binding.name, b"x" * len(binding.data))
            assert talker.log_in(ScramClient(LOGIN, other, plus=True)).startswith("535 5.7.8")
            assert talker.log_in(ScramClient(LOGIN, binding)).startswith("535 5.7.8")

        await self.talk(SUBMISSION_TLS_PORT, SSL.TLS1_3_VERSION, what)
        assert not any(" login " in line for line in self.parts.lines)

    async def test_an_unknown_user_cannot_be_told_from_a_known_one_with_a_wrong_password(self) -> None:
        replies: list[str] = []

        def what(talker: Talker) -> None:
            replies.extend(talker.log_in(ScramClient(PasswordLogin(user, "wrong"))) for user in ("alice", "nobody"))

        await self.talk(SUBMISSION_TLS_PORT, SSL.TLS1_3_VERSION, what)
        assert replies == ["535 5.7.8 user or password is wrong\r\n"] * 2
