from mta.delivery.learned import BELIEVED, PASSED_OVER, UNLIMITED, Learned

NOW = 1000.0


def test_a_limit_of_recipients_is_believed_for_some_hours() -> None:
    learned = Learned(500)
    assert learned.recipients == UNLIMITED
    learned.recipients_refused(2, NOW)
    assert learned.recipients_now(NOW + BELIEVED - 1) == 2
    assert learned.recipients_now(NOW + BELIEVED) == UNLIMITED


def test_a_limit_of_messages_is_never_above_the_relays_own() -> None:
    learned = Learned(500)
    learned.messages_refused(900, NOW)
    assert learned.messages == 500
    learned.messages_refused(10, NOW)
    assert learned.messages_now(NOW + BELIEVED - 1) == 10
    assert learned.messages_now(NOW + BELIEVED) == 500


def test_a_host_that_closes_after_the_same_number_of_messages_again_and_again_has_such_a_limit() -> None:
    learned = Learned(500)
    for carried in (7, 7, 9, 7, 7):
        learned.closed(carried, NOW)
    assert learned.messages == 500
    learned.closed(7, NOW)
    assert learned.messages == 7


def test_a_host_is_passed_over_for_a_minute() -> None:
    learned = Learned(500)
    learned.pass_over(["a", "b"], NOW)
    learned.pass_over(["b"], NOW + 30)
    assert learned.passed_over(NOW + PASSED_OVER - 1) == {"a", "b"}
    assert learned.passed_over(NOW + PASSED_OVER) == {"b"}
    assert learned.passed_over(NOW + PASSED_OVER + 30) == frozenset()
