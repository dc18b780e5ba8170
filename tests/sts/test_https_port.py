"""Port 443, which seems closed after three policy hosts in a row."""

from mta.sts.https_port import CLOSED_SECONDS, HttpsPort


def test_three_policy_hosts_in_a_row_make_it_seem_closed_for_five_minutes() -> None:
    port = HttpsPort()
    assert [port.failed(f"{name}.test", 10.0) for name in "ab"] == [False, False]
    assert not port.seems_closed(10.0)
    assert port.failed("c.test", 10.0)
    assert port.seems_closed(10.0 + CLOSED_SECONDS - 1)
    assert not port.seems_closed(10.0 + CLOSED_SECONDS)


def test_it_is_told_once_until_a_host_takes_a_connection() -> None:
    port = HttpsPort()
    told = [port.failed(f"{name}.test", float(number)) for number, name in enumerate("abcdefgh")]
    assert told.count(True) == 1
    assert port.seems_closed(7.0 + CLOSED_SECONDS - 1)
    port.connected()
    assert not port.seems_closed(8.0)
    assert [port.failed(f"{name}.test", 9.0) for name in "abc"] == [False, False, True]


def test_one_domain_or_a_success_between_does_not_make_it_seem_closed() -> None:
    port = HttpsPort()
    for _ in range(5):
        assert not port.failed("a.test", 0.0)
        assert not port.failed("b.test", 0.0)
    port.connected()
    assert not port.failed("c.test", 0.0)
    assert not port.seems_closed(0.0)
