"""The keys of rates."""

from mta.delivery.rates.terms import (
    keys_of,
    limits_of,
    messages_a_second,
    most_messages,
    most_recipients,
)
from mta.rate import read_rate
from mta.routing.carriage import Carriage, CarriageRate
from mta.routing.destination_names import carried_destination

PACE = CarriageRate("30-pace.toml:1", (read_rate("30 messages/minute"), read_rate("2000 recipients/day")))
EACH = CarriageRate("30-pace.toml:5", (read_rate("1 message / 5 seconds"),))


def test_the_mail_of_a_rule_has_one_window_and_each_destination_another() -> None:
    first, second = (
        list(keys_of(Carriage(rates=(PACE,), rates_each=(EACH,)), name)) for name in ("mx.a.test", "mx.b.test")
    )
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_a_key_tells_its_rates_and_has_the_place_of_its_rule() -> None:
    ((key, place),) = keys_of(Carriage(rates=(PACE,)), "mx.a.test").items()
    assert place == "30-pace.toml:1"
    assert limits_of(key) == PACE.limits


def test_a_rule_that_stands_in_another_line_keeps_its_windows() -> None:
    keys = []
    for line in (1, 7):
        place = f"30-pace.toml:{line}"
        rate = CarriageRate(place, EACH.limits, "a1b2c3")
        carriage = Carriage(places=(place,), rates=(rate,), rates_each=(rate,))
        keys.append(list(keys_of(carriage, carried_destination("mx.a.test", carriage.places))))
    assert keys[0] == keys[1]


def test_a_rule_with_another_rate_has_another_window() -> None:
    other = CarriageRate(PACE.place, EACH.limits)
    assert keys_of(Carriage(rates=(PACE,)), "mx.a.test") != keys_of(Carriage(rates=(other,)), "mx.a.test")


def test_the_slowest_of_several_rates_counts() -> None:
    keys = keys_of(Carriage(rates=(PACE,), rates_each=(EACH,)), "mx.a.test")
    assert messages_a_second(keys) == 2000 / 86_400
    assert most_messages(keys) == 1
    assert most_recipients(keys) == 2000
    assert most_recipients(keys_of(Carriage(rates=(EACH,)), "")) is None
