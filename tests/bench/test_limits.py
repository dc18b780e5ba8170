"""The limits of scripted providers, in transactions at a time and in messages a period."""

from bench.limits import PROVIDERS, AtOnce, PerPeriod
from bench.scripted import Step


def test_a_transaction_more_than_allowed_is_refused_until_one_is_over():
    limit = AtOnce(2, 0.5)
    assert [limit.reply(Step.MAIL, session, 0.0) for session in (1, 2)] == ["", ""]
    assert limit.reply(Step.MAIL, 3, 0.0).startswith("432 4.3.2")
    limit.over(1)
    assert limit.reply(Step.MAIL, 3, 0.0) == ""


def test_a_session_that_had_no_transaction_gives_no_place_back():
    limit = AtOnce(1, 0.5)
    limit.reply(Step.MAIL, 1, 0.0)
    limit.over(2)
    assert limit.reply(Step.MAIL, 2, 0.0).startswith("432")


def test_a_period_that_had_its_share_refuses_until_the_first_message_is_old_enough():
    limit = PerPeriod(2, 10.0, Step.END, "450 slower")
    assert [limit.reply(Step.END, 1, now) for now in (0.0, 4.0, 9.9, 10.0, 13.9, 14.0)] == [
        "",
        "",
        "450 slower",
        "",
        "450 slower",
        "",
    ]


def test_a_limit_speaks_at_its_step_only():
    limit = PerPeriod(0, 10.0, Step.END, "450 slower")
    assert {limit.reply(step, 1, 0.0) for step in Step if step is not Step.END} == {""}


def test_the_least_time_follows_from_the_limit():
    assert AtOnce(3, 0.5).least(60) == 10.0
    assert PerPeriod(20, 60.0, Step.MAIL, "").least(60) == 120.0
    assert PerPeriod(5, 1.0, Step.END, "").least(1) == 0.0


def test_each_provider_has_a_limit_of_its_own_each_time():
    for provider in PROVIDERS:
        assert provider.limit() is not provider.limit()
