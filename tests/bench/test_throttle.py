"""The order of the runs of `bench.throttle`, and their table."""

from dataclasses import replace

from bench.throttle import Run, ordered, table

RUN = Run("5 a second", "postfix", 60, 60, 22.0, 11.0, 1500, 12, 0)


def test_the_table_compares_a_run_with_the_time_that_the_limit_takes():
    assert table([RUN]).splitlines()[2:] == ["| 5 a second | postfix | 60 of 60 | 22 | 2.00 | 1,500 | 12 | 0 |"]


def test_a_run_that_was_cut_off_is_marked():
    assert "| 9 of 60 | 600 | **unfinished** |" in table([replace(RUN, delivered=9, seconds=600.0)])


def test_runs_are_ordered_by_provider_size_and_contender():
    runs = [
        replace(RUN, contender="smtprelay"),
        RUN,
        replace(RUN, messages=5000),
        replace(RUN, provider="3 at a time", contender="exim"),
    ]
    found = ordered({run.key: run for run in runs})
    assert [(run.provider, run.messages, run.contender) for run in found] == [
        ("3 at a time", 60, "exim"),
        ("5 a second", 60, "smtprelay"),
        ("5 a second", 60, "postfix"),
        ("5 a second", 5000, "postfix"),
    ]
