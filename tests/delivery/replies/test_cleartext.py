"""Mail that goes in clear although the host offers STARTTLS: over real sockets, and the notices about it."""

import ssl
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from twisted.trial.unittest import TestCase

from harness import certificates
from harness.sink import Sink
from harness.sink_rules import Rule
from mta.delivery.remote.connector import SmtpConnector
from mta.delivery.remote.interface import Connection
from mta.delivery.replies.hints import clear_text_notice, without_tls
from mta.message.outcome import Delivered, TryLater
from mta.routing.route import Credentials, Plan, Route, TlsRule
from mta.smtp.replies import read_reply
from tests.drivers.connector_case import CLEAR, EHLO, ROUTE, Case, request
from tests.drivers.loopback_case import loopback_options

AUTHORITY = certificates.authority()


class RealHandshakes(TestCase):
    timeout = 30

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        certificate, key = AUTHORITY.leaf(["sink.test"]).write(Path(folder.name))
        self.sink = Sink(tls=(str(certificate), str(key)))
        self.told: list[tuple[str, str]] = []

    async def security(self, rule: TlsRule = TlsRule.OPPORTUNISTIC) -> str:
        """Deliver one message to the sink and return how the connection was protected."""
        self.sink.__enter__()
        self.addCleanup(self.sink.close)
        options = loopback_options(
            AUTHORITY,
            in_clear=lambda route, reason: self.told.append((route.host, reason)),
        )
        connection: Any = await SmtpConnector(options).open(
            Plan("x", (Route("sink.test", "127.0.0.1", self.sink.port, rule),))
        )
        if not hasattr(connection, "deliver"):
            return str(connection.text)
        result = await connection.deliver(request())
        self.assertIsInstance(result.outcomes[0], Delivered)
        connection.quit()
        return str(connection.security)

    def context(self) -> ssl.SSLContext:
        assert self.sink.context is not None
        return self.sink.context

    async def test_a_host_with_tls_1_0_only(self) -> None:
        self.context().set_ciphers("ALL:@SECLEVEL=0")
        self.context().minimum_version = ssl.TLSVersion.TLSv1
        self.context().maximum_version = ssl.TLSVersion.TLSv1
        self.assertEqual(await self.security(), "none(the host has no TLS 1.2 or newer)")
        self.assertEqual(self.told, [("sink.test", "the host has no TLS 1.2 or newer")])

    async def test_a_host_that_demands_a_client_certificate(self) -> None:
        for highest in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.subTest(highest.name):
                self.sink.port = 0
                self.context().maximum_version = highest
                self.context().verify_mode = ssl.CERT_REQUIRED
                security = await self.security()
                # The alert may be lost with the rest of the connection, where the server resets that.
                self.assertRegex(security, r"none\((the host .*demands a client certificate|connection .* TLS)\)$")

    async def test_a_host_that_demands_a_client_certificate_gets_no_mail_in_clear_under_a_stricter_rule(self) -> None:
        self.context().verify_mode = ssl.CERT_REQUIRED
        words = await self.security(TlsRule.REQUIRE)
        self.assertIn("TLS failed: ", words)
        self.assertEqual((self.sink.messages, self.told), ([], []))

    async def test_a_host_that_refuses_starttls(self) -> None:
        self.sink.rules.append(Rule("STARTTLS", reply="454 4.7.0 TLS not available"))
        self.assertEqual(await self.security(), "none(454 4.7.0 TLS not available)")

    async def test_a_host_that_closes_at_starttls_gets_no_mail_in_clear_under_a_stricter_rule(self) -> None:
        self.sink.rules.append(Rule("STARTTLS", reply="421 4.7.0 no TLS", close=True))
        self.assertIn("421 4.7.0 no TLS", await self.security(TlsRule.REQUIRE))
        self.assertEqual((self.sink.messages, self.told), ([], []))

    async def test_a_host_that_hangs_up_at_starttls(self) -> None:
        self.sink.rules.append(Rule("STARTTLS", reply=None))
        self.assertEqual(await self.security(), "none(connection lost before the reply to STARTTLS)")

    async def test_tls_that_works_is_logged_as_usual(self) -> None:
        self.assertTrue((await self.security()).endswith(" verified"))
        self.assertEqual(self.told, [])


class Openings(Case):
    """Sessions in memory, with failures that no real server shows at will."""

    def after(self, *mischief: Any, rule: TlsRule = TlsRule.OPPORTUNISTIC) -> Any:
        """Return the result of opening to a server that does this after EHLO, and then serves in clear."""
        told: list[str] = []
        opening = self.open(Route("mx.test", "192.0.2.1", 25, rule), in_clear=lambda _, reason: told.append(reason))
        wire = self.net.accept("220 hi", *EHLO)
        for act in mischief:
            act(wire)
        if len(self.net.wires) < len(self.net.tcpClients):
            self.net.accept("220 hi", *EHLO)
        connection: Connection = self.successResultOf(opening)
        self.assertEqual(connection.security, f"none({told[0]})" if told else "")
        return told

    def test_every_failure_of_tls_is_reported(self) -> None:
        go = lambda wire: wire.says("220 go")  # noqa: E731
        shake = lambda wire: wire.shake_hands()  # noqa: E731
        lose = lambda wire: wire.lost()  # noqa: E731
        wait = lambda wire: self.net.advance(300)  # noqa: E731
        for mischief, words in (
            ((go, lose), "connection lost during the TLS handshake"),
            ((go, lambda wire: self.net.advance(60)), "no TLS handshake within 60 seconds"),
            ((go, shake, lose), "connection lost before the reply to EHLO under TLS"),
            ((go, shake, wait), "no reply to EHLO within 300 seconds under TLS"),
            ((lose,), "connection lost before the reply to STARTTLS"),
            ((wait,), "no reply to STARTTLS within 300 seconds"),
            ((lambda wire: wire.says("what?"),), "protocol error: not a reply: 'what?'"),
            ((lambda wire: wire.says("421 4.7.0 no TLS"),), "421 4.7.0 no TLS"),
            ((lambda wire: wire.says("502 5.5.1 " + "x" * 300),), "502 5.5.1 " + "x" * 190 + "..."),
        ):
            self.setUp()
            self.assertEqual(self.after(*mischief), [words])

    def test_a_refusal_because_tls_is_missing_is_tried_later(self) -> None:
        opening = self.open(ROUTE)
        wire = self.net.accept("220 hi", "250-mx.test", "250 STARTTLS", "454 4.7.0 not now")
        delivering = self.successResultOf(opening).deliver(request())
        wire.says("530 5.7.0 Must issue a STARTTLS command first")
        (outcome,) = self.successResultOf(delivering).outcomes.values()
        self.assertIsInstance(outcome, TryLater)
        self.assertEqual(outcome.status, "4.7.0")
        self.assertIn("TLS with it failed: 454 4.7.0 not now", outcome.text)

    def test_a_host_without_starttls_is_not_reported(self) -> None:
        opening = self.open(ROUTE)
        self.net.accept("220 hi", *CLEAR)
        self.assertEqual(self.successResultOf(opening).security, "")

    def test_the_reason_of_one_host_is_not_reported_for_the_next(self) -> None:
        opening = self.open(ROUTE, Route("mx2.test", "192.0.2.2", 25))
        self.net.accept("220 hi", *EHLO, "220 go").lost()
        self.net.accept("220 hi", *CLEAR)
        connection = self.successResultOf(opening)
        self.assertEqual((connection.peer, connection.security), ("mx2.test[192.0.2.2]:25", ""))

    def test_a_host_whose_tls_failed_gets_mail_in_clear_when_no_other_host_takes_it(self) -> None:
        opening = self.open(ROUTE, Route("mx2.test", "192.0.2.2", 25), Route("mx3.test", "192.0.2.3", 25))
        self.net.accept("220 hi", *EHLO, "220 go").lost()
        self.net.refuse()
        self.net.accept("220 hi", *EHLO, "220 go").lost()
        self.net.accept("220 hi", *EHLO)
        connection = self.successResultOf(opening)
        self.assertEqual(connection.peer, "mx.test[192.0.2.1]:25")
        self.assertEqual(connection.security, "none(connection lost during the TLS handshake)")

    def test_each_host_whose_tls_failed_is_tried_in_clear_once(self) -> None:
        opening = self.open(ROUTE, Route("mx2.test", "192.0.2.2", 25))
        for _ in range(2):
            self.net.accept("220 hi", *EHLO, "220 go").lost()
        for _ in range(2):
            self.net.accept("421 busy")
        self.assertIsInstance(self.successResultOf(opening), TryLater)


@pytest.mark.parametrize(
    ("answer", "demands"),
    [
        ("530 5.7.0 Must issue a STARTTLS command first", True),
        ("530 no", True),
        ("550 5.7.10 Encryption needed", True),
        ("554 5.7.1 TLS encryption is required", True),
        ("550 5.7.0 This domain requires TLS", True),
        ("550 5.1.1 no such user", False),
    ],
)
def test_a_host_that_demands_the_tls_that_failed_does_not_refuse_for_good(answer: str, demands: bool) -> None:
    code, _, words = answer.partition(" ")
    said = read_reply(int(code), [words])
    advice = without_tls(said, "none(454 4.7.0 not now)")
    assert advice == (
        "the host demands TLS, and TLS with it failed: 454 4.7.0 not now; mail stays queued" if demands else ""
    )
    for security in ("", "TLSv1.3 TLS_AES_256_GCM_SHA384 verified"):
        assert without_tls(said, security) == ""


def test_the_notice_names_the_host_and_the_reason() -> None:
    assert clear_text_notice(ROUTE, "no TLS 1.2") == (
        "mail goes to mx.test[192.0.2.1]:25 in clear, though it offers STARTTLS: no TLS 1.2."
        " Told once a day for each host"
    )


def test_a_password_that_goes_in_clear_is_named() -> None:
    route = Route("mx.test", "192.0.2.1", 25, credentials=Credentials("u", "p"))
    assert clear_text_notice(route, "no TLS 1.2").startswith("mail and password go to ")
