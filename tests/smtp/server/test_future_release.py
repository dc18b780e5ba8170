"""Messages that wait before their delivery: FUTURERELEASE at EHLO, HOLDFOR and HOLDUNTIL at MAIL (RFC 4865)."""

from datetime import UTC, datetime

import pytest

from mta.smtp.limits import SmtpLimits
from mta.smtp.replies import reply
from mta.smtp.server.events import Hello, MailFrom
from mta.smtp.server.machine import ServerMachine

NOW = datetime(2026, 11, 30, 12, 0, 30, tzinfo=UTC).timestamp()
OK = reply(250, "2.0.0", "ok")


class ReleaseSession:
    """A session past EHLO, at a machine that knows the time unless `clock` is false."""

    def __init__(self, *, dsn: bool = True, clock: bool = True, now: float = NOW) -> None:
        wall_clock = (lambda: now) if clock else None
        self.machine = ServerMachine(SmtpLimits(), "mx.test", dsn=dsn, wall_clock=wall_clock)
        self.machine.answer(OK)
        self.hello = self.hear("EHLO client.test")
        self.held: float | None = None

    def hear(self, line: str) -> str:
        """Return the replies to a line; each question is answered with a yes."""
        self.machine.receive(f"{line}\r\n".encode())
        while isinstance(event := self.machine.next_event(), Hello | MailFrom):
            if isinstance(event, MailFrom):
                assert event.hold_for is None
                self.held = event.hold_until
            self.machine.answer(OK)
        return self.machine.to_send().decode()

    def mail(self, parameters: str) -> str:
        return self.hear(f"MAIL FROM:<a@client.test> {parameters}").strip()


def test_the_longest_wait_and_the_latest_time_are_announced() -> None:
    assert "250-FUTURERELEASE 2592000 2026-12-30T12:00:00Z\r\n" in ReleaseSession().hello


@pytest.mark.parametrize("options", [{"dsn": False}, {"clock": False}])
def test_clients_without_dsn_are_not_offered_it(options: dict[str, bool]) -> None:
    session = ReleaseSession(**options)
    assert "FUTURERELEASE" not in session.hello
    assert session.mail("HOLDFOR=60").startswith("555 5.5.4 FUTURERELEASE is not offered")


@pytest.mark.parametrize(
    ("parameter", "until"),
    [
        ("HOLDFOR=1", NOW + 1),
        ("holdfor=2592000", NOW + 2592000),
        ("HOLDUNTIL=2026-11-30T12:01:30Z", NOW + 60),
        ("HOLDUNTIL=2026-11-30t14:01:30.5+02:00", NOW + 61),
        ("HOLDUNTIL=2001-01-01T00:00:00Z", datetime(2001, 1, 1, tzinfo=UTC).timestamp()),
        ("SIZE=10", None),
    ],
)
def test_a_message_is_held_until_its_time(parameter: str, until: float | None) -> None:
    session = ReleaseSession()
    assert session.mail(parameter) == "250 2.0.0 ok"
    assert session.held == until


def test_the_time_is_a_whole_second_and_not_before_the_one_that_was_asked_for() -> None:
    session = ReleaseSession(now=NOW + 0.25)
    assert session.mail("HOLDFOR=2592000") == "250 2.0.0 ok"
    assert session.held == NOW + 2592001


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("HOLDFOR=2592001", "501 5.5.4 a message may wait for 2592000 seconds at most"),
        ("HOLDUNTIL=2026-12-30T12:00:31Z", "501 5.5.4 a message may wait for 2592000 seconds at most"),
        ("HOLDFOR=1 HOLDUNTIL=2026-11-30T12:01:30Z", "501 5.5.4 HOLDFOR and HOLDUNTIL exclude each other"),
        ("HOLDFOR=0", "501 5.5.4 parameter HOLDFOR: must be a number of seconds"),
        ("HOLDFOR=1234567890", "501 5.5.4 parameter HOLDFOR: must be a number of seconds"),
        ("HOLDFOR", "501 5.5.4 parameter HOLDFOR: must be a number of seconds"),
        *(
            (f"HOLDUNTIL={text}", "501 5.5.4 parameter HOLDUNTIL: must be a date and time such as 2026-12-24T18:00:00Z")
            for text in (
                "",
                "tomorrow",
                "2026-11-30",
                "2026-11-30T12:01:30",
                "2026-W49-1T12:00:00Z",
                "20261130T120130Z",
                "2026-02-30T12:00:00Z",
                "2026-11-30T12:00:00+99:99",
                "0000-01-01T00:00:00Z",
            )
        ),
    ],
)
def test_a_wrong_or_late_time_is_refused_in_words(parameters: str, said: str) -> None:
    session = ReleaseSession()
    assert session.mail(parameters) == said
    assert session.held is None
    assert session.mail("HOLDFOR=5") == "250 2.0.0 ok"
