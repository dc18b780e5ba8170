"""The keys of rates."""

from mta.delivery.rates.terms import (
    keys_of,
    limits_of,
    messages_a_second,
    most_messages,
    most_recipients,
    place_of,
)
from mta.rate import read_rate
from mta.routing.carriage import Carriage, CarriageRate

PACE = CarriageRate("30-pace.toml:1", (read_rate("30 messages/minute"), read_rate("2000 recipients/day")))
EACH = CarriageRate("30-pace.toml:5", (read_rate("1 message / 5 seconds"),))


def test_the_mail_of_a_rule_has_one_window_and_each_destination_another() -> None:
    first, second = (keys_of(Carriage(rates=(PACE,), rates_each=(EACH,)), name) for name in ("mx.a.test", "mx.b.test"))
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_a_key_tells_its_rule_and_its_rates() -> None:
    (key,) = keys_of(Carriage(rates=(PACE,)), "mx.a.test")
    assert place_of(key) == "30-pace.toml:1"
    assert limits_of(key) == PACE.limits


def test_a_rule_with_another_rate_has_another_window() -> None:
    other = CarriageRate(PACE.place, EACH.limits)
    assert keys_of(Carriage(rates=(PACE,)), "mx.a.test") != keys_of(Carriage(rates=(other,)), "mx.a.test")


def test_the_slowest_of_several_rates_counts() -> None:
    keys = keys_of(Carriage(rates=(PACE,), rates_each=(EACH,)), "mx.a.test")
    assert messages_a_second(keys) == 2000 / 86_400
    assert most_messages(keys) == 1
    assert most_recipients(keys) == 2000
    assert most_recipients(keys_of(Carriage(rates=(EACH,)), "")) is None
