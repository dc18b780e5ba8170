from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from mta.delivery.carriage import Carried, Connection, Parcel
from mta.delivery.carrier import Parts, SmtpCarrier
from mta.delivery.letters import ONE_WRITE_BYTES
from mta.message.body import CHUNK_BYTES, MemoryBody
from mta.message.outcome import Delivered, Failed, TryLater
from mta.routing.route import Credentials, Plan, Route, TlsRule
from tests.fakes import mail
from tests.fakes.wire import Net, Wire

ROUTE = Route("mx.test", "192.0.2.1", 25)
OTHER = Route("mx2.test", "2001:db8::1", 2525)
EHLO = ("250-mx.test", "250-PIPELINING", "250-STARTTLS", "250 CHUNKING")
CLEAR = ("250-mx.test", "250-PIPELINING", "250 CHUNKING")
TAKEN = ("250 2.1.0 ok", "250 2.1.5 ok", "250 2.0.0 taken")


def parcel(*recipients: str, body: Any = None) -> Parcel:
    claim = mail.claim(*(recipients or ("bob@b.test",)))
    return Parcel(claim.id, claim.envelope, body or claim.body, claim.pending)


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Net()
        self.closed: list[Connection] = []
        self.parts = Parts(self.net, "me.test", self.secure, closed=self.closed.append)

    def secure(self, route: Route) -> Any:
        return f"options for {route.host}"

    def open(self, *routes: Route, **parts: Any) -> Any:
        return SmtpCarrier(replace(self.parts, **parts)).open(Plan("mx.test", routes or (ROUTE,)))

    def ready(self, *offer: str, route: Route = ROUTE, **parts: Any) -> tuple[Connection, Wire]:
        opening = self.open(replace(route, tls=TlsRule.NONE), **parts)
        wire = self.net.accept("220 hi", *(offer or CLEAR))
        wire.heard()
        return self.successResultOf(opening), wire

    def trouble(self, opening: Any) -> TryLater:
        outcome = self.successResultOf(opening)
        self.assertIsInstance(outcome, TryLater)
        return outcome  # type: ignore[no-any-return]


class OpeningTests(Case):
    def test_the_address_of_the_route_is_connected_with_a_time_limit(self) -> None:
        self.open()
        (host, port, _, limit, _) = self.net.tcpClients[0]
        self.assertEqual((host, port, limit), ("192.0.2.1", 25, 30.0))

    def test_a_connection_is_quick_and_notices_a_dead_peer(self) -> None:
        self.open()
        self.assertEqual(self.net.accept().options, {"nodelay", "keepalive"})

    def test_the_connection_is_given_out_once_it_is_ready(self) -> None:
        opening = self.open(replace(ROUTE, tls=TlsRule.NONE))
        wire = self.net.accept("220 hi")
        self.assertNoResult(opening)
        wire.says(*CLEAR)
        connection = self.successResultOf(opening)
        self.assertTrue(connection.usable)
        self.assertEqual((connection.peer, connection.security), ("mx.test[192.0.2.1]:25", ""))

    def test_an_unreachable_host_is_followed_by_the_next_and_the_last_trouble_is_told(self) -> None:
        opening = self.open(ROUTE, OTHER)
        self.net.refuse()
        self.assertEqual(self.net.targets, [("192.0.2.1", 25), ("2001:db8::1", 2525)])
        self.net.time_out()
        outcome = self.trouble(opening)
        self.assertEqual((outcome.host, outcome.status), (OTHER.label, "4.4.1"))
        self.assertIn("cannot connect: ", outcome.text)

    def test_a_host_that_refuses_the_session_is_followed_by_the_next(self) -> None:
        opening = self.open(ROUTE, OTHER)
        first = self.net.accept("554 5.7.1 no service")
        self.assertTrue(first.disconnecting)
        second = self.net.accept("220 hi", *CLEAR)
        self.assertEqual(self.successResultOf(opening).peer, OTHER.label)
        self.assertFalse(second.disconnecting)

    def test_a_plan_without_routes_is_tried_later(self) -> None:
        opening = SmtpCarrier(self.parts).open(Plan("nowhere", ()))
        self.assertEqual(self.trouble(opening).text, "there is no host to try")

    def test_a_silent_host_is_given_up_in_time(self) -> None:
        opening = self.open()
        wire = self.net.accept()
        self.net.advance(299)
        self.assertNoResult(opening)
        self.net.advance(1)
        self.assertEqual(
            self.trouble(opening), TryLater("no reply to greeting within 300 seconds", ROUTE.label, "4.4.2")
        )
        self.assertTrue(wire.aborting)

    def test_a_greeting_that_dribbles_gets_no_more_time(self) -> None:
        opening = self.open()
        wire = self.net.accept()
        for octet in b"220-a":
            wire._protocol.dataReceived(bytes([octet]))
            self.net.advance(60)
        self.assertIn("no reply to greeting", self.trouble(opening).text)

    def test_a_host_that_hangs_up_is_told_with_the_step_it_left_at(self) -> None:
        opening = self.open()
        self.net.accept("220 hi").lost()
        self.assertEqual(self.trouble(opening).text, "connection lost before the reply to EHLO")

    def test_cancelling_stops_a_connection_attempt(self) -> None:
        opening = self.open(ROUTE, OTHER)
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        self.assertEqual(len(self.net.targets), 1)

    def test_cancelling_closes_a_session_under_way(self) -> None:
        opening = self.open(ROUTE, OTHER)
        wire = self.net.accept("220 hi")
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        self.net.advance(0)
        self.assertTrue(wire.aborting)
        self.assertEqual(len(self.net.targets), 1)

    def test_nothing_is_left_in_the_reactor_after_a_failure(self) -> None:
        self.open()
        self.net.accept("554 no")
        self.net.advance(0)
        self.assertEqual(self.net.getDelayedCalls(), [])

    def test_a_host_that_does_not_close_is_closed_by_force(self) -> None:
        connection, wire = self.ready()
        wire.loseConnection = lambda: None  # type: ignore[method-assign]
        connection.quit()
        self.net.advance(10)
        self.assertTrue(wire.aborting)


class TlsTests(Case):
    def starttls(self, route: Route) -> tuple[Any, Wire]:
        opening = self.open(route)
        wire = self.net.accept("220 hi", *EHLO)
        return opening, wire

    def test_starttls_is_used_where_offered(self) -> None:
        opening, wire = self.starttls(ROUTE)
        self.assertTrue(wire.heard().endswith(b"STARTTLS\r\n"))
        wire.says("220 go")
        self.assertEqual(wire.tls, "options for mx.test")
        self.assertEqual(wire.heard(), b"")
        wire.shake_hands()
        self.assertEqual(wire.heard(), b"EHLO me.test\r\n")
        wire.says(*CLEAR)
        self.successResultOf(opening)

    def test_a_refused_starttls_goes_on_in_clear_on_the_same_connection(self) -> None:
        opening, wire = self.starttls(ROUTE)
        wire.says("454 4.7.0 not now")
        self.assertTrue(self.successResultOf(opening).usable)
        self.assertEqual(len(self.net.targets), 1)

    def test_a_failed_handshake_is_followed_by_one_connection_in_clear(self) -> None:
        opening, wire = self.starttls(ROUTE)
        wire.says("220 go")
        wire.lost()
        self.assertEqual(self.net.targets, [("192.0.2.1", 25)] * 2)
        again = self.net.accept("220 hi", *EHLO)
        self.assertEqual(again.heard(), b"EHLO me.test\r\n")
        self.successResultOf(opening)

    def test_a_connection_in_clear_after_a_failed_handshake_is_tried_once(self) -> None:
        opening, wire = self.starttls(ROUTE)
        wire.says("220 go")
        wire.lost()
        self.net.refuse()
        self.assertIn("cannot connect", self.trouble(opening).text)

    def test_a_handshake_that_never_ends_counts_as_failed(self) -> None:
        _, wire = self.starttls(ROUTE)
        wire.says("220 go")
        self.net.advance(60)
        self.assertTrue(wire.aborting)
        self.assertEqual(len(self.net.targets), 2)

    def test_what_demands_tls_never_goes_on_in_clear(self) -> None:
        for rule in (TlsRule.REQUIRE, TlsRule.VERIFY):
            route = replace(ROUTE, tls=rule)
            opening, wire = self.starttls(route)
            wire.says("220 go")
            wire.lost()
            self.assertIn("TLS failed: ", self.trouble(opening).text)
            opening, wire = self.starttls(route)
            wire.says("454 4.7.0 not now")
            self.assertIn(f"SMARTHOST_TLS={rule.value}, but: 454 4.7.0 not now", self.trouble(opening).text)
            opening = self.open(route)
            self.net.accept("220 hi", *CLEAR)
            self.assertIn("STARTTLS is not offered", self.trouble(opening).text)
        self.assertEqual(len(self.net.targets), 6)

    def test_no_starttls_where_the_rule_is_none(self) -> None:
        opening, wire = self.starttls(replace(ROUTE, tls=TlsRule.NONE))
        self.assertEqual(wire.heard(), b"EHLO me.test\r\n")
        self.successResultOf(opening)

    def test_implicit_tls_comes_before_the_greeting(self) -> None:
        opening = self.open(replace(ROUTE, port=465, implicit_tls=True))
        wire = self.net.accept()
        self.assertEqual(wire.tls, "options for mx.test")
        wire.shake_hands()
        wire.says("220 hi")
        self.assertEqual(wire.heard(), b"EHLO me.test\r\n")
        wire.says(*EHLO)
        self.assertEqual(wire.heard(), b"")
        self.successResultOf(opening)

    def test_implicit_tls_that_fails_is_not_followed_by_clear_text(self) -> None:
        opening = self.open(replace(ROUTE, port=465, implicit_tls=True))
        self.net.accept().lost()
        self.assertIn("TLS failed", self.trouble(opening).text)
        self.assertEqual(len(self.net.targets), 1)


class LoginTests(Case):
    def login(self, rule: TlsRule, *, tls: bool, offer: str = "PLAIN") -> tuple[Any, Wire]:
        opening = self.open(replace(ROUTE, tls=rule, credentials=Credentials("the-user", "the-password")))
        starttls = ["250-STARTTLS"] if tls else []
        wire = self.net.accept("220 hi", "250-mx.test", *starttls, f"250 AUTH {offer}")
        if tls:
            wire.says("220 go")
            wire.shake_hands()
            wire.heard()
            wire.says("250-mx.test", f"250 AUTH {offer}")
        return opening, wire

    def test_credentials_are_given_inside_tls(self) -> None:
        opening, wire = self.login(TlsRule.VERIFY, tls=True)
        self.assertEqual(wire.heard(), b"AUTH PLAIN AHRoZS11c2VyAHRoZS1wYXNzd29yZA==\r\n")
        wire.says("235 in")
        self.successResultOf(opening)

    def test_a_refused_login_keeps_the_mail_and_names_the_settings(self) -> None:
        opening, wire = self.login(TlsRule.VERIFY, tls=True)
        wire.says("535 5.7.8 bad credentials")
        outcome = self.trouble(opening)
        self.assertEqual(outcome.status, "4.7.8")
        self.assertIn("login refused: 535 5.7.8 bad credentials", outcome.text)
        self.assertIn("SMARTHOST_USER and SMARTHOST_PASSWORD", outcome.text)
        self.assertNotIn("the-", outcome.text)

    def test_credentials_go_in_clear_only_when_the_rule_is_opportunistic(self) -> None:
        opening, wire = self.login(TlsRule.OPPORTUNISTIC, tls=False)
        self.assertIn(b"AUTH PLAIN", wire.heard())
        wire.says("235 in")
        self.successResultOf(opening)
        opening, wire = self.login(TlsRule.NONE, tls=False)
        self.assertNotIn(b"AUTH", wire.heard())
        self.assertIn("no usable login mechanism: offered PLAIN", self.trouble(opening).text)

    def test_an_unknown_mechanism_keeps_the_mail(self) -> None:
        opening, wire = self.login(TlsRule.VERIFY, tls=True, offer="XOAUTH2")
        self.assertNotIn(b"AUTH", wire.heard())
        self.assertIn("offered XOAUTH2; usable CRAM-MD5, PLAIN or LOGIN", self.trouble(opening).text)


class CarryTests(Case):
    def test_a_small_message_goes_out_in_one_write_and_its_outcome_comes_back(self) -> None:
        connection, wire = self.ready()
        carrying = connection.carry(parcel())
        self.assertFalse(connection.usable)
        self.assertEqual(
            wire.heard(),
            b"MAIL FROM:<alice@a.test>\r\nRCPT TO:<bob@b.test>\r\nBDAT %d LAST\r\n%b" % (len(mail.BODY), mail.BODY),
        )
        wire.says(*TAKEN)
        self.assertEqual(
            self.successResultOf(carrying),
            Carried({0: Delivered("250 2.0.0 taken", ROUTE.label, "2.0.0")}),
        )
        self.assertTrue(connection.usable)

    def test_data_takes_the_place_of_bdat_when_that_is_switched_off(self) -> None:
        connection, wire = self.ready(bdat=False)
        carrying = connection.carry(parcel())
        self.assertTrue(wire.heard().endswith(b"DATA\r\n"))
        wire.says("250 ok", "250 ok", "354 go")
        self.assertEqual(wire.heard(), mail.BODY + b".\r\n")
        wire.says("250 2.0.0 taken")
        self.assertIsInstance(self.successResultOf(carrying).outcomes[0], Delivered)

    def test_outcomes_bear_the_indexes_of_the_parcel(self) -> None:
        connection, wire = self.ready()
        whole = parcel("a@b.test", "b@b.test", "c@b.test")
        carrying = connection.carry(replace(whole, recipients=(whole.recipients[2], whole.recipients[0])))
        wire.says("250 ok", "550 5.1.1 c unknown", "250 ok", "250 taken")
        outcomes = self.successResultOf(carrying).outcomes
        self.assertEqual({index: type(each) for index, each in outcomes.items()}, {2: Failed, 0: Delivered})

    def test_what_cannot_go_this_way_is_decided_without_a_word(self) -> None:
        connection, wire = self.ready("250-mx.test", "250 SIZE 10")
        outcomes = self.successResultOf(connection.carry(parcel())).outcomes
        self.assertEqual(outcomes[0].status, "5.3.4")
        self.assertEqual(wire.heard(), b"")
        self.assertTrue(connection.usable)

    def test_one_parcel_at_a_time(self) -> None:
        connection, _ = self.ready()
        connection.carry(parcel())
        self.assertRaises(RuntimeError, connection.carry, parcel())

    def test_each_step_has_its_time(self) -> None:
        for replies, seconds, words in (
            ((), 300, "no reply to MAIL"),
            (("250 ok",), 300, "no reply to RCPT"),
            (("250 ok", "250 ok"), 120, "no reply to DATA"),
            (("250 ok", "250 ok", "354 go"), 600, "no reply to end of data"),
        ):
            connection, wire = self.ready(bdat=False)
            carrying = connection.carry(parcel())
            self.net.advance(100)
            if replies:
                wire.says(*replies)
                self.net.advance(seconds - 0.5)
                self.assertNoResult(carrying)
            self.net.advance(seconds)
            outcome = self.successResultOf(carrying).outcomes[0]
            self.assertEqual(outcome.text.split(" within")[0], words)
            self.assertEqual(outcome.status, "4.4.2")
            self.assertFalse(connection.usable)
            self.assertTrue(wire.aborting)

    def test_a_remote_that_hangs_up_after_the_dot_may_have_the_message(self) -> None:
        connection, wire = self.ready()
        carrying = connection.carry(parcel())
        wire.says("250 ok", "250 ok")
        wire.lost()
        self.assertEqual(
            self.successResultOf(carrying).outcomes[0],
            TryLater("connection lost after end of data; the message may have been taken", ROUTE.label, "4.4.2"),
        )

    def test_a_remote_that_breaks_the_protocol_is_left(self) -> None:
        connection, wire = self.ready()
        carrying = connection.carry(parcel())
        wire.says("250 ok", "gibberish")
        outcome = self.successResultOf(carrying).outcomes[0]
        self.assertEqual((type(outcome), outcome.status), (TryLater, "4.5.0"))
        self.assertTrue(wire.aborting)

    def test_the_next_parcel_may_be_given_when_the_last_one_comes_back(self) -> None:
        connection, wire = self.ready()
        again = connection.carry(parcel()).addCallback(lambda _: connection.carry(parcel()))
        wire.says(*TAKEN)
        wire.says(*TAKEN)
        self.assertIsInstance(self.successResultOf(again).outcomes[0], Delivered)


class KeptOpenTests(Case):
    def used(self) -> tuple[Connection, Wire]:
        connection, wire = self.ready()
        connection.carry(parcel())
        wire.says(*TAKEN)
        wire.heard()
        return connection, wire

    def test_waiting_for_the_next_parcel_takes_no_time_limit(self) -> None:
        connection, _ = self.used()
        self.net.advance(10_000)
        self.assertTrue(connection.usable)

    def test_goodbye_while_idle_makes_it_unusable_and_is_told_when_it_is_down(self) -> None:
        connection, wire = self.used()
        wire.says("421 4.4.2 idle too long")
        self.assertFalse(connection.usable)
        self.assertEqual(self.closed, [])
        self.net.advance(0)
        self.assertEqual(self.closed, [connection])

    def test_anything_said_while_idle_makes_it_unusable(self) -> None:
        connection, wire = self.used()
        wire.says("250 what?")
        self.assertFalse(connection.usable)

    def test_a_connection_that_goes_down_is_told_once(self) -> None:
        connection, wire = self.used()
        wire.lost()
        self.assertFalse(connection.usable)
        self.assertEqual(self.closed, [connection])
        connection.quit()
        connection.abort()
        self.net.advance(0)
        self.assertEqual(self.closed, [connection])
        self.assertEqual(self.net.getDelayedCalls(), [])

    def test_a_parcel_for_a_dead_connection_may_go_over_another_at_once(self) -> None:
        def gone(wire: Wire) -> None:
            wire.lost()

        def goodbye(wire: Wire) -> None:
            wire.says("421 4.4.2 idle too long")

        def silence(_: Wire) -> None:
            self.net.advance(300)

        for death in (gone, goodbye, silence):
            connection, wire = self.used()
            carrying = connection.carry(parcel())
            death(wire)
            self.assertEqual(self.successResultOf(carrying), Carried({}, stale=True))
            self.assertFalse(connection.usable)

    def test_a_parcel_given_after_the_connection_went_down_is_stale(self) -> None:
        connection, wire = self.used()
        wire.lost()
        self.assertEqual(self.successResultOf(connection.carry(parcel())), Carried({}, stale=True))

    def test_once_anything_was_answered_it_is_not_stale(self) -> None:
        connection, wire = self.used()
        carrying = connection.carry(parcel())
        wire.says("250 ok")
        wire.lost()
        self.assertIsInstance(self.successResultOf(carrying).outcomes[0], TryLater)

    def test_the_first_parcel_of_a_new_connection_is_never_stale(self) -> None:
        connection, wire = self.ready()
        carrying = connection.carry(parcel())
        wire.says("421 no mail today")
        self.assertEqual(self.successResultOf(carrying).outcomes[0].text, "421 no mail today")

    def test_a_refused_reset_makes_it_stale(self) -> None:
        connection, wire = self.ready()
        connection.carry(parcel())
        wire.says("250 ok", "550 no", "503 none")
        wire.heard()
        carrying = connection.carry(parcel())
        self.assertTrue(wire.heard().startswith(b"RSET\r\nMAIL"))
        wire.says("500 what?")
        self.assertEqual(self.successResultOf(carrying), Carried({}, stale=True))

    def test_quit_is_said_and_the_connection_closed(self) -> None:
        connection, wire = self.used()
        connection.quit()
        self.assertEqual(wire.heard(), b"QUIT\r\n")
        self.assertTrue(wire.disconnecting)
        self.assertFalse(connection.usable)

    def test_quit_waits_for_the_parcel_under_way(self) -> None:
        connection, wire = self.used()
        carrying = connection.carry(parcel())
        connection.quit()
        self.assertFalse(wire.disconnecting)
        wire.heard()
        wire.says(*TAKEN)
        self.assertIsInstance(self.successResultOf(carrying).outcomes[0], Delivered)
        self.assertEqual(wire.heard(), b"QUIT\r\n")

    def test_abort_cuts_the_parcel_under_way_short(self) -> None:
        connection, wire = self.used()
        carrying = connection.carry(parcel())
        wire.says("250 ok")
        connection.abort()
        self.assertEqual(self.successResultOf(carrying).outcomes[0].text, "connection closed by us")
        self.net.advance(0)
        self.assertEqual(self.closed, [connection])


class FailingBody:
    size = ONE_WRITE_BYTES * 2

    def chunks(self) -> Iterator[bytes]:
        yield b"x" * 100
        raise OSError(5, "Input/output error")


class LargeBodyTests(Case):
    LARGE = MemoryBody((b"y" * 70 + b"\r\n") * 8000)

    def streaming(self, body: Any, **parts: Any) -> tuple[Any, Connection, Wire]:
        connection, wire = self.ready(**parts)
        carrying = connection.carry(parcel(body=body))
        wire.heard()
        wire.says("250 ok", "250 ok", *([] if parts.get("bdat", True) else ["354 go"]))
        return carrying, connection, wire

    def test_the_body_follows_the_recipients_in_pieces_as_the_transport_asks(self) -> None:
        carrying, connection, wire = self.streaming(self.LARGE)
        sent = wire.heard().removeprefix(b"BDAT %d LAST\r\n" % self.LARGE.size)
        self.assertFalse(wire.streaming)
        while wire.producer is not None:
            wire.producer.resumeProducing()
            piece = wire.heard()
            self.assertLessEqual(len(piece), CHUNK_BYTES)
            sent += piece
        self.assertEqual(sent, self.LARGE.data)
        wire.says("250 2.0.0 taken")
        self.assertIsInstance(self.successResultOf(carrying).outcomes[0], Delivered)
        self.assertTrue(connection.usable)

    def test_the_body_after_data_ends_with_a_dot(self) -> None:
        _, _, wire = self.streaming(self.LARGE, bdat=False)
        sent = b""
        while wire.producer is not None:
            wire.producer.resumeProducing()
            sent += wire.heard()
        self.assertEqual(sent, self.LARGE.data + b".\r\n")

    def test_a_remote_that_takes_no_more_is_given_up(self) -> None:
        carrying, _, wire = self.streaming(self.LARGE)
        self.net.advance(170)
        wire.producer.resumeProducing()
        self.net.advance(170)
        self.assertNoResult(carrying)
        self.net.advance(10)
        outcome = self.successResultOf(carrying).outcomes[0]
        self.assertEqual(outcome.text, "took no more of the body for 180 seconds")
        self.assertTrue(wire.aborting)

    def test_a_body_that_cannot_be_read_to_its_end_is_never_ended(self) -> None:
        for bdat in (True, False):
            carrying, _, wire = self.streaming(FailingBody(), bdat=bdat)
            wire.producer.resumeProducing()
            wire.producer.resumeProducing()
            outcome = self.successResultOf(carrying).outcomes[0]
            self.assertEqual((type(outcome), outcome.status), (TryLater, "4.3.0"))
            self.assertTrue(wire.aborting)
            self.assertNotIn(b"\r\n.\r\n", wire.heard())

    def test_a_body_shorter_than_announced_is_never_ended(self) -> None:
        class Short(FailingBody):
            def chunks(self) -> Iterator[bytes]:
                yield b"x\r\n"

        carrying, _, wire = self.streaming(Short(), bdat=False)
        wire.producer.resumeProducing()
        wire.producer.resumeProducing()
        self.assertIn("3 octets instead of", self.successResultOf(carrying).outcomes[0].text)
        self.assertTrue(wire.aborting)

    def test_a_refusal_in_the_middle_stops_the_body(self) -> None:
        carrying, connection, wire = self.streaming(self.LARGE)
        producer = wire.producer
        producer.resumeProducing()
        wire.says("552 5.3.4 too big")
        self.assertEqual(self.successResultOf(carrying).outcomes[0].status, "5.3.4")
        self.assertFalse(connection.usable)
        self.assertIsNone(wire.producer)
        wire.heard()
        producer.resumeProducing()
        self.assertEqual(wire.heard(), b"")

    def test_a_connection_lost_in_the_middle_is_a_plain_loss(self) -> None:
        carrying, _, wire = self.streaming(self.LARGE)
        wire.producer.resumeProducing()
        wire.lost()
        self.assertEqual(
            self.successResultOf(carrying).outcomes[0].text, "connection lost before the reply to end of data"
        )
