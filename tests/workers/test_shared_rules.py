"""The rules that all workers share with their parent."""

import os
import pickle
from pathlib import Path

import pytest

from mta.config.rules.reading import read_again
from mta.rules.book import RuleBook
from mta.workers import shared_rules
from mta.workers.shared_rules import SharedRules

PASSWORD = "correct-horse-office"


def book(digest: str) -> RuleBook:
    return RuleBook(digest=digest)


def size(shared: SharedRules) -> int:
    return os.fstat(shared.descriptor).st_size


def test_each_worker_reads_the_rules_that_the_parent_wrote_last() -> None:
    parent = SharedRules.create(book("a"))
    workers = [SharedRules(os.dup(parent.descriptor)) for _ in range(3)]
    for written in (book("b"), None, book("c" * 100_000), book("d")):
        parent.write(written)
        assert [worker.read() for worker in workers] == [written] * 3


def test_a_relay_without_rules_shares_none() -> None:
    assert SharedRules.create(None).read() is None


def test_the_memory_does_not_grow_with_the_number_of_changes() -> None:
    parent = SharedRules.create(None)
    largest = 0
    for number in range(200):
        parent.write(book("x" * (number * 7919 % 5000)))
        largest = max(largest, size(parent))
    assert largest < 3 * 5200


def test_rules_that_are_being_read_stay_until_the_next_change(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = SharedRules.create(book("a" * 100))
    worker = SharedRules(parent.descriptor)
    pread, changes = os.pread, [book("b" * 50), book("c" * 40), book("d" * 60)]

    def overtaken(descriptor: int, length: int, place: int) -> bytes:
        found = pread(descriptor, length, place)
        # After the header was read, up to three changes.
        if place == 0 and changes:
            parent.write(changes.pop(0))
        return found

    monkeypatch.setattr(shared_rules.os, "pread", overtaken)
    found = worker.read()
    assert found is not None
    assert found.digest in {"a" * 100, "b" * 50, "c" * 40, "d" * 60}


def test_a_reader_that_finds_other_octets_than_the_digest_says_reads_again(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = SharedRules.create(book("a"))
    pread, wrong = os.pread, [1, 1, 1]

    def damaged(descriptor: int, length: int, place: int) -> bytes:
        found = pread(descriptor, length, place)
        return found[:-1] + b"?" if wrong and wrong.pop() else found

    monkeypatch.setattr(shared_rules.os, "pread", damaged)
    assert parent.read() == book("a")


def test_damaged_memory_is_never_unpickled() -> None:
    parent = SharedRules.create(book("a"))
    os.pwrite(parent.descriptor, pickle.dumps(print), 100)
    with pytest.raises(ValueError, match="damaged"):
        parent.read()
    with pytest.raises(ValueError, match="damaged"):
        SharedRules(os.memfd_create("empty")).read()


def test_the_memory_is_inherited_only_if_passed() -> None:
    assert not os.get_inheritable(SharedRules.create(None).descriptor)


#: Every kind of rule, condition and action.
EVERYTHING = """\
[lists]
ours = ["a.test", "*@*.b.test", "^x[0-9]+@c.test", "bob@*", "<>"]
[smarthost.office]
hosts = ["smtp.a.test:587", "[2001:db8::1]:25"]
tls = "require"
user = "relay"
password_env = "OFFICE_PASSWORD"
[[acl]]
client = ["trusted", "10.0.0.0/8", "app.test"]
unless.login = "printer-*"
helo = "*.a.test"
tls = true
sender = "+ours"
recipient = "^no.*@d.test"
over = "30 messages/minute"
per = "sender"
deny = "no"
[[acl]]
header.Subject = ["*a*b", "^win.*"]
larger = "10M"
defer = "later"
[[acl]]
sender = "x@a.test"
hold = true
[[acl]]
sender = "y@a.test"
accept = true
[[rewrite]]
client = "stranger"
recipient = "+ours"
header.X-A = "b"
set.sender = "*@a.test"
set.from = "Shop <shop@a.test>"
set.reply_to = "from"
set.recipient = ["dev@a.test", "*@b.test"]
map = ["root@*.lan -> ops@a.test", "*@*.lan -> *@a.test"]
in = ["sender", "cc"]
add.X-B = "{client} {login}"
remove = "X-Mailer"
hide = ["client", "trace"]
bcc = "archive@a.test"
last = true
[[router]]
sender = "+ours"
smarthost = "office"
[[router]]
recipient = "hosts.test"
hosts = "mail.a.test:25"
tls = "none"
[[router]]
recipient = "mx.test"
mx = "other.test"
[[router]]
recipient = "gone.test"
fail = "moved"
[[router]]
recipient = "void.test"
discard = true
[[transport]]
recipient = "a.test"
host = "*.a.test"
connections = 2
messages_per_connection = 5
rate = ["30 messages/minute", "1000 recipients/day"]
rate_each = "1 message/second"
tls = "require"
port = 2525
helo = "relay.a.test"
source = "192.0.2.1"
ipv6 = false
[[transport]]
smarthost = ["office", "default"]
connections = 1
[[retry]]
error = ["connect", "4.7.*"]
sender = "<>"
schedule = "F,1h,5m"
warn_after = "4h"
[[retry]]
recipient = "+ours"
warn_after = false
"""


def test_every_kind_of_rule_can_be_shared(tmp_path: Path) -> None:
    (tmp_path / "1.toml").write_text(EVERYTHING)
    reading = read_again({"RULES_DIR": str(tmp_path), "OFFICE_PASSWORD": PASSWORD})
    assert reading.mistakes == ()
    given = reading.book
    assert given
    found = SharedRules.create(given).read()
    assert found
    stages = ("acl", "rewrite", "router", "transport", "retry")
    assert {stage: getattr(found, stage).rules for stage in stages} == {
        stage: getattr(given, stage).rules for stage in stages
    }
    assert (found.digest, found.host_names, found.secret_variables) == (
        given.digest,
        given.host_names,
        given.secret_variables,
    )
