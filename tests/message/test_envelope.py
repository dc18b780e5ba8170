"""Origins and envelopes as values."""

import pytest

from mta.message.envelope import BodyType, Envelope, Notify, Origin, Recipient, Ret
from mta.smtp.address import parse_address

BOB = parse_address("bob@example.test")


@pytest.mark.parametrize(
    ("notify", "wanted"),
    [
        (None, {Notify.FAILURE, Notify.DELAY}),
        (Notify.NEVER, set()),
        (Notify.SUCCESS, {Notify.SUCCESS}),
        (Notify.FAILURE | Notify.DELAY, {Notify.FAILURE, Notify.DELAY}),
        (Notify.SUCCESS | Notify.FAILURE | Notify.DELAY, {Notify.SUCCESS, Notify.FAILURE, Notify.DELAY}),
    ],
)
def test_a_recipient_wants_what_was_asked_or_failure_and_delay(notify: Notify | None, wanted: set[Notify]) -> None:
    recipient = Recipient(BOB, notify)
    assert {event for event in (Notify.SUCCESS, Notify.FAILURE, Notify.DELAY) if recipient.wants(event)} == wanted


def test_a_message_of_the_relay_itself_has_no_client() -> None:
    assert Origin.of_relay("relay.test") == Origin("", "relay.test", "local")


@pytest.mark.parametrize(
    ("protocol", "authenticated"),
    [
        *((name, False) for name in ("SMTP", "ESMTP", "ESMTPS", "UTF8SMTP", "UTF8SMTPS", "local")),
        *((name, True) for name in ("ESMTPA", "ESMTPSA", "UTF8SMTPA", "UTF8SMTPSA")),
    ],
)
def test_an_origin_tells_whether_the_client_had_logged_in_after_an_alias_too(
    protocol: str, *, authenticated: bool
) -> None:
    origin = Origin("203.0.113.9", "app", protocol, "alice" if authenticated else "")
    by_alias = origin.by_alias()
    assert (origin.authenticated, by_alias.authenticated) == (authenticated, authenticated)
    assert by_alias.is_by_alias
    assert by_alias.login == origin.login
    assert by_alias.by_alias() == by_alias
    assert not origin.is_by_alias


def test_an_envelope_has_no_parameters_by_default() -> None:
    envelope = Envelope(None, (Recipient(BOB),), Origin.of_relay("relay.test"))
    assert (envelope.body_type, envelope.smtputf8, envelope.ret, envelope.envid) == (
        BodyType.SEVEN_BIT,
        False,
        None,
        None,
    )


def test_parameters_have_their_names_on_the_wire() -> None:
    assert BodyType("8BITMIME") is BodyType.EIGHT_BIT
    assert Ret("HDRS") is Ret.HEADERS
