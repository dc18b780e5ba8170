"""A remote host that does the worst it can at each point of the dialogue: what becomes of each recipient, and when.

The first recipient is refused for good where the dialogue comes so far, the second would be taken.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.error import ConnectionLost

from mta.message.outcome import Delivered, Failed, Outcome, TryLater
from mta.routing.route import TlsRule
from mta.smtp.client.reply_reader import MAX_LINES, MAX_OCTETS
from tests.drivers.connector_case import ROUTE, Case, request
from tests.fakes.memory_reactor import Wire

GOOD = {
    "greeting": "220 hi",
    "EHLO": "250 mx.test",
    "MAIL": "250 ok",
    "RCPT 1": "550 5.1.1 no such user",
    "RCPT 2": "250 ok",
    "DATA": "354 go",
    "end of data": "250 2.0.0 taken",
}
POINTS = list(GOOD)
#: Where a reply decides about the second recipient.
ANSWERED = ["MAIL", "RCPT 2", "DATA", "end of data"]
REFUSED = POINTS.index("RCPT 1")
LAST = "end of data"
#: Seconds until a silent remote is left, by RFC 5321 section 4.5.3.2.
PATIENCE = {"DATA": 120.0, LAST: 600.0}

Mischief = Callable[["Remote"], None]


class Remote(Case):
    """Plays a dialogue up to a point, and there something else instead of the reply."""

    wire: Wire

    def runTest(self) -> None:
        """Do nothing: this case is used without a runner."""

    def play(self, point: str, mischief: Mischief) -> Mapping[int, Outcome] | TryLater:
        """Return the outcomes, or the reason why no connection was opened."""
        self.setUp()
        self.point = point
        opening = self.open(replace(ROUTE, tls=TlsRule.NONE))
        self.wire = self.net.accept()
        result: Any = opening
        for step in POINTS:
            if step == "MAIL":
                result = self.successResultOf(opening).deliver(request("a@b.test", "b@b.test"))
            if step == point:
                self.began = self.net.seconds()
                mischief(self)
                break
            self.wire.says(GOOD[step])
        came: Any = self.successResultOf(result)
        return came if isinstance(came, TryLater) else came.outcomes

    def says(self, octets: bytes) -> None:
        self.wire._protocol.dataReceived(octets)

    @property
    def left(self) -> bool:
        return bool(self.wire.disconnecting or self.wire.disconnected)

    def is_left_with_nothing(self) -> None:
        """Close the connection; check that no timer is left and that further replies are ignored."""
        self.net.advance(10)
        self.net.advance(0)
        assert self.wire.disconnected
        assert self.net.getDelayedCalls() == []


def saying(*lines: str) -> Mischief:
    return lambda remote: remote.wire.says(*lines)


def close(remote: Remote) -> None:
    remote.wire.lost()


def reset(remote: Remote) -> None:
    remote.wire.lost(ConnectionLost())


def close_inside_a_reply(remote: Remote) -> None:
    remote.says(b"250-half a re")
    remote.wire.lost()


def silence(remote: Remote) -> None:
    patience = PATIENCE.get(remote.point, 300.0)
    remote.net.advance(patience - 0.1)
    assert not remote.left
    remote.net.advance(0.1)
    remote.net.advance(0)


def trickle(remote: Remote) -> None:
    """Send an octet every ten seconds; none of them extends the time limit."""
    for octet in b"250-" + b"x" * 100:
        if remote.left:
            break
        remote.says(bytes([octet]))
        remote.net.advance(10)
    assert remote.net.seconds() - remote.began <= PATIENCE.get(remote.point, 300.0) + 10


def lines_by_trickle(remote: Remote) -> None:
    """Send a line of an endless reply every minute."""
    for _ in range(30):
        if remote.left:
            break
        remote.says(b"250-wait\r\n")
        remote.net.advance(60)
    assert remote.net.seconds() - remote.began <= PATIENCE.get(remote.point, 300.0)


def endless_line(remote: Remote) -> None:
    for _ in range(1000):
        remote.says(b"x" * 65536)
    assert remote.left


def endless_reply(remote: Remote) -> None:
    for _ in range(1000):
        remote.says(b"250-and\r\n" * 7000)
    assert remote.left


def unanswered(line: str) -> Mischief:
    """Send a line without a code: it ends the session, or is skipped before the reply to a whole message."""

    def play(remote: Remote) -> None:
        remote.wire.says(line)
        if remote.point == LAST:
            assert not remote.left
            silence(remote)

    return play


def reply_without_a_last_line(remote: Remote) -> None:
    remote.wire.says("250-a", "ok")
    silence(remote)


FOREIGN = [
    *(
        unanswered(f"{code} ok")
        for code in ("000", "099", "100", "199", "600", "999", "25", "2500", "2x0", "٢٥٠", "-250")
    ),
    *(unanswered(line) for line in ("hello", "HTTP/1.1 400 Bad Request", "\0", "\x1b[2J")),
]
PROTOCOL = [
    saying(*["250-x"] * (MAX_LINES + 1)),
    saying("250 " + "x" * MAX_OCTETS),
    lambda remote: remote.says(b"\r\n" * MAX_OCTETS),
    endless_line,
    endless_reply,
]
GONE = [close, reset, close_inside_a_reply]
TIMED = [silence, trickle, lines_by_trickle, reply_without_a_last_line]


@pytest.mark.parametrize("point", POINTS)
def test_no_act_of_a_remote_loses_mail_or_changes_decided_outcomes(point: str) -> None:
    for mischief in (*FOREIGN, *PROTOCOL, *GONE, *TIMED):
        remote = Remote()
        came = remote.play(point, mischief)
        assert remote.left
        expect_waiting(point, came)
        remote.is_left_with_nothing()


def expect_waiting(point: str, came: Mapping[int, Outcome] | TryLater) -> None:
    if isinstance(came, TryLater):
        assert POINTS.index(point) < POINTS.index("MAIL")
        assert came.status.startswith("4.")
        return
    first, second = came[0], came[1]
    assert isinstance(first, Failed if POINTS.index(point) > REFUSED else TryLater)
    assert isinstance(second, TryLater)
    assert second.status.startswith("4.")
    assert second.text.isprintable()
    assert ("may have been taken" in second.text) is (point == LAST)


@pytest.mark.parametrize(
    ("point", "reply", "expected"),
    [
        # What is no success and no refusal where it comes is no answer.
        ("greeting", "354 go", TryLater),
        ("EHLO", "354 go", TryLater),
        *((point, "354 go", TryLater) for point in ("MAIL", "RCPT 2", LAST)),
        ("DATA", "250 ok", TryLater),
        ("DATA", "334 VXNlcm5hbWU6", TryLater),
        # A session that is refused costs no message its life.
        *(("greeting", f"{code} no", TryLater) for code in (421, 450, 499, 500, 554, 599)),
        *(("EHLO", f"{code} no", TryLater) for code in (421, 450, 499)),
        # The rest is an answer to the message.
        *((point, "421 4.3.2 going", TryLater) for point in ANSWERED),
        *((point, "450 4.2.1 later", TryLater) for point in ANSWERED),
        *((point, "550 5.7.1 never", Failed) for point in ANSWERED),
        (LAST, "250", Delivered),
        (LAST, "299 strange", Delivered),
        (LAST, "250 \u202egnp.exe\x1b[2J", Delivered),
    ],
)
def test_each_code_at_each_point_has_one_meaning(point: str, reply: str, expected: type[Outcome]) -> None:
    remote = Remote()
    came = remote.play(point, lambda remote: play_on(remote, reply))
    outcome = came if isinstance(came, TryLater) else came[1]
    assert isinstance(outcome, expected), outcome
    assert outcome.text.isprintable()
    assert ("may have been taken" in outcome.text) is ((point, reply) == (LAST, "354 go"))


def play_on(remote: Remote, reply: str) -> None:
    """Send this reply, and the usual ones to all further commands."""
    remote.wire.heard()
    remote.wire.says(reply)
    for usual in POINTS[POINTS.index(remote.point) + 1 :]:
        if not remote.wire.heard() or remote.left:
            break
        remote.wire.says(GOOD[usual])


def test_replies_after_the_connection_was_closed_are_not_kept_in_memory() -> None:
    remote = Remote()
    remote.play("MAIL", saying("nonsense"))
    client = remote.wire._protocol.client
    for _ in range(100):
        remote.says(b"x" * 65536)
    assert len(client._reader._buffer) < 65536
    remote.is_left_with_nothing()


def test_unexpected_replies_end_the_session_and_change_no_outcome() -> None:
    for extra in ("250 ok", "550 no", "354 go", "221 bye", "nonsense"):
        remote = Remote()
        outcomes = remote.play(LAST, saying(GOOD[LAST], extra))
        assert isinstance(outcomes, Mapping)
        assert isinstance(outcomes[1], Delivered)
        assert remote.left


@pytest.mark.parametrize(
    "offer",
    [
        *(
            ["250-mx.test", f"250 SIZE {size}"]
            for size in ("-1", "-99999999", "9" * 20, "9" * 500, "1e9", "0x7f", "٣", "")
        ),
        ["250-mx.test", *["250-X-ANY some thing"] * 97, "250 8BITMIME"],
        ["250-mx.test", "250 AUTH" + " X" * 900],
        ["250-mx.test", "250-", "250 \x07"],
        ["250-", "250 PIPELINING"],
    ],
)
def test_no_offer_of_a_remote_stops_mail(offer: list[str]) -> None:
    case = Remote()
    case.setUp()
    connection, wire = case.ready(*offer)
    delivering = connection.deliver(request())
    for reply in ("250 ok", "250 ok", "354 go", "250 taken"):
        wire.says(reply)
    assert isinstance(case.successResultOf(delivering).outcomes[0], Delivered)


def test_ten_thousand_capabilities_are_no_offer() -> None:
    case = Remote()
    case.setUp()
    opening = case.open(replace(ROUTE, tls=TlsRule.NONE))
    case.net.accept("220 hi", *["250-X"] * 10_000, "250 Y")
    assert f"a reply of more than {MAX_LINES} lines" in case.trouble(opening).text
