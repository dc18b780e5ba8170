"""Smarthosts of rules in the running relay: connections that are never shared, logins that change, and hints."""

import os
import signal

import pytest

from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.test_routing_rules import Office, from_domains, router, rules
from tests.endtoend.world import TO, received
from tests.length import choose

OFFICE, SALES = 'sender = "a.test"', 'sender = "b.test"'


def test_two_logins_at_one_host_share_no_connection(world):
    office = Office(world, "office")
    other_user, other_password = "sales@office.test", world.secret("sales-open-sesame/+9")
    office.sink.users[other_user] = other_password
    password_file = world.home / "sales"
    password_file.write_text(other_password)
    sales = (
        office.table()
        .replace("[smarthost.office]", "[smarthost.sales]")
        .replace(office.user, other_user)
        .replace(str(office.password_file), str(password_file))
    )
    tables = (office.table(), sales, router(OFFICE, 'smarthost = "office"'), router(SALES, 'smarthost = "sales"'))
    relay = world.relay(world.sink(), **rules(world, *tables))
    for _ in range(5):
        from_domains(relay, "a.test", "b.test")
    received(office.sink, 10)
    assert {(message.sender, message.user) for message in office.sink.messages} == {
        ("ann@a.test", office.user),
        ("ann@b.test", other_user),
    }
    assert office.shown() == {(office.user, office.password), (other_user, other_password)}


def test_a_new_password_is_used_at_once_though_a_connection_is_open(world):
    office = Office(world, "office")
    newer = world.secret("office-newer-word/+8")
    relay = world.relay(world.sink(), **rules(world, office.table(), router(OFFICE, 'smarthost = "office"')))
    from_domains(relay, "a.test")
    received(office.sink)
    office.sink.users[office.user] = newer
    office.password_file.write_text(newer)
    os.kill(relay.child.pid, signal.SIGHUP)
    relay.wait_for_events("rules")
    from_domains(relay, "a.test")
    received(office.sink, 2)
    assert [(login.password, login.accepted) for login in office.sink.logins] == [
        (office.password, True),
        (newer, True),
    ]


@pytest.mark.parametrize("workers", choose(["1"], ["1", "2"]))
def test_a_smarthost_that_refused_the_login_is_asked_at_once_with_a_new_one(world, workers):
    office = Office(world, "office")
    tables = rules(world, office.table(), router(OFFICE, 'smarthost = "office"'))
    office.sink.users[office.user] = "another"
    relay = world.relay(world.sink(), WORKERS=workers, RETRY_SCHEDULE="F,4h,1h", **tables)
    from_domains(relay, "a.test")
    relay.wait_for_events("deferred")
    newer = office.sink.users[office.user] = world.secret("office-newer-word/+8")
    office.password_file.write_text(newer)
    os.kill(relay.child.pid, signal.SIGHUP)
    relay.wait_for_events("rules")
    # The penalty of the first failure is 30 seconds.
    until(lambda: from_domains(relay, "a.test") or office.sink.messages, 20, what="mail by the new login")
    assert {message.user for message in received(office.sink)} == {office.user}


def test_a_new_authority_is_trusted_once_its_file_has_changed(world):
    office, branch = Office(world, "office"), Office(world, "branch")
    right = office.trusted.read_bytes()
    office.trusted.write_bytes(branch.trusted.read_bytes())
    relay = world.relay(world.sink(), **rules(world, office.table(), router(OFFICE, 'smarthost = "office"')))
    from_domains(relay, "a.test")
    (event, *_) = relay.wait_for_events("deferred")
    place = "[smarthost.office] in 20-routes.toml:1"
    assert f"Name its authority in ca_file of {place}" in event["reply"]
    assert office.sink.logins == []
    office.trusted.write_bytes(right)
    os.kill(relay.child.pid, signal.SIGHUP)
    received(office.sink)
    until(lambda: relay.events("delivered"), what="the delivery")


def test_a_refused_login_names_the_place_of_the_smarthost(world):
    office = Office(world, "office")
    office.sink.users[office.user] = "another"
    relay = world.relay(world.sink(), **rules(world, office.table(), router(OFFICE, 'smarthost = "office"')))
    relay.submit(mail(), TO, sender="ann@a.test")
    (event, *_) = relay.wait_for_events("deferred")
    assert event["reply"].endswith("Check user and password of [smarthost.office] in 20-routes.toml:1")
    assert office.user not in event["reply"]
