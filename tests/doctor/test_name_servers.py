"""The checks of the name servers, in good and bad states."""

import pytest

from mta.doctor.findings import Level
from mta.doctor.lookups import Records
from mta.doctor.name_servers import NameServerFacts, ServerFacts, check_name_servers

HERE = Records(("192.0.2.1",))
FAILED = Records(failed="timed out")


def facts(*answers, wildcards=(), validates=True):
    servers = tuple(ServerFacts(f"192.0.2.{53 + n}", (each,), validates) for n, each in enumerate(answers))
    return NameServerFacts(("relay.a.test A",), servers, wildcards)


def levels(given):
    return {(each.check.removeprefix("dns/"), each.level) for each in check_name_servers(given)}


def test_servers_that_agree_are_in_order():
    assert {level for _, level in levels(facts(HERE, HERE))} == {Level.OK}


@pytest.mark.parametrize(
    ("given", "check", "level"),
    [
        (facts(), "answers", Level.FAILURE),
        (facts(FAILED), "answers", Level.FAILURE),
        (facts(HERE, FAILED), "answers", Level.WARNING),
        (facts(HERE, Records()), "agreement", Level.WARNING),
        (facts(HERE, Records(("192.0.2.2",))), "agreement", Level.WARNING),
        (facts(HERE), "agreement", Level.SKIPPED),
        (facts(HERE, FAILED), "agreement", Level.SKIPPED),
        (facts(HERE, validates=False), "dnssec", Level.SKIPPED),
        (facts(HERE, validates=None), "dnssec", Level.SKIPPED),
        (facts(HERE, wildcards=("a.test",)), "search", Level.WARNING),
    ],
)
def test_each_fault_of_the_servers_is_found(given, check, level):
    assert (check, level) in levels(given)


def test_a_server_that_answers_some_questions_is_a_warning():
    given = NameServerFacts(("a.test A", "b.test A"), (ServerFacts("192.0.2.53", (HERE, FAILED)),))
    assert ("answers", Level.WARNING) in levels(given)
