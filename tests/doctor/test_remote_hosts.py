"""The findings about smarthosts and MX hosts."""

from mta.doctor.findings import Level
from mta.doctor.remote_hosts import HostTrial, check_mx_hosts, check_smarthosts

GOOD = HostTrial("office", "mail.a.test[192.0.2.1]:587", "TLSv1.3 AES verified", logged_in=True)
REFUSED = HostTrial(
    "office", "mail.a.test[192.0.2.2]:587", failed="login refused: 535 no; mail stays queued. Correct the password"
)


def test_a_smarthost_that_takes_the_login_is_in_order():
    (found,) = check_smarthosts([GOOD])
    assert (found.level, found.seen) == (
        Level.OK,
        "office: mail.a.test[192.0.2.1]:587: TLSv1.3 AES verified, logged in",
    )


def test_a_smarthost_that_refuses_the_login_is_a_failure_with_the_advice_of_the_relay():
    (found,) = check_smarthosts([REFUSED])
    assert found.level is Level.FAILURE
    assert found.seen == "office: mail.a.test[192.0.2.2]:587: login refused: 535 no"
    assert found.remedy == "Correct the password"


def test_one_of_two_hosts_that_fails_is_a_warning():
    assert [each.level for each in check_smarthosts([GOOD, REFUSED])] == [Level.OK, Level.WARNING]


def test_two_smarthosts_do_not_stand_in_for_each_other():
    other = HostTrial("hq", "hq.a.test[192.0.2.9]:25", failed="connection refused")
    assert [each.level for each in check_smarthosts([GOOD, other])] == [Level.OK, Level.FAILURE]


def test_a_login_that_was_left_out_is_told_once_for_each_smarthost():
    trials = [HostTrial("office", f"m[192.0.2.{n}]:587", "TLS", login_left_out="no password here") for n in (1, 2)]
    found = list(check_smarthosts(trials))
    assert [each.level for each in found] == [Level.OK, Level.OK, Level.SKIPPED]


def test_without_smarthost_and_domain_nothing_is_tried():
    assert [each.level for each in check_smarthosts([])] == [Level.SKIPPED]
    assert [each.level for each in check_mx_hosts([], by_smarthost=False)] == [Level.SKIPPED]
    assert [each.level for each in check_mx_hosts([GOOD], by_smarthost=True)] == [Level.SKIPPED]


def test_a_blocked_port_is_a_failure_that_names_the_reason():
    (found,) = check_mx_hosts([HostTrial("b.test", "mx.b.test[192.0.2.1]:25", failed="timed out")], by_smarthost=False)
    assert found.level is Level.FAILURE
    assert "port 25" in found.remedy


def test_a_domain_without_hosts_has_another_remedy_than_a_blocked_port():
    (found,) = check_mx_hosts([HostTrial("b.test", "", failed="domain b.test does not exist")], by_smarthost=False)
    assert "port 25" not in found.remedy
