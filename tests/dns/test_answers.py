"""How the answers for IPv4 and IPv6 addresses of one name are combined."""

from mta.dns.answers import Found, LookupFailed, NoData, NoSuchName, combine

FOUND = Found(("192.0.2.1",), 60, "a.test")
MORE = Found(("2001:db8::1",), 30, "a.test")


def test_records_of_both_answers_are_joined_with_the_shorter_ttl() -> None:
    assert combine(MORE, FOUND) == Found(("2001:db8::1", "192.0.2.1"), 30, "a.test")


def test_records_of_one_answer_count_whatever_the_other_is() -> None:
    for other in (NoData(10), NoSuchName(10)):
        assert combine(FOUND, other) == combine(other, FOUND) == Found(("192.0.2.1",), 10, "a.test")


def test_an_address_found_beside_a_failed_look_up_is_marked_as_incomplete() -> None:
    failed = LookupFailed("SERVFAIL", 10)
    assert (
        combine(FOUND, failed) == combine(failed, FOUND) == Found(("192.0.2.1",), 10, "a.test", incomplete="SERVFAIL")
    )


def test_a_failure_hides_a_no() -> None:
    for other in (NoData(1), NoSuchName(1)):
        assert combine(LookupFailed("SERVFAIL"), other) == combine(other, LookupFailed("SERVFAIL"))
        assert isinstance(combine(LookupFailed("SERVFAIL"), other), LookupFailed)


def test_no_such_name_needs_both_to_say_so() -> None:
    assert combine(NoSuchName(9), NoData(5)) == NoData(5)
    assert combine(NoSuchName(9), NoSuchName(5)) == NoSuchName(5)
