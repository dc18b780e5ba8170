"""A rate of accepted mail in the running relay, with one process and with two, and after a change of other rules."""

import os
import signal

import pytest

from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.world import TO

LIMIT = '[[acl]]\nname = "limit"\nover = "4 messages/hour"\nper = "sender"\ndefer = "too fast"\n'
TOO_FAST = (451, b"4.7.1 too fast")


def reply_to_recipient(client, sender):
    """Return the reply to a recipient of a message that is given up then."""
    client.mail(sender)
    reply = client.rcpt(TO)
    client.rset()
    return reply


def limited(world, rules, workers):
    """Return a relay with the limit, and clients of all its workers."""
    rules.parent.mkdir()
    rules.write_text(LIMIT)
    relay = world.relay(world.sink(), WORKERS=workers, RULES_DIR=str(rules.parent))
    relay.wait_for_events("started")
    # Connections are divided evenly between the workers.
    clients = [relay.client() for _ in range(8)]
    for client in clients:
        client.ehlo()
    return relay, clients


@pytest.mark.parametrize("workers", ["1", "2"])
def test_mail_is_limited_in_all_processes_together(world, tmp_path, workers):
    relay, clients = limited(world, tmp_path / "rules.d" / "10-acl.toml", workers)
    for count in range(4):
        clients[count % 2].sendmail("app@sender.test", [TO], mail(f"{count}"))
    for client in clients:
        until(lambda one=client: reply_to_recipient(one, "app@sender.test") == TOO_FAST, what="the rate")
        assert reply_to_recipient(client, "other@sender.test")[0] == 250
        client.quit()
    assert {event["rule"] for event in relay.wait_for_events("refused")} == {"10-acl.toml:1"}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_change_of_other_rules_forgets_nothing(world, tmp_path, workers):
    rules = tmp_path / "rules.d" / "10-acl.toml"
    relay, clients = limited(world, rules, workers)
    for count in range(4):
        clients[0].sendmail("app@sender.test", [TO], mail(f"{count}"))
    rules.write_text(f"\n{LIMIT.replace('limit', 'renamed')}[[acl]]\nsender = 'no@sender.test'\ndeny = 'new'\n")
    os.kill(relay.child.pid, signal.SIGHUP)
    relay.wait_for_events("rules")
    for client in clients:
        until(lambda one=client: reply_to_recipient(one, "no@sender.test") == (550, b"5.7.1 new"), what="the new rules")
        assert reply_to_recipient(client, "app@sender.test") == TOO_FAST
        client.quit()


def replies(relay, sender):
    """Return the replies to the recipient of a message in new sessions, which are divided between the workers."""
    clients = [relay.client() for _ in range(8)]
    found = set()
    for client in clients:
        client.ehlo()
        found.add(reply_to_recipient(client, sender))
        client.quit()
    return found


def test_workers_that_start_again_know_what_was_accepted_before(world, tmp_path):
    relay, (client, *others) = limited(world, tmp_path / "rules.d" / "10-acl.toml", "2")
    for count in range(4):
        client.sendmail("app@sender.test", [TO], mail(f"{count}"))
    for each in (client, *others):
        each.close()
    # A worker tells the others its counts some milliseconds later.
    until(lambda: replies(relay, "app@sender.test") == {TOO_FAST}, what="the counts in all workers")
    for number in (1, 2):
        old = relay.workers()[number]
        os.kill(old, signal.SIGKILL)
        until(lambda old=old, number=number: relay.workers().get(number, old) != old, what="the next process")
        until(lambda: replies(relay, "app@sender.test") == {TOO_FAST}, what="the rate in each worker")
