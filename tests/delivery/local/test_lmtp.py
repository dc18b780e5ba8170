"""Tests delivery to a mail store by LMTP, in memory and to a real Dovecot."""

from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from mta.delivery.local.lmtp import LmtpConnector, mail_store
from mta.delivery.local.rule import LocalKind, LocalRule
from mta.delivery.remote.connector import ConnectorOptions, SmtpConnector
from mta.delivery.remote.interface import Connection, DeliveryRequest
from mta.message.body import MemoryBody
from mta.message.outcome import Delivered, ErrorKind, Failed, Outcome, TryLater
from mta.routing.route import Plan, Route, TlsRule
from mta.tls.client import client_options
from tests.drivers.connector_case import AlwaysNoted, Case, request
from tests.fakes.memory_reactor import Wire
from tests.programs.dovecot import Dovecot, why_not

BY_NAME = LocalRule(LocalKind.LMTP, "dovecot", 24)
BY_ADDRESS = LocalRule(LocalKind.LMTP, "192.0.2.7", 24)
BY_PATH = LocalRule(LocalKind.LMTP, path=Path("/run/dovecot/lmtp"))
OFFER = ("250-store.test", "250-PIPELINING", "250-8BITMIME", "250 CHUNKING")


@pytest.mark.parametrize("kind", [LocalKind.MAILDIR, LocalKind.MAILDIR_CREATE])
def test_there_is_no_plan_for_a_mail_store_if_mail_goes_to_maildirs(kind: LocalKind) -> None:
    assert mail_store(LocalRule(kind)) is None


def test_a_host_and_port_make_a_route_that_may_use_tls() -> None:
    route = Route("::1", "::1", 24, TlsRule.OPPORTUNISTIC, lmtp=True)
    assert mail_store(LocalRule(LocalKind.LMTP, "::1", 24)) == Plan("lmtp:[::1]:24", (route,))


def test_a_socket_makes_a_route_in_clear_named_by_its_path() -> None:
    plan = mail_store(BY_PATH)
    assert plan is not None
    assert plan.destination == "lmtp:/run/dovecot/lmtp"
    assert plan.routes[0].label == "/run/dovecot/lmtp"
    assert plan.routes[0].tls is TlsRule.NONE


class StoreTests(Case):
    """A mail store at the other end of a wire in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.asked: list[str] = []
        self.answer: Deferred[list[str] | TryLater] = Deferred()

    def connector(self, rule: LocalRule) -> tuple[LmtpConnector, Plan]:
        store = mail_store(rule)
        assert store is not None
        return LmtpConnector(SmtpConnector(self.options), store, self.look_up), store

    def look_up(self, host: str) -> Deferred[list[str] | TryLater]:
        self.asked.append(host)
        return self.answer

    def opening(self, rule: LocalRule) -> Deferred[Connection | TryLater]:
        connector, plan = self.connector(rule)
        return connector.open(plan)

    def connected(self, *offer: str) -> tuple[Connection, Wire]:
        opening = self.opening(BY_ADDRESS)
        wire = self.net.accept("220 store.test LMTP")
        self.assertEqual(wire.heard(), b"LHLO me.test\r\n")
        wire.says(*(offer or OFFER))
        connection = self.successResultOf(opening)
        assert not isinstance(connection, TryLater)
        return connection, wire

    def test_other_plans_are_left_to_the_other_connector(self) -> None:
        connector, _ = self.connector(BY_NAME)
        connector.open(Plan("mx.test", (Route("mx.test", "192.0.2.1", 25, TlsRule.NONE),)))
        self.net.accept("220 hi")
        self.assertEqual(self.net.wires[0].heard(), b"EHLO me.test\r\n")
        self.assertEqual(self.asked, [])

    def test_an_address_is_not_looked_up(self) -> None:
        self.opening(BY_ADDRESS)
        self.assertEqual(self.net.targets, [("192.0.2.7", 24)])
        self.assertEqual(self.asked, [])

    def test_a_name_is_looked_up_for_each_connection_and_its_addresses_tried_in_turn(self) -> None:
        opening = self.opening(BY_NAME)
        self.assertEqual(self.asked, ["dovecot"])
        self.answer.callback(["2001:db8::7", "192.0.2.7"])
        self.net.refuse()
        self.net.accept("220 hi", *OFFER)
        self.assertEqual(self.net.targets, [("2001:db8::7", 24), ("192.0.2.7", 24)])
        connection = self.successResultOf(opening)
        assert not isinstance(connection, TryLater)
        self.assertEqual(connection.peer, "dovecot[192.0.2.7]:24")

    def test_a_socket_is_opened_by_its_path(self) -> None:
        opening = self.opening(BY_PATH)
        path, factory, timeout, _ = self.net.unixClients[0]
        self.assertEqual((path, timeout), ("/run/dovecot/lmtp", 30))
        factory.clientConnectionFailed(self.net.connectors[-1], Failure(Refused()))
        self.assertIn("/run/dovecot/lmtp", self.trouble(opening).text)

    def test_an_unreachable_mail_store_is_named_with_its_setting(self) -> None:
        opening = self.opening(BY_ADDRESS)
        self.net.refuse()
        self.assertEqual(
            self.trouble(opening),
            TryLater(
                "the mail store cannot be reached: connection refused; "
                "mail stays queued. Check LOCAL_DELIVERY=lmtp:192.0.2.7:24",
                "192.0.2.7[192.0.2.7]:24",
                "4.4.1",
                kind=ErrorKind.CONNECT,
            ),
        )

    def test_a_host_name_that_does_not_exist_is_tried_later(self) -> None:
        opening = self.opening(BY_NAME)
        self.answer.callback(TryLater("dovecot has no address", status="4.4.4"))
        trouble = self.trouble(opening)
        self.assertIn("dovecot has no address", trouble.text)
        self.assertIn("LOCAL_DELIVERY=lmtp:dovecot:24", trouble.text)

    def test_a_server_without_lmtp_is_recognised(self) -> None:
        opening = self.opening(BY_ADDRESS)
        self.net.accept("220 hi", "502 5.5.2 EHLO, please")
        trouble = self.trouble(opening)
        self.assertIn("502 5.5.2 EHLO, please", trouble.text)
        self.assertIn("LOCAL_DELIVERY", trouble.text)

    def test_an_opening_can_be_cancelled_while_the_name_is_looked_up(self) -> None:
        opening = self.opening(BY_NAME)
        opening.cancel()
        self.failureResultOf(opening, CancelledError)

    def test_an_opening_can_be_cancelled_while_it_connects(self) -> None:
        opening = self.opening(BY_ADDRESS)
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        self.assertTrue(self.net.connectors[-1].stoppedConnecting)

    def test_each_recipient_has_its_own_outcome(self) -> None:
        connection, wire = self.connected()
        delivering = connection.deliver(request("bob@here.test", "eve@here.test", "dan@here.test"))
        self.assertEqual(wire.heard().count(b"\r\n"), 5)
        wire.says("250 ok", "250 ok", "550 5.1.1 no such user", "250 ok", "354 go")
        self.assertTrue(wire.heard().endswith(b"\r\n.\r\n"))
        wire.says("250 2.0.0 bob saved", "452 4.2.2 dan is full")
        outcomes = self.successResultOf(delivering).outcomes
        self.assertEqual([type(outcomes[index]) for index in range(3)], [Delivered, Failed, TryLater])
        self.assertEqual(outcomes[2], TryLater("452 4.2.2 dan is full", "192.0.2.7[192.0.2.7]:24", "4.2.2"))

    def test_a_connection_is_kept_for_the_next_message(self) -> None:
        connection, wire = self.connected()
        for _ in range(2):
            delivering = connection.deliver(request())
            wire.says("250 ok", "250 ok", "354 go", "250 saved")
            self.assertIsInstance(self.successResultOf(delivering).outcomes[0], Delivered)
            self.assertTrue(connection.usable)

    def test_recipients_without_a_reply_when_the_connection_breaks_are_tried_again(self) -> None:
        connection, wire = self.connected()
        delivering = connection.deliver(request("bob@here.test", "eve@here.test"))
        wire.says("250 ok", "250 ok", "250 ok", "354 go", "250 bob saved")
        wire.lost()
        outcomes = self.successResultOf(delivering).outcomes
        self.assertIsInstance(outcomes[0], Delivered)
        self.assertIsInstance(outcomes[1], TryLater)

    def test_a_mail_store_that_is_silent_after_the_dot_times_out(self) -> None:
        connection, wire = self.connected()
        delivering = connection.deliver(request("bob@here.test", "eve@here.test"))
        wire.says("250 ok", "250 ok", "250 ok", "354 go", "250 bob saved")
        self.net.advance(599)
        self.assertNoResult(delivering)
        self.net.advance(2)
        outcomes = self.successResultOf(delivering).outcomes
        self.assertEqual([type(outcomes[index]) for index in range(2)], [Delivered, TryLater])


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
class DovecotTests(TestCase):
    """A real mail store, over TCP and over its socket."""

    def setUp(self) -> None:
        self.dovecot = Dovecot("bob", "eve")
        self.dovecot.start()
        self.addCleanup(self.dovecot.__exit__)

    async def outcomes(self, rule: LocalRule, *requests: DeliveryRequest) -> list[list[Outcome]]:
        """Deliver requests over one connection; return the outcomes of each."""
        store = mail_store(rule)
        assert store is not None
        down: Deferred[Connection] = Deferred()
        options = ConnectorOptions(reactor, "me.test", client_options, AlwaysNoted(), lost=down.callback)
        connection = await LmtpConnector(SmtpConnector(options), store, self.never).open(store)
        assert not isinstance(connection, TryLater), connection
        outcomes = []
        for each in requests:
            result = await connection.deliver(each)
            outcomes.append([result.outcomes[pending.index] for pending in each.recipients])
        connection.quit()
        await down
        return outcomes

    async def never(self, host: str) -> TryLater:
        raise AssertionError(host)

    async def test_mail_over_tcp_reaches_its_mailboxes_and_an_unknown_user_is_refused(self) -> None:
        rule = LocalRule(LocalKind.LMTP, "127.0.0.1", self.dovecot.port)
        (outcomes,) = await self.outcomes(rule, request("bob@here.test", "no@here.test", "eve@other.test"))
        assert [type(outcome) for outcome in outcomes] == [Delivered, Failed, Delivered]
        assert outcomes[1].status == "5.1.1"
        for user in ("bob", "eve"):
            (message,) = self.dovecot.mail(user)
            assert message.startswith(b"Return-Path: <alice@a.test>\n")
            assert message.endswith(b"\nSubject: hello\n\nHello, Bob.\n")

    async def test_messages_share_a_connection_over_the_socket(self) -> None:
        rule = LocalRule(LocalKind.LMTP, path=self.dovecot.socket)
        outcomes = await self.outcomes(
            rule, request("bob@here.test"), request("no@here.test"), request("bob@here.test")
        )
        assert [type(outcome) for (outcome,) in outcomes] == [Delivered, Failed, Delivered]
        assert len(self.dovecot.mail("bob")) == 2

    async def test_a_large_body_with_dots_arrives_whole(self) -> None:
        content = b"Subject: large\r\n\r\n" + b".line\r\n..\r\n" * 60_000
        rule = LocalRule(LocalKind.LMTP, "127.0.0.1", self.dovecot.port)
        ((outcome,),) = await self.outcomes(rule, request("bob@here.test", body=MemoryBody(content)))
        assert isinstance(outcome, Delivered)
        assert self.dovecot.mail("bob")[0].endswith(b"\n" + content.replace(b"\r\n", b"\n"))
