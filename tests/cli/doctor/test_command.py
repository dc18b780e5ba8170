"""The sections of `smtprelay doctor`: one whose facts cannot be had does not end the others."""

from collections.abc import Iterator

import pytest

from mta.cli.doctor.command import remote_findings, section_findings
from mta.cli.doctor.remote import RemoteTrials
from mta.config.settings import read_settings
from mta.doctor.findings import Finding, Level, exit_status, failure, ok, skipped, warning
from mta.doctor.published_records import PublishedRecords
from mta.queue.interface import QueueError


def test_a_file_that_cannot_be_read_is_a_finding():
    def section() -> Iterator[Finding]:
        yield ok("host/clock", "fine")
        raise PermissionError(13, "Permission denied", "/etc/keys")

    (found,) = section_findings(section)
    assert found.level is Level.SKIPPED
    assert "/etc/keys" in found.seen


def test_a_queue_that_cannot_be_used_is_a_finding():
    def section() -> Iterator[Finding]:
        raise QueueError("no queue here")
        yield

    (found,) = section_findings(section)
    assert "no queue here" in found.seen


@pytest.mark.parametrize(
    ("findings", "status"),
    [
        ([ok("a", "b"), skipped("a", "b")], 0),
        ([ok("a", "b"), warning("a", "b", "c")], 1),
        ([failure("a", "b", "c"), warning("a", "b", "c")], 2),
        ([], 0),
    ],
)
def test_the_exit_status_is_that_of_the_worst_finding(findings, status):
    assert exit_status(findings) == status


def test_the_demands_of_a_destination_do_not_count_if_all_mail_goes_to_a_smarthost():
    # The records were looked up, because the domain is one of the senders too.
    trials = RemoteTrials(published={"a.test": PublishedRecords("a.test", announced=True, fault="no id")})
    environ = {"MAILNAME": "relay.test", "NET_DEV": "none0"}
    direct = {each.check for each in remote_findings(read_settings(environ), ["a.test"], trials)}
    assert "destination/mta-sts" in direct
    settings = read_settings(environ | {"SMARTHOST_ADDRESS": "mail.test"})
    assert {each.check for each in remote_findings(settings, ["a.test"], trials)} == {"smarthost/connect", "network/mx"}
