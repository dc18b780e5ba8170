"""Tests how connections are opened: the order of routes, TLS, login, time limits and cancelling."""

import base64
from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from mta.delivery.remote.connector import SmtpConnector
from mta.message.outcome import ErrorKind, TryLater
from mta.routing.route import (
    CertificateCredentials,
    Credentials,
    Plan,
    Route,
    TlsRule,
    TokenCredentials,
)
from mta.smtp.sasl.logins import Login, TokenLogin
from tests.drivers.connector_case import CLEAR, EHLO, OTHER, ROUTE, Case
from tests.fakes.memory_reactor import Wire
from tests.fakes.smarthosts import SMARTHOST


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

    def test_an_unreachable_host_is_followed_by_the_next_and_the_last_failure_is_reported(self) -> None:
        opening = self.open(ROUTE, OTHER)
        self.net.refuse()
        self.assertEqual(self.net.targets, [("192.0.2.1", 25), ("2001:db8::1", 2525)])
        self.net.time_out()
        outcome = self.trouble(opening)
        self.assertEqual((outcome.host, outcome.status), (OTHER.label, "4.4.1"))
        self.assertEqual(outcome.text, "connection timed out after 30 s")

    def test_a_host_that_refuses_the_session_is_followed_by_the_next(self) -> None:
        opening = self.open(ROUTE, OTHER)
        first = self.net.accept("554 5.7.1 no service")
        self.assertTrue(first.disconnecting)
        second = self.net.accept("220 hi", *CLEAR)
        self.assertEqual(self.successResultOf(opening).peer, OTHER.label)
        self.assertFalse(second.disconnecting)

    def test_hosts_that_are_not_preferred_to_this_relay_are_not_tried_after_it(self) -> None:
        us, worse = replace(ROUTE, preference=10), replace(OTHER, preference=20)
        opening = self.open(us, worse)
        self.net.accept("220 hi", "250 ME.test")
        outcome = self.trouble(opening)
        self.assertEqual(len(self.net.targets), 1)
        self.assertEqual((outcome.status, outcome.host), ("4.4.6", ROUTE.label))
        self.assertIn("mail loops back to this relay: mx.test[192.0.2.1]:25 answers, but it calls itself", outcome.text)

    def test_the_next_smarthost_is_tried_after_one_that_is_this_relay(self) -> None:
        opening = self.open(ROUTE, OTHER)
        self.net.accept("220 hi", "250 me.test")
        self.net.accept("220 hi", *CLEAR)
        self.assertEqual(self.successResultOf(opening).peer, OTHER.label)

    def test_a_plan_without_routes_is_tried_later(self) -> None:
        opening = SmtpConnector(self.options).open(Plan("nowhere", ()))
        self.assertEqual(self.trouble(opening).text, "there is no host to try")

    def test_a_silent_host_is_given_up_in_time(self) -> None:
        opening = self.open()
        wire = self.net.accept()
        self.net.advance(299)
        self.assertNoResult(opening)
        self.net.advance(1)
        self.assertEqual(
            self.trouble(opening),
            TryLater("no reply to greeting within 300 seconds", ROUTE.label, "4.4.2", kind=ErrorKind.CONNECT),
        )
        self.assertTrue(wire.aborting)

    def test_a_greeting_that_dribbles_gets_no_more_time(self) -> None:
        opening = self.open()
        wire = self.net.accept()
        for octet in b"220-a":
            wire._protocol.dataReceived(bytes([octet]))
            self.net.advance(60)
        self.assertIn("no reply to greeting", self.trouble(opening).text)

    def test_a_lost_connection_is_reported_with_the_awaited_step(self) -> None:
        opening = self.open()
        self.net.accept("220 hi").lost()
        self.assertEqual(self.trouble(opening).text, "connection lost before the reply to EHLO")

    def test_cancelling_stops_a_connection_attempt(self) -> None:
        opening = self.open(ROUTE, OTHER)
        # As Twisted's own connector does.
        self.net.connectors[-1].stopConnecting = self.net.refuse
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

    def test_starttls_is_used_if_offered(self) -> None:
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
        self.assertEqual(
            self.trouble(opening), TryLater("connection refused", ROUTE.label, "4.4.1", kind=ErrorKind.CONNECT)
        )

    def test_a_handshake_that_never_ends_counts_as_failed(self) -> None:
        _, wire = self.starttls(ROUTE)
        wire.says("220 go")
        self.net.advance(60)
        self.assertTrue(wire.aborting)
        self.assertEqual(len(self.net.targets), 2)

    def test_a_certificate_that_failed_after_the_handshake_counts_as_a_failed_handshake(self) -> None:
        opening, wire = self.starttls(replace(ROUTE, tls=TlsRule.VERIFY))
        wire.heard()
        wire.says("220 go")
        wire.disconnecting = True
        wire.shake_hands()
        self.assertEqual(wire.heard(), b"")
        wire.lost()
        self.assertIn("TLS failed", self.trouble(opening).text)

    def test_a_route_that_demands_tls_never_goes_on_in_clear(self) -> None:
        for rule in (TlsRule.REQUIRE, TlsRule.VERIFY):
            route = replace(ROUTE, tls=rule, smarthost=replace(SMARTHOST, tls=rule))
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

    def test_starttls_is_not_used_if_the_rule_is_none(self) -> None:
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
        self.assertIn("offered XOAUTH2; usable SCRAM-SHA-256, CRAM-MD5, PLAIN or LOGIN", self.trouble(opening).text)


class Tokens:
    """A LoginSource with tokens in advance; notes each refused one."""

    def __init__(self, *tokens: str | TryLater, renews: bool = True) -> None:
        self._tokens = list(tokens)
        self._renews = renews
        self.asked = 0
        self.refused: list[Login] = []

    async def login(self, route: Route) -> Login | TryLater:
        self.asked += 1
        token = self._tokens.pop(0)
        return token if isinstance(token, TryLater) else TokenLogin("me", token)

    def rejected(self, route: Route, login: Login) -> bool:
        self.refused.append(login)
        return self._renews


class TokenTests(Case):
    NO_TOKEN = TryLater("the token endpoint does not answer", status="4.7.0")

    def begin(self, source: Tokens, *routes: Route) -> Any:
        credentials = TokenCredentials("me", "O365")
        return self.open(
            *(
                replace(route, tls=TlsRule.VERIFY, implicit_tls=True, credentials=credentials)
                for route in routes or (ROUTE,)
            ),
            logins=source,
        )

    def meet(self) -> Wire:
        wire = self.net.accept()
        wire.shake_hands()
        wire.says("220 hi", "250-mx.test", "250 AUTH LOGIN XOAUTH2")
        return wire

    def shown(self, wire: Wire) -> bytes:
        return base64.b64decode(wire.heard().rpartition(b"AUTH XOAUTH2 ")[2])

    def test_the_token_is_asked_for_before_the_connection_is_opened(self) -> None:
        source, waiting = Tokens(), Deferred[Login]()
        source.login = lambda route: waiting  # type: ignore[assignment,method-assign,return-value]
        opening = self.begin(source)
        self.assertEqual(self.net.targets, [])
        waiting.callback(TokenLogin("me", "first"))
        wire = self.meet()
        self.assertEqual(self.shown(wire), b"user=me\1auth=Bearer first\1\1")
        wire.says("235 in")
        self.assertTrue(self.successResultOf(opening).usable)

    def test_mail_waits_with_the_words_of_the_source_without_a_connection(self) -> None:
        opening = self.begin(Tokens(self.NO_TOKEN))
        self.assertEqual(self.trouble(opening), self.NO_TOKEN)
        self.assertEqual(self.net.targets, [])

    def test_after_a_refusal_one_new_token_is_tried(self) -> None:
        source = Tokens("first", "second")
        opening = self.begin(source)
        self.meet().says("334 eyJzdGF0dXMiOiI0MDEifQ==", "535 5.7.3 no")
        wire = self.meet()
        self.assertEqual(self.shown(wire), b"user=me\1auth=Bearer second\1\1")
        wire.says("235 in")
        self.successResultOf(opening)
        self.assertEqual(source.refused, [TokenLogin("me", "first")])

    def test_after_a_second_refusal_the_mail_waits(self) -> None:
        source = Tokens("first", "second")
        opening = self.begin(source, ROUTE)
        self.meet().says("535 5.7.3 no")
        self.meet().says("535 5.7.3 never")
        self.assertIn("535 5.7.3 never", self.trouble(opening).text)
        self.assertEqual(source.asked, 2)
        self.assertEqual(source.refused, [TokenLogin("me", "first"), TokenLogin("me", "second")])

    def test_no_route_is_tried_again_when_the_source_has_no_other_token(self) -> None:
        source = Tokens("first", renews=False)
        opening = self.begin(source)
        self.meet().says("535 5.7.3 no")
        self.assertIn("535 5.7.3 no", self.trouble(opening).text)

    def test_one_more_try_is_for_the_whole_plan(self) -> None:
        source = Tokens("1", "2", "3")
        opening = self.begin(source, ROUTE, OTHER)
        for _ in range(3):
            self.meet().says("535 5.7.3 no")
        self.trouble(opening)
        self.assertEqual([address for address, _ in self.net.targets], [ROUTE.address, ROUTE.address, OTHER.address])

    def test_other_addresses_of_the_host_are_not_asked_after_a_refusal(self) -> None:
        source = Tokens("1", "2", "3")
        opening = self.begin(source, ROUTE, replace(ROUTE, address="192.0.2.2"), OTHER)
        for _ in range(3):
            self.meet().says("535 5.7.3 no")
        self.trouble(opening)
        self.assertEqual([address for address, _ in self.net.targets], [ROUTE.address, ROUTE.address, OTHER.address])

    def test_a_temporary_refusal_says_nothing_about_the_token(self) -> None:
        source = Tokens("first")
        opening = self.begin(source)
        self.meet().says("454 4.7.0 later")
        self.assertIn("454 4.7.0 later", self.trouble(opening).text)
        self.assertEqual(source.refused, [])

    def test_a_server_without_a_mechanism_for_tokens_sees_none(self) -> None:
        opening = self.begin(Tokens("first"))
        wire = self.net.accept()
        wire.shake_hands()
        wire.says("220 hi", "250-mx.test", "250 AUTH LOGIN PLAIN")
        self.assertEqual(wire.heard(), b"EHLO me.test\r\n")
        self.assertIn(
            "offered LOGIN PLAIN; usable OAUTHBEARER or XOAUTH2; mail stays queued. The token was not shown",
            self.trouble(opening).text,
        )

    def test_a_relay_without_a_source_of_tokens_says_so(self) -> None:
        opening = self.open(replace(ROUTE, credentials=TokenCredentials("me")))
        self.assertIn("there is no source of tokens", self.trouble(opening).text)

    def test_a_certificate_is_a_login_without_auth_where_external_is_not_offered(self) -> None:
        opening = self.open(replace(ROUTE, implicit_tls=True, credentials=CertificateCredentials()))
        wire = self.net.accept()
        wire.shake_hands()
        wire.says("220 hi", "250-mx.test", "250 AUTH PLAIN")
        self.successResultOf(opening)

    def test_external_uses_the_certificate(self) -> None:
        opening = self.open(replace(ROUTE, implicit_tls=True, credentials=CertificateCredentials()))
        wire = self.net.accept()
        wire.shake_hands()
        wire.says("220 hi", "250-mx.test", "250 AUTH EXTERNAL PLAIN")
        self.assertIn(b"AUTH EXTERNAL =\r\n", wire.heard())
        wire.says("235 in")
        self.successResultOf(opening)


class BrokenTlsTests(Case):
    def test_a_broken_tls_library_does_not_block_the_mail(self) -> None:
        def broken(route: Route) -> Any:
            raise MemoryError("no executable memory")

        self.options = replace(self.options, tls_options=broken)
        opening = self.open(replace(ROUTE, tls=TlsRule.REQUIRE))
        self.net.accept("220 hi", *EHLO, "220 go ahead")
        self.assertIn("TLS cannot be used on this host: no executable memory", self.trouble(opening).text)
