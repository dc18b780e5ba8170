"""Tests transactions over one connection: outcomes, time limits, and connections that are kept open."""

from dataclasses import replace

from harness import mail
from mta.delivery.remote.interface import Connection, TransactionResult
from mta.message.outcome import Delivered, ErrorKind, Failed, TryLater
from tests.drivers.connector_case import ROUTE, TAKEN, Case, request
from tests.fakes.memory_reactor import Wire
from tests.fakes.smarthosts import SMARTHOST


class DeliverTests(Case):
    def test_a_small_message_goes_out_in_one_write_and_its_outcome_comes_back(self) -> None:
        connection, wire = self.ready()
        delivering = connection.deliver(request())
        self.assertFalse(connection.usable)
        self.assertEqual(
            wire.heard(),
            b"MAIL FROM:<alice@a.test>\r\nRCPT TO:<bob@b.test>\r\nBDAT %d LAST\r\n%b" % (len(mail.BODY), mail.BODY),
        )
        wire.says(*TAKEN)
        self.assertEqual(
            self.successResultOf(delivering),
            TransactionResult({0: Delivered("250 2.0.0 taken", ROUTE.label, "2.0.0")}),
        )
        self.assertTrue(connection.usable)

    def test_data_replaces_bdat_if_that_is_switched_off(self) -> None:
        connection, wire = self.ready(bdat=False)
        delivering = connection.deliver(request())
        self.assertTrue(wire.heard().endswith(b"DATA\r\n"))
        wire.says("250 ok", "250 ok", "354 go")
        self.assertEqual(wire.heard(), mail.BODY + b".\r\n")
        wire.says("250 2.0.0 taken")
        self.assertIsInstance(self.successResultOf(delivering).outcomes[0], Delivered)

    def test_outcomes_have_the_recipient_indexes_of_the_request(self) -> None:
        connection, wire = self.ready()
        whole = request("a@b.test", "b@b.test", "c@b.test")
        delivering = connection.deliver(replace(whole, recipients=(whole.recipients[2], whole.recipients[0])))
        wire.says("250 ok", "550 5.1.1 c unknown", "250 ok", "250 taken")
        outcomes = self.successResultOf(delivering).outcomes
        self.assertEqual({index: type(each) for index, each in outcomes.items()}, {2: Failed, 0: Delivered})

    def test_no_refusal_of_mail_by_the_smarthost_is_final_and_each_has_advice(self) -> None:
        for line in ("530 5.7.0 authentication required", "550 5.7.1 not owned by user", "554 no", "501 5.1.7 bad"):
            connection, wire = self.ready(route=replace(ROUTE, smarthost=SMARTHOST))
            delivering = connection.deliver(request("bob@b.test", "eve@b.test"))
            wire.says(line, *["503 MAIL first"] * 3)
            for outcome in self.successResultOf(delivering).outcomes.values():
                self.assertIsInstance(outcome, TryLater)
                self.assertIn(line, outcome.text)
                self.assertIn("SMARTHOST_USER", outcome.advice)
            self.assertTrue(connection.usable)

    def test_a_smarthost_that_refuses_the_sender_later_is_tried_later_and_a_recipient_fails(self) -> None:
        connection, wire = self.ready(route=replace(ROUTE, smarthost=SMARTHOST))
        delivering = connection.deliver(request("bob@b.test", "eve@b.test", "joe@b.test"))
        wire.says(
            "250 ok",
            "550 5.1.1 unknown",
            "554 5.7.1 Relay access denied",
            "250 ok",
            "554 Email address is not verified",
        )
        outcomes = self.successResultOf(delivering).outcomes
        self.assertEqual([type(outcomes[index]) for index in range(3)], [Failed, TryLater, TryLater])

    def test_a_refusal_by_any_other_host_is_final(self) -> None:
        connection, wire = self.ready()
        delivering = connection.deliver(request())
        wire.says("530 5.7.0 authentication required", "503 no", "503 no")
        self.assertIsInstance(self.successResultOf(delivering).outcomes[0], Failed)

    def test_a_message_that_the_host_cannot_take_is_decided_without_a_command(self) -> None:
        connection, wire = self.ready("250-mx.test", "250 SIZE 10")
        outcomes = self.successResultOf(connection.deliver(request())).outcomes
        self.assertEqual(outcomes[0].status, "5.3.4")
        self.assertEqual(wire.heard(), b"")
        self.assertTrue(connection.usable)

    def test_a_second_request_at_the_same_time_is_an_error(self) -> None:
        connection, _ = self.ready()
        connection.deliver(request())
        self.assertRaises(RuntimeError, connection.deliver, request())

    def test_each_step_has_its_time_limit(self) -> None:
        for replies, seconds, words in (
            ((), 300, "no reply to MAIL"),
            (("250 ok",), 300, "no reply to RCPT"),
            (("250 ok", "250 ok"), 120, "no reply to DATA"),
            (("250 ok", "250 ok", "354 go"), 600, "no reply to end of data"),
        ):
            connection, wire = self.ready(bdat=False)
            delivering = connection.deliver(request())
            self.net.advance(100)
            if replies:
                wire.says(*replies)
                self.net.advance(seconds - 0.5)
                self.assertNoResult(delivering)
            self.net.advance(seconds)
            outcome = self.successResultOf(delivering).outcomes[0]
            self.assertEqual(outcome.text.split(" within")[0], words)
            self.assertEqual(outcome.status, "4.4.2")
            self.assertFalse(connection.usable)
            self.assertTrue(wire.aborting)

    def test_a_remote_that_hangs_up_after_the_dot_may_have_the_message(self) -> None:
        connection, wire = self.ready()
        delivering = connection.deliver(request())
        wire.says("250 ok", "250 ok")
        wire.lost()
        self.assertEqual(
            self.successResultOf(delivering).outcomes[0],
            TryLater(
                "connection lost after end of data; the message may have been taken",
                ROUTE.label,
                "4.4.2",
                kind=ErrorKind.CONNECT,
            ),
        )

    def test_a_remote_that_breaks_the_protocol_is_disconnected(self) -> None:
        connection, wire = self.ready()
        delivering = connection.deliver(request())
        wire.says("250 ok", "gibberish")
        outcome = self.successResultOf(delivering).outcomes[0]
        self.assertEqual((type(outcome), outcome.status), (TryLater, "4.5.0"))
        self.assertTrue(wire.aborting)

    def test_the_next_request_may_be_given_when_the_last_result_arrives(self) -> None:
        connection, wire = self.ready()
        again = connection.deliver(request()).addCallback(lambda _: connection.deliver(request()))
        wire.says(*TAKEN)
        wire.says(*TAKEN)
        self.assertIsInstance(self.successResultOf(again).outcomes[0], Delivered)


class KeptOpenTests(Case):
    def used(self) -> tuple[Connection, Wire]:
        connection, wire = self.ready()
        connection.deliver(request())
        wire.says(*TAKEN)
        wire.heard()
        return connection, wire

    def test_an_idle_connection_has_no_time_limit(self) -> None:
        connection, _ = self.used()
        self.net.advance(10_000)
        self.assertTrue(connection.usable)

    def test_421_while_idle_makes_it_unusable_and_its_loss_is_reported(self) -> None:
        connection, wire = self.used()
        wire.says("421 4.4.2 idle too long")
        self.assertFalse(connection.usable)
        self.assertEqual(self.lost, [])
        self.net.advance(0)
        self.assertEqual(self.lost, [connection])

    def test_any_reply_while_idle_makes_it_unusable(self) -> None:
        connection, wire = self.used()
        wire.says("250 what?")
        self.assertFalse(connection.usable)

    def test_a_lost_connection_is_reported_once(self) -> None:
        connection, wire = self.used()
        wire.lost()
        self.assertFalse(connection.usable)
        self.assertEqual(self.lost, [connection])
        connection.quit()
        connection.abort()
        self.net.advance(0)
        self.assertEqual(self.lost, [connection])
        self.assertEqual(self.net.getDelayedCalls(), [])

    def test_a_request_for_a_dead_connection_may_go_over_another_at_once(self) -> None:
        def gone(wire: Wire) -> None:
            wire.lost()

        def goodbye(wire: Wire) -> None:
            wire.says("421 4.4.2 idle too long")

        def silence(_: Wire) -> None:
            self.net.advance(300)

        for death in (gone, goodbye, silence):
            connection, wire = self.used()
            delivering = connection.deliver(request())
            death(wire)
            # By BDAT all of it goes out at once.
            self.assertEqual(self.successResultOf(delivering), TransactionResult({}, stale=True, fully_sent=True))
            self.assertFalse(connection.usable)

    def test_a_request_of_which_only_commands_were_sent_is_stale_and_was_not_sent(self) -> None:
        connection, wire = self.ready(bdat=False)
        delivering = connection.deliver(request())
        wire.says("250 ok", "250 ok", "354 go", "250 taken")
        self.assertIsInstance(self.successResultOf(delivering).outcomes[0], Delivered)
        delivering = connection.deliver(request())
        wire.lost()
        self.assertEqual(self.successResultOf(delivering), TransactionResult({}, stale=True, fully_sent=False))

    def test_a_request_given_after_the_connection_went_down_is_stale(self) -> None:
        connection, wire = self.used()
        wire.lost()
        self.assertEqual(self.successResultOf(connection.deliver(request())), TransactionResult({}, stale=True))

    def test_a_request_that_got_any_reply_is_not_stale(self) -> None:
        connection, wire = self.used()
        delivering = connection.deliver(request())
        wire.says("250 ok")
        wire.lost()
        self.assertIsInstance(self.successResultOf(delivering).outcomes[0], TryLater)

    def test_the_first_request_of_a_new_connection_is_never_stale(self) -> None:
        connection, wire = self.ready()
        delivering = connection.deliver(request())
        wire.says("421 no mail today")
        self.assertEqual(self.successResultOf(delivering).outcomes[0].text, "421 no mail today")

    def test_a_refused_reset_makes_it_stale(self) -> None:
        connection, wire = self.ready()
        connection.deliver(request())
        wire.says("250 ok", "550 no", "503 none")
        wire.heard()
        delivering = connection.deliver(request())
        self.assertTrue(wire.heard().startswith(b"RSET\r\nMAIL"))
        wire.says("500 what?")
        self.assertEqual(self.successResultOf(delivering), TransactionResult({}, stale=True, fully_sent=True))

    def test_quit_is_sent_and_the_connection_closed(self) -> None:
        connection, wire = self.used()
        connection.quit()
        self.assertEqual(wire.heard(), b"QUIT\r\n")
        self.assertTrue(wire.disconnecting)
        self.assertFalse(connection.usable)

    def test_a_host_whose_connections_are_counted_closes_the_connection(self) -> None:
        connection, wire = self.ready()
        down: list[bool] = []
        connection.when_down(lambda: down.append(True))
        connection.quit()
        self.net.advance(1)
        wire.says("221 2.0.0 bye")
        self.assertEqual((wire.heard(), wire.disconnecting, down), (b"QUIT\r\n", False, []))
        wire.lost()
        self.assertEqual(down, [True])
        connection.when_down(lambda: down.append(False))
        self.assertEqual(down, [True, False])

    def test_a_host_that_does_not_close_the_connection_is_not_waited_for_for_long(self) -> None:
        connection, wire = self.ready()
        connection.when_down(lambda: None)
        connection.quit()
        self.net.advance(self.options.timeouts.close)
        self.assertTrue(wire.aborting)

    def test_quit_waits_for_the_running_transaction(self) -> None:
        connection, wire = self.used()
        delivering = connection.deliver(request())
        connection.quit()
        self.assertFalse(wire.disconnecting)
        wire.heard()
        wire.says(*TAKEN)
        self.assertIsInstance(self.successResultOf(delivering).outcomes[0], Delivered)
        self.assertEqual(wire.heard(), b"QUIT\r\n")

    def test_abort_ends_the_running_transaction(self) -> None:
        connection, wire = self.used()
        delivering = connection.deliver(request())
        wire.says("250 ok")
        connection.abort()
        self.assertEqual(
            self.successResultOf(delivering).outcomes[0].text,
            "connection closed by this relay; the message may have been taken",
        )
        self.net.advance(0)
        self.assertEqual(self.lost, [connection])
