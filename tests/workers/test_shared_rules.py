"""The rules that all workers share with their parent."""

import os
import pickle

import pytest

from mta.rules.book import RuleBook
from mta.workers import shared_rules
from mta.workers.shared_rules import SharedRules


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
