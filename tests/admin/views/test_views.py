"""The data of the page's templates."""

from dataclasses import replace

import pytest

from mta.admin.state import LoggedEvent, OrderResult, TrafficMinute
from mta.admin.views import text
from mta.admin.views.events import event_object
from mta.admin.views.failures import MAX_REASONS, failure_reasons
from mta.admin.views.orders import outcome
from mta.admin.views.search import conditions_in, row, url_of
from mta.admin.views.traffic_plot import HEIGHT, SPAN, STEP, STEPS, WIDTH, round_up, traffic_plot
from mta.admin.views.waiting import age_shares
from mta.queue.ids import first_number, to_id
from mta.queue.interface import Action, Entry, QueueId, RecipientState, Status

NOW = 1_700_000_000.0


def entry(*states: RecipientState, held: bool = False) -> Entry:
    return Entry(QueueId("1aaaaaaaaaaaa"), "a@b.test", 10, NOW, "", held, claimed=False, recipients=states)


def recipient(status: Status, reply: str = "", address: str = "x@y.test", attempts: int = 1) -> RecipientState:
    return RecipientState(address, status, attempts, None, reply, "mx.y.test", NOW)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s"),
        (59.4, "59 s"),
        (61, "1 min"),
        (3600, "1 h"),
        (12000, "3 h 20 min"),
        (90000, "1 d 1 h"),
        (86400 * 30 + 5, "30 d"),
    ],
)
def test_durations_have_one_or_two_units(seconds: float, words: str) -> None:
    assert text.duration(seconds) == words


def test_sizes_are_rounded() -> None:
    assert [text.size(each) for each in (0, 1023, 1024, 10 << 10, 3 << 20, 5 << 30)] == [
        "0 B",
        "1023 B",
        "1.0 kB",
        "10 kB",
        "3.0 MB",
        "5.0 GB",
    ]


def test_a_message_has_the_most_urgent_state_of_its_recipients() -> None:
    delivered, failed, waiting = map(recipient, (Status.DELIVERED, Status.FAILED, Status.WAITING))
    assert text.message_badge(entry(delivered)).text == "delivered"
    assert text.message_badge(entry(delivered, failed)).text == "1 of 2 failed"
    assert text.message_badge(entry(delivered, waiting)).text == "1 of 2 deferred"
    assert text.message_badge(entry(waiting, waiting, held=True)).text == "held"
    assert text.message_badge(entry()).text == "removed"


def test_the_plot_has_the_last_day_in_steps() -> None:
    minutes = [TrafficMinute(NOW - SPAN * 2, 9, 9, 9, 9), TrafficMinute(NOW - 60, 7, 5, 1, 0)]
    plot = traffic_plot(minutes, NOW)
    assert plot.totals == (7, 5, 1)
    assert len(plot.accepted) == STEPS
    assert plot.start + SPAN - STEP <= NOW < plot.start + SPAN
    assert plot.top == 10
    assert plot.line(plot.accepted).startswith(f"M0,{HEIGHT} ")
    assert plot.line(plot.accepted).split(" ")[-1].startswith(f"{WIDTH},")
    assert traffic_plot([], NOW).is_empty


def test_a_clock_that_was_set_back_makes_no_negative_traffic() -> None:
    assert traffic_plot([TrafficMinute(NOW, -5, 0, 0, 0)], NOW).totals == (0, 0, 0)


@pytest.mark.parametrize(("most", "top"), [(0, 5), (5, 5), (6, 10), (11, 20), (21, 50), (51, 100), (1001, 2000)])
def test_the_axis_ends_at_a_round_number(most: int, top: int) -> None:
    assert round_up(most) == top


def test_failures_with_one_meaning_are_counted_together() -> None:
    replies = (
        "550 5.1.1 <a@y.test> no such user",
        "550 5.1.1 <b@y.test> User unknown",
        "571 odd 12345678",
        "571 odd 87654321",
    )
    reasons = failure_reasons([entry(recipient(Status.FAILED, each)) for each in replies], NOW - 60)
    assert [each.count for each in reasons] == [2, 2]
    assert reasons[0].remedy
    assert reasons[1].text == "571 odd 12345678"


def test_failures_of_earlier_days_and_other_states_do_not_count() -> None:
    found = [entry(recipient(Status.FAILED, "550 no")), entry(recipient(Status.DELIVERED, "250 ok"))]
    assert failure_reasons(found, NOW + 1) == ()
    assert len(failure_reasons(found, NOW)) == 1


def test_reasons_beyond_a_bound_are_added_up() -> None:
    words = "abcdefghijkl"
    found = [entry(recipient(Status.FAILED, f"571 {each * 3} is odd")) for each in words]
    reasons = failure_reasons(found, NOW)
    assert len(reasons) == MAX_REASONS
    assert sum(each.count for each in reasons) == len(words)
    assert reasons[-1].text == "5 other reasons"


def test_the_url_of_a_search_has_its_conditions_alone() -> None:
    words = conditions_in({"to": [" a+b@c.test "], "status": ["held", ""], "before": ["x"], "token": ["secret"]})
    assert url_of(words) == "/messages?to=a%2Bb%40c.test&status=held"
    assert url_of({}) == "/messages"


def test_a_message_that_waits_for_its_release_is_listed_with_its_arrival() -> None:
    waiting = replace(entry(recipient(Status.WAITING)), id=to_id(first_number(NOW)), created=NOW + 3600)
    assert row(waiting).created == NOW


def test_a_bar_has_the_shares_of_each_age() -> None:
    shares = age_shares((1, 0, 3, 0, 0), 8)
    assert [(each.place, each.x, each.width) for each in shares] == [(0, 0.0, 12.5), (2, 12.5, 37.5)]
    assert age_shares((0, 0, 0, 0, 0), 0) == ()


def test_the_outcome_of_an_order_tells_the_messages_that_it_did_not_reach() -> None:
    ids = (QueueId("1"), QueueId("2"))
    result = OrderResult(ids, held=1, unreported=2, failure="the disk is full")
    assert outcome(Action.BOUNCE, 5, result) == (
        "2 messages were returned; 2 did not wait any more; 1 held message left alone; 2 had no sender to report to;"
        " the others failed: the disk is full."
    )


def test_an_event_is_short_text() -> None:
    shown = event_object(LoggedEvent(NOW, "deferred", {"reply": "x" * 10_000, "size": 5, "level": "warning"}))
    fields = shown["fields"]
    assert isinstance(fields, dict)
    assert len(fields["reply"]) == 500
    assert fields["size"] == 5
    assert "level" not in fields
