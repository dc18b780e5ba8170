"""The connector over real sockets, with a server that is not ours."""

from harness import certificates, mail
from harness.sink import EXTENSIONS
from harness.sink_rules import Rule
from mta.delivery.remote.commands import ONE_WRITE_BYTES
from mta.message.body import FileBody, MemoryBody
from mta.routing.route import Credentials, TlsRule
from tests.drivers.connector_case import request
from tests.drivers.loopback_case import AUTHORITY, LoopbackCase
from tests.fakes.smarthosts import SMARTHOST

USER = Credentials("the-user", 'p"\\%&/ :^$#x')
NO_CHUNKING = tuple(word for word in EXTENSIONS if word != "CHUNKING")


class LoopbackTests(LoopbackCase):
    async def test_several_messages_go_over_one_connection(self) -> None:
        sink = self.sink()
        connection = await self.open(sink)
        for _ in range(5):
            await connection.deliver(request())
        await self.close(connection)
        self.assertEqual([message.content for message in sink.messages], [mail.BODY] * 5)
        self.assertEqual((sink.connections, sink.faults), (1, []))

    async def test_the_largest_body_that_goes_in_one_write_arrives_whole(self) -> None:
        lines = (b"." + b"z" * 61 + b"\r\n") * (ONE_WRITE_BYTES // 64)
        for extensions in (EXTENSIONS, NO_CHUNKING):
            sink = self.sink(extensions=extensions)
            await self.deliver(sink, MemoryBody(lines))
            self.assertTrue(sink.messages[0].content == lines)

    async def test_a_server_without_extensions_is_served(self) -> None:
        sink = self.sink(extensions=())
        self.assertEqual(await self.deliver(sink), "")
        self.assertEqual((sink.messages[0].content, sink.messages[0].verb), (mail.BODY, "DATA"))

    async def test_opportunistic_tls_accepts_any_certificate(self) -> None:
        sink = self.sink(tls=self.tls(certificates.self_signed(["other.test"])))
        self.assertIn("unverified (self-signed certificate)", await self.deliver(sink))
        self.assertTrue(sink.messages[0].tls)

    async def test_a_verified_certificate_is_shown_in_the_security(self) -> None:
        sink = self.sink(tls=self.good_tls())
        self.assertRegex(await self.deliver(sink, rule=TlsRule.VERIFY), r"^TLSv1\.3 \S+ verified$")

    async def test_credentials_are_never_sent_to_an_unverified_host(self) -> None:
        sink = self.sink(tls=self.tls(certificates.self_signed(["sink.test"])), users={USER.user: USER.password})
        outcome = await self.open(sink, TlsRule.VERIFY, credentials=USER, smarthost=SMARTHOST)
        self.assertEqual(
            outcome.text,
            "certificate not trusted: self-signed certificate; mail stays queued. "
            "If it is your smarthost's own, name the certificate in SMARTHOST_CA_FILE; "
            "SMARTHOST_TLS=require takes any certificate",
        )
        self.assertEqual((sink.logins, sink.connections, outcome.status), ([], 1, "4.7.5"))

    async def test_a_name_that_differs_is_not_trusted(self) -> None:
        sink = self.sink(tls=self.tls(AUTHORITY.leaf(["other.test"])))
        outcome = await self.open(sink, TlsRule.VERIFY)
        self.assertIn("certificate is for other.test, not for sink.test", outcome.text)

    async def test_implicit_tls(self) -> None:
        sink = self.sink(tls=self.good_tls(), implicit=True)
        self.assertIn(" verified", await self.deliver(sink, rule=TlsRule.VERIFY, implicit_tls=True))

    async def test_each_mechanism_logs_in(self) -> None:
        for name in ("PLAIN", "LOGIN", "CRAM-MD5"):
            sink = self.sink(tls=self.good_tls(), users={USER.user: USER.password}, mechanisms=(name,))
            await self.deliver(sink, rule=TlsRule.VERIFY, credentials=USER)
            (login,) = sink.logins
            self.assertEqual((login.mechanism, login.accepted, login.tls), (name, True, True))
            self.assertEqual(sink.messages[0].user, USER.user)

    async def test_a_refused_login_sends_nothing(self) -> None:
        sink = self.sink(tls=self.good_tls(), users={USER.user: "another"}, mechanisms=("PLAIN",))
        outcome = await self.open(sink, TlsRule.VERIFY, credentials=USER)
        self.assertIn("login refused: 535 5.7.8", outcome.text)
        self.assertEqual(sink.messages, [])

    async def test_a_broken_handshake_is_followed_by_clear_text(self) -> None:
        sink = self.sink(extensions=(*EXTENSIONS, "STARTTLS"), rules=[Rule("STARTTLS", "220 go", close=True)])
        self.assertRegex(await self.deliver(sink), r"none\(connection (lost|reset) during the TLS handshake\)")
        self.assertEqual((sink.connections, sink.messages[0].tls), (2, False))

    async def test_large_bodies_arrive_byte_for_byte(self) -> None:
        lines = b"".join(b".%d %b\r\n" % (number, b"x" * (number % 70)) for number in range(30_000))
        path = self.folder / "body"
        path.write_bytes(lines)
        for extensions in (EXTENSIONS, NO_CHUNKING):
            for tls in (None, self.good_tls()):
                for body in (MemoryBody(lines), FileBody(path, len(lines))):
                    sink = self.sink(extensions=extensions, tls=tls)
                    await self.deliver(sink, body)
                    self.assertTrue(sink.messages[0].content == lines)

    async def test_a_server_that_hangs_up_after_the_dot_may_have_the_message(self) -> None:
        sink = self.sink(rules=[Rule(".", None)])
        connection = await self.open(sink)
        result = await connection.deliver(request())
        self.assertIn("the message may have been taken", result.outcomes[0].text)
