"""Rules that change while the relay runs: by SIGHUP, by themselves, with workers, and while messages are under way."""

import os
import signal
from pathlib import Path

import pytest

from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.test_rules import attempt
from tests.endtoend.world import TO, received

FIRST = '[[acl]]\nsender = "first@sender.test"\ndeny = "first"\n'
SECOND = '[[acl]]\nsender = "second@sender.test"\ndeny = "second"\n[[acl]]\nheader.Subject = "*"\ndeny = "a subject"\n'
BROKEN = '[[acl]]\nsendr = "x@sender.test"\ndeny = "x"\n[[acl]]\ndeny = 1\n'


@pytest.fixture
def rules(tmp_path):
    """Return a file of rules in a directory of its own."""
    path = tmp_path / "rules.d" / "10-acl.toml"
    path.parent.mkdir()
    path.write_text(FIRST)
    return path


def texts(relay, event):
    return [found["text"] for found in relay.events(event)]


def reload(relay):
    os.kill(relay.child.pid, signal.SIGHUP)


def test_a_message_whose_data_has_begun_is_taken_by_the_old_rules_and_the_next_by_the_new(world, rules):
    relay = world.relay(world.sink(), RULES_DIR=str(rules.parent))
    with relay.client() as client:
        client.ehlo()
        client.mail("second@sender.test")
        client.rcpt(TO)
        assert client.docmd("DATA")[0] == 354
        rules.write_text(SECOND)
        reload(relay)
        (event,) = relay.wait_for_events("rules")
        assert event["text"] == "2 rules in 1 file are in force"
        client.send(mail() + b".\r\n")
        assert client.getreply()[0] == 250
        client.mail("second@sender.test")
        assert client.rcpt(TO) == (550, b"5.7.1 second")
        client.rset()
        client.mail("first@sender.test")
        client.rcpt(TO)
        assert client.data(mail()) == (550, b"5.7.1 a subject")
        assert client.noop()[0] == 250
    assert relay.events("trouble") == []


def test_broken_rules_change_nothing_and_mended_ones_are_taken_up_without_a_signal(world, rules):
    relay = world.relay(world.sink(), RULES_DIR=str(rules.parent))
    rules.write_text(BROKEN)
    reload(relay)
    told = [event["text"] for event in relay.wait_for_events("trouble", 3)]
    assert told[0].startswith("the new rules are not taken up: 2 mistakes; those of ")
    assert told[1:] == [
        f"{rules}:2: sendr is no condition or action of [[acl]]; did you mean sender?",
        f'{rules}:5: deny: 1 is no text; the words stand in quotes, deny = "no"',
    ]
    assert attempt(relay, sender="first@sender.test") == "550 5.7.1 first"
    rules.write_text(SECOND)
    until(lambda: attempt(relay, sender="second@sender.test") == "550 5.7.1 second", what="the mended rules")
    assert len(relay.wait_for_events("rules")) == 1
    assert len(relay.events("trouble")) == 3


def answers(relay, sender):
    """Return the replies to a recipient in many sessions at a time, so that all workers have some."""
    clients = [relay.client() for _ in range(20)]
    found = set()
    for client in clients:
        client.ehlo()
        client.mail(sender)
        found.add(client.rcpt(TO))
    for client in clients:
        client.quit()
    return found


def replace_unseen(path, text):
    """Write other rules in a way that only a reading of the file finds, and no look at its state."""
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def test_all_workers_have_the_new_rules_and_one_that_starts_later_has_those_in_force(world, rules):
    rules.write_text(FIRST + "\n" * (len(SECOND) - len(FIRST)))
    relay = world.relay(world.sink(), RULES_DIR=str(rules.parent), WORKERS="2")
    relay.wait_for_events("started")
    assert answers(relay, "first@sender.test") == {(550, b"5.7.1 first")}
    replace_unseen(rules, SECOND)
    reload(relay)
    until(lambda: answers(relay, "second@sender.test") == {(550, b"5.7.1 second")}, what="the new rules")
    assert len(relay.wait_for_events("rules")) == 1
    rules.write_text(BROKEN)
    reload(relay)
    assert "2 mistakes" in relay.wait_for_events("trouble", 3)[0]["text"]
    workers = relay.workers()
    for number, pid in workers.items():
        os.kill(pid, signal.SIGKILL)
        until(lambda number=number, pid=pid: relay.workers().get(number, pid) != pid, what="the next process")
    until(lambda: answers(relay, "second@sender.test") == {(550, b"5.7.1 second")}, what="the rules in force")
    assert answers(relay, "first@sender.test") == {(250, b"2.1.5 recipient ok")}
    assert relay.stop() == 0
    assert relay.events("fault") == []


def test_rules_may_come_and_go_in_a_directory_that_appears_after_the_start(world, tmp_path):
    directory = tmp_path / "rules.d"
    directory.mkdir()
    relay = world.relay(world.sink(), RULES_DIR=str(directory))
    assert attempt(relay, sender="first@sender.test") == "250"
    (directory / "10-acl.toml").write_text(FIRST)
    reload(relay)
    assert relay.wait_for_events("rules")[0]["text"] == "1 rule in 1 file is in force"
    assert attempt(relay, sender="first@sender.test") == "550 5.7.1 first"
    (directory / "10-acl.toml").unlink()
    reload(relay)
    assert relay.wait_for_events("rules", 2)[1]["text"] == "no rules are in force"
    assert attempt(relay, sender="first@sender.test") == "250"


OFFICE = """\
[smarthost.office]
hosts = "127.0.0.1:9"
user = "relay"
password_env = "OFFICE_LOGIN"
[[router]]
recipient = "*@office.test"
smarthost = "office"
"""


def test_a_worker_gets_the_passwords_of_rules_with_the_rules_and_not_by_its_environment(world, rules):
    password = world.secret("correct-horse-office")
    relay = world.relay(world.sink(), RULES_DIR=str(rules.parent), WORKERS="2", OFFICE_LOGIN=password)
    relay.wait_for_events("started")
    rules.write_text(OFFICE)
    reload(relay)
    relay.wait_for_events("rules")
    before = relay.workers()
    os.kill(before[2], signal.SIGKILL)
    pid = until(lambda: {2: 0, **relay.workers()}[2] not in {0, before[2]} and relay.workers().get(2), what="a worker")
    until(lambda: b"mta.workers.worker" in Path(f"/proc/{pid}/cmdline").read_bytes(), what="its command")
    assert b"OFFICE_LOGIN" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert relay.stop() == 0


SMARTHOST = """\
[smarthost.office]
hosts = "127.0.0.1:{port}"
tls = "none"
user = "relay"
password_file = "{folder}/password"
[[router]]
recipient = "*@office.test"
smarthost = "office"
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_changed_password_file_is_taken_up_and_the_mail_that_waits_is_sent_with_it(world, rules, workers):
    old, new = world.secret("correct-horse-old"), world.secret("correct-horse-new")
    sink = world.sink(users={"relay": new})
    password = rules.parent.parent / "password"
    password.write_text(old)
    rules.write_text(SMARTHOST.format(port=sink.port, folder=password.parent))
    relay = world.relay(world.sink(), RULES_DIR=str(rules.parent), WORKERS=workers)
    relay.submit(mail(), "bob@office.test")
    relay.wait_for_events("deferred")
    password.write_text(new)
    reload(relay)
    received(sink)
    assert sink.messages[0].user == "relay"
    (event,) = relay.wait_for_events("delivered")
    assert event["to"] == "<bob@office.test>"
