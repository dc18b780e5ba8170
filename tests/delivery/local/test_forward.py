"""Tests the messages that replace recipients that are aliases."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness import mail
from mta.delivery.job import RecipientResult
from mta.delivery.local.aliases import Expansion
from mta.delivery.local.forward import outside_key, plan_messages, write_message
from mta.delivery.settle_retry import defer_lost_bodies
from mta.message.body import MAX_MEMORY_BODY, Body, FileBody, head
from mta.message.envelope import Notify, Recipient
from mta.message.outcome import Delivered, TryLater
from mta.queue.disk.writer import Writer
from mta.queue.interface import NewMail, Pending, QueueId
from mta.smtp.address import parse_address

ALIAS = parse_address("all@here.test")
ALL = Recipient(ALIAS)
WHO = Expansion((parse_address("bob@here.test"),), (parse_address("eve@out.test"),))


class Broken:
    """A body whose disk fails after more octets were read than fit into a row of the queue."""

    size = 2 * MAX_MEMORY_BODY

    def chunks(self) -> Iterator[bytes]:
        yield b"x" * (MAX_MEMORY_BODY + 1)
        raise OSError(5, "Input/output error")


def new_mail(folder: Path, recipient: Recipient = ALL, body: Body | None = None) -> NewMail:
    claim = mail.claim(recipient)
    claim = replace(claim, body=body) if body else claim
    (message,) = plan_messages([(Pending(0, recipient), WHO)], ()).messages
    return write_message(claim, message, QueueId("0000000000009"), Writer(folder, "0000000000009"))


def folded(*asked: tuple[str, Expansion], reached: Collection[str] = ()) -> tuple[list[set[str]], list[list[int]]]:
    """Return the recipients of each planned message, and the indexes of the messages that each alias needs."""
    aliases = [(Pending(at, Recipient(parse_address(name))), who) for at, (name, who) in enumerate(asked)]
    result = plan_messages(aliases, {outside_key(parse_address(each)) for each in reached})
    to = [{str(one.address) for one in message.recipients.values()} for message in result.messages]
    return to, [list(result.needs[at]) for at in range(len(asked))]


def who(*outside: str, users: Collection[str] = ()) -> Expansion:
    return Expansion(tuple(map(parse_address, users)), tuple(map(parse_address, outside)))


def test_targets_on_other_hosts_get_a_message_of_their_own_with_a_rewritten_sender() -> None:
    rewritten = parse_address("SRS0=x@here.test")
    both = who("eve@out.test", "max@out.test", users=["bob@here.test"])
    again = who("eve@out.test", "zoe@out.test")
    aliases = [(Pending(at, Recipient(ALIAS)), expansion) for at, expansion in enumerate((both, again, WHO))]
    result = plan_messages(aliases, (), rewritten)
    assert [(message.sender, message.companions) for message in result.messages] == [
        (None, ()),
        (rewritten, (0,)),
        (rewritten, (1,)),
    ]
    assert [[str(each.address) for each in message.recipients.values()] for message in result.messages] == [
        ["bob@here.test"],
        ["eve@out.test", "max@out.test"],
        ["zoe@out.test"],
    ]
    assert [list(result.needs[at]) for at in range(3)] == [[0, 1], [1, 2], [0, 1]]


def test_an_alias_with_targets_here_only_needs_no_second_message() -> None:
    at_home = who(users=["bob@here.test", "carol@here.test"])
    result = plan_messages([(Pending(0, Recipient(ALIAS)), at_home)], (), parse_address("SRS0=x@here.test"))
    assert [message.sender for message in result.messages] == [None]


def test_the_targets_of_an_alias_get_the_same_mail_below_a_delivered_to_field(tmp_path: Path) -> None:
    new = new_mail(tmp_path)
    assert head(new.body, 10_000) == b"Delivered-To: all@here.test\r\n" + mail.BODY
    assert [str(one.address) for one in new.envelope.recipients] == ["bob@here.test", "eve@out.test"]


def test_the_sender_stays_and_the_origin_tells_of_the_alias(tmp_path: Path) -> None:
    envelope = new_mail(tmp_path).envelope
    assert str(envelope.sender) == "alice@a.test"
    assert envelope.origin.is_by_alias
    assert envelope.origin.client == mail.ORIGIN.client


@pytest.mark.parametrize(
    ("asked", "passed"),
    [
        (None, None),
        (Notify.NEVER, Notify.NEVER),
        (Notify.SUCCESS, Notify.NEVER),
        (Notify.SUCCESS | Notify.FAILURE, Notify.FAILURE),
        (Notify.DELAY, Notify.DELAY),
    ],
)
def test_success_is_not_reported_for_the_targets_of_an_alias(
    tmp_path: Path, asked: Notify | None, passed: Notify | None
) -> None:
    new = new_mail(tmp_path, Recipient(ALIAS, asked, "rfc822;all@here.test"))
    assert {one.notify for one in new.envelope.recipients} == {passed}
    assert {one.original for one in new.envelope.recipients} == {"rfc822;all@here.test"}


def test_a_large_body_is_copied_into_a_file(tmp_path: Path) -> None:
    content = b"Subject: large\r\n\r\n" + b"x" * 70 * 1024 + b"\r\n" * MAX_MEMORY_BODY
    (tmp_path / "old").write_bytes(content)
    new = new_mail(tmp_path, body=FileBody(tmp_path / "old", len(content)))
    assert isinstance(new.body, FileBody)
    assert new.body.path.read_bytes() == b"Delivered-To: all@here.test\r\n" + content


def test_a_body_that_cannot_be_read_to_its_end_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output error"):
        new_mail(tmp_path, body=Broken())
    assert list(tmp_path.iterdir()) == []


def test_only_messages_with_bodies_in_files_are_deferred(tmp_path: Path) -> None:
    done = Delivered("passed on", host="")
    large = replace(new_mail(tmp_path), body=FileBody(tmp_path / "large", MAX_MEMORY_BODY + 1))
    results = {
        0: RecipientResult(done, mails=(large,)),
        1: RecipientResult(done, mails=(new_mail(tmp_path),)),
        2: RecipientResult(done),
    }
    kept = {index: result for index, result in results.items() if index}
    assert defer_lost_bodies(results, "it is gone")
    assert results.pop(0).outcome == TryLater("cannot pass on the mail: it is gone", status="4.3.0")
    assert results == kept
    assert not defer_lost_bodies(results, "it is gone")


def test_aliases_with_the_same_recipients_become_one_message() -> None:
    same = who("all@corp.test")
    assert folded(*((f"info+{number}@here.test", same) for number in range(1000))) == (
        [{"all@corp.test"}],
        [[0]] * 1000,
    )


def test_a_target_of_several_aliases_is_in_one_message() -> None:
    aliases = ("a@here.test", who("x@t.test", "y@t.test")), ("b@here.test", who("y@t.test", "z@t.test"))
    assert folded(*aliases, ("c@here.test", who("z@t.test", "x@t.test"))) == (
        [{"x@t.test", "y@t.test"}, {"z@t.test"}],
        [[0], [0, 1], [1, 0]],
    )


def test_a_target_that_gets_the_message_anyway_is_in_no_message() -> None:
    assert folded(("a@here.test", who("x@t.test", "y@t.test")), reached=["x@t.test"]) == ([{"y@t.test"}], [[0]])
    assert folded(("a@here.test", who("x@t.test")), reached=["x@t.test"]) == ([], [[]])


def test_case_is_ignored_for_users_and_not_for_outside_addresses() -> None:
    users = ("a@here.test", who(users=["Bob@here.test"])), ("b@here.test", who(users=["bob@here.test"]))
    assert folded(*users)[0] == [{"Bob@here.test"}]
    outside = ("a@here.test", who("Bob@t.test")), ("b@here.test", who("bob@t.test"))
    assert folded(*outside)[0] == [{"Bob@t.test"}, {"bob@t.test"}]


@pytest.mark.parametrize(
    ("first", "second", "asked"),
    [
        (Notify.NEVER, Notify.FAILURE, Notify.FAILURE),
        (Notify.FAILURE, Notify.DELAY | Notify.SUCCESS, Notify.FAILURE | Notify.DELAY),
        (Notify.NEVER, None, None),
        (None, Notify.NEVER, None),
    ],
)
def test_a_target_of_two_aliases_has_the_reports_of_both(
    first: Notify | None, second: Notify | None, asked: Notify | None
) -> None:
    aliases = [(Pending(at, Recipient(ALIAS, notify)), WHO) for at, notify in enumerate((first, second))]
    (message,) = plan_messages(aliases, ()).messages
    assert {one.notify for one in message.recipients.values()} == {asked}
