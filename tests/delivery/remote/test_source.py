"""Connections by the address and the name that a rule wants."""

import errno
from dataclasses import replace
from typing import Any

from twisted.internet.error import ConnectBindError
from twisted.python.failure import Failure

from mta.delivery.remote.connector import SmtpConnector
from mta.delivery.remote.source import TELL_AGAIN, SourceTroubles
from mta.routing.carriage import Carriage
from mta.routing.route import Plan, Route, TlsRule
from tests.drivers.connector_case import CLEAR, OTHER, ROUTE, Case

BOTH = Carriage(places=("30-pace.toml:1",), source=("192.0.2.77", "2001:db8::77"))


class SourceTests(Case):
    def open_by(self, carriage: Carriage, *routes: Route, **options: Any) -> Any:
        return SmtpConnector(replace(self.options, **options)).open(Plan("mx.test", routes or (ROUTE,), carriage))

    def refuse_source(self, error: int) -> None:
        factory, connector = self.net.tcpClients[-1][2], self.net.connectors[-1]
        factory.clientConnectionFailed(connector, Failure(ConnectBindError(error, "no")))

    def sources(self) -> list[Any]:
        return [attempt[4] for attempt in self.net.tcpClients]

    def test_each_family_is_connected_from_its_own_address(self) -> None:
        self.open_by(BOTH, ROUTE, OTHER)
        self.net.refuse()
        assert self.sources() == [("192.0.2.77", 0), ("2001:db8::77", 0)]

    def test_a_family_without_a_source_is_connected_from_the_address_that_the_system_chooses(self) -> None:
        self.open_by(Carriage(source=("2001:db8::77",)), ROUTE)
        assert self.sources() == [None]

    def test_without_a_rule_the_system_chooses(self) -> None:
        self.open(ROUTE)
        assert self.sources() == [None]

    def test_the_name_in_ehlo_is_the_one_of_the_rule(self) -> None:
        self.open_by(Carriage(helo="out.example.com"), replace(ROUTE, tls=TlsRule.NONE))
        wire = self.net.accept("220 hi")
        assert wire.heard() == b"EHLO out.example.com\r\n"

    def test_a_source_that_this_host_does_not_have_is_told_with_the_rule_and_the_mail_waits(self) -> None:
        told: list[str] = []
        opening = self.open_by(BOTH, ROUTE, source_missing=told.append)
        self.refuse_source(errno.EADDRNOTAVAIL)
        outcome = self.trouble(opening)
        assert outcome.text == (
            "cannot send from 192.0.2.77, which is not an address of this host: "
            "correct source in 30-pace.toml:1, or add it"
        )
        assert (outcome.status, told) == ("4.3.5", [outcome.text])

    def test_mail_goes_to_the_next_host_if_only_the_source_of_one_family_is_missing(self) -> None:
        opening = self.open_by(BOTH, ROUTE, replace(OTHER, tls=TlsRule.NONE))
        self.refuse_source(errno.EADDRNOTAVAIL)
        self.net.accept("220 hi", *CLEAR)
        assert self.successResultOf(opening).peer == OTHER.label

    def test_another_failure_to_bind_is_told_as_what_it_is(self) -> None:
        told: list[str] = []
        opening = self.open_by(BOTH, ROUTE, source_missing=told.append)
        self.refuse_source(errno.EACCES)
        assert self.trouble(opening).status == "4.4.1"
        assert told == []


def test_the_operator_is_told_once_an_hour_for_each_address() -> None:
    lines, seconds = list[str](), [0.0]
    troubles = SourceTroubles(lines.append, lambda: seconds[0])
    for text in ("one", "one", "two"):
        troubles.tell(text)
    assert lines == ["one; the mail waits", "two; the mail waits"]
    seconds[0] = TELL_AGAIN
    troubles.tell("one")
    assert lines[2:] == ["one; the mail waits"]
