"""Tests local delivery as a whole: aliases, Maildirs, the mail store, and accepted addresses."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from harness import mail
from mta.blocking import run_inline
from mta.delivery.local.aliases import Aliases, parse_aliases
from mta.delivery.local.forward import MAX_IN_MEMORY, Forwarding
from mta.delivery.local.interface import Expanded
from mta.delivery.local.local import LocalMail
from mta.message.body import MemoryBody
from mta.message.outcome import Delivered, Failed, Outcome, TryLater
from mta.queue.disk.writer import Writer
from mta.queue.ids import IdSource
from mta.queue.interface import Claim, QueueFull
from mta.queue.memory import MemoryQueue
from mta.routing.route import Plan
from mta.smtp.address import parse_address

STORE = Plan("lmtp:store.test:24", ())
ALIASES = """\
postmaster: nobody-there
admin: bob
both: bob, eve
away: away@corp.test
keep: keep, keep@corp.test
lost: nobody-there
half: nobody-there, away@corp.test
closed: :fail:
null: /dev/null
deep: {deep}
info@other.test: bob
""".format(deep=", ".join(f"u{number}@corp.test" for number in range(1001)))


class LocalCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        for user in ("bob", "eve", "keep"):
            for name in ("cur", "new", "tmp"):
                (self.root / user / name).mkdir(parents=True)
        self.queue = MemoryQueue()
        self.aliases = parse_aliases(ALIASES)

    def local(self, run: Callable[..., Any] = run_inline, **settings: Any) -> LocalMail:
        return LocalMail(self.root, "relay.test", run=run, wall_clock=lambda: 1_000_000.0, **settings)

    def forwarding(self) -> Forwarding:
        ids = IdSource(tag=5)
        return Forwarding(
            lambda: self.aliases,
            {"here.test", "localhost"}.__contains__,
            new_id=lambda: ids.new(1.0),
            writer=self.queue.writer,
            require_room=self.queue.require_room,
        )

    def with_aliases(self, **settings: Any) -> LocalMail:
        return self.local(forwarding=self.forwarding(), **settings)

    def came_of(self, local: LocalMail, claim: Claim) -> Outcome | Expanded:
        (outcome,) = self.outcomes_of(local, replace(claim, pending=claim.pending[:1]))
        return outcome

    def outcomes_of(self, local: LocalMail, claim: Claim) -> list[Outcome | Expanded]:
        outcomes: dict[int, Outcome | Expanded] = {}
        for part in local.deliver(claim, claim.pending):
            assert isinstance(part.delivery, Deferred)
            came = self.successResultOf(part.delivery)
            assert set(came) == {pending.index for pending in part.recipients}
            assert outcomes.keys().isdisjoint(came)
            outcomes |= came
        return [outcomes[pending.index] for pending in claim.pending]

    def way(self, local: LocalMail, claim: Claim) -> object:
        (part,) = local.deliver(claim, claim.pending)
        return part.delivery

    def outcome(self, to: str) -> Outcome | Expanded:
        return self.came_of(self.with_aliases(), mail.claim(to))

    def expanded(self, to: str, **settings: Any) -> Expanded:
        came = self.came_of(self.with_aliases(**settings), mail.claim(to))
        assert isinstance(came, Expanded), came
        return came

    def saved(self, user: str) -> list[bytes]:
        folder = self.root / user / "new"
        return [path.read_bytes() for path in folder.iterdir()] if folder.exists() else []


class DeliveryTests(LocalCase):
    def test_without_aliases_mail_goes_to_the_maildir(self) -> None:
        assert isinstance(self.came_of(self.local(), mail.claim("bob@here.test")), Delivered)
        assert len(self.saved("bob")) == 1

    def test_blocking_work_is_given_to_run(self) -> None:
        kept: list[Callable[[], dict[int, Outcome]]] = []

        def run(work: Callable[[], dict[int, Outcome]]) -> Deferred[dict[int, Outcome]]:
            kept.append(work)
            return Deferred()

        claim = mail.claim("bob@here.test")
        self.local(run).deliver(claim, claim.pending)
        assert self.saved("bob") == []
        assert isinstance(kept[0]()[0], Delivered)

    def test_an_alias_for_one_user_is_saved_in_that_mailbox_at_once(self) -> None:
        assert self.outcome("admin@here.test") == Delivered("saved in the mailbox bob", "")
        assert b"Delivered-To: bob@here.test\n" in self.saved("bob")[0]

    def test_an_alias_for_several_recipients_becomes_a_message_to_them(self) -> None:
        came = self.expanded("both@here.test")
        assert [str(one.address) for one in came.mails[0].envelope.recipients] == ["bob@here.test", "eve@here.test"]
        assert came.outcome.text == f"passed on to 2 recipients as message {came.mails[0].id}"
        assert self.saved("bob") == []

    def test_an_alias_for_an_outside_address_becomes_a_message_to_it(self) -> None:
        came = self.expanded("away@here.test")
        assert [str(one.address) for one in came.mails[0].envelope.recipients] == ["away@corp.test"]
        assert "1 recipient as" in came.outcome.text

    def test_a_message_that_an_alias_made_is_not_expanded_again(self) -> None:
        new = self.expanded("keep@here.test").mails[0]
        claim = self.successResultOf(self.queue.add(new, 1.0, 60.0))
        assert claim is not None
        assert self.came_of(self.with_aliases(), claim) == Delivered("saved in the mailbox keep", "")
        assert self.saved("keep")[0].count(b"Delivered-To: keep@here.test\n") == 2

    def test_a_message_that_comes_back_to_its_alias_is_a_loop(self) -> None:
        new = self.expanded("away@here.test").mails[0]
        claim = mail.claim("away@here.test")
        back = Claim(claim.id, 1, claim.envelope, new.body, 1.0, claim.pending)
        came = self.came_of(self.with_aliases(), back)
        assert isinstance(came, Failed)
        assert came.status == "5.4.6"

    def test_a_delivered_to_value_of_an_address_or_of_a_user_behind_its_alias_shows_a_loop(self) -> None:
        local = self.with_aliases()
        bob, admin = parse_address("bob@here.test"), parse_address("admin@here.test")
        assert local.was_delivered_here([bob], [b"x@y.test", b"bob@here.test"])
        assert local.was_delivered_here([admin], [b"admin@here.test"])
        assert local.was_delivered_here([admin], [b"bob@here.test"])
        assert not local.was_delivered_here([bob], [b"admin@here.test"])
        assert not local.was_delivered_here([bob], [])

    def test_the_users_of_an_alias_are_checked_once_however_many_recipients_lead_to_it(self) -> None:
        looked_at = 0

        class Marks:
            def __contains__(self, mark: object) -> bool:
                nonlocal looked_at
                looked_at += 1
                return False

        many = [parse_address(f"Admin+{number}@here.test") for number in range(500)]
        many += [parse_address(f"{name}@here.test") for name in ("admin", "ADMIN", "aDmin")]
        assert not self.with_aliases().was_delivered_here(many, Marks())
        assert looked_at <= len(many) + 5

    def test_with_a_mail_store_only_delivered_to_values_of_aliases_are_checked(self) -> None:
        local = self.with_aliases(store=STORE)
        bob, admin = parse_address("bob@here.test"), parse_address("admin@here.test")
        assert not local.was_delivered_here([bob], [b"bob@here.test"])
        assert not local.was_delivered_here([admin], [b"bob@here.test"])
        assert local.was_delivered_here([admin], [b"admin@here.test"])

    def test_mail_for_an_alias_without_recipients_is_dropped(self) -> None:
        assert self.outcome("null@here.test") == Delivered("dropped: the alias null@here.test has no recipients", "")

    def test_an_alias_that_refuses_fails(self) -> None:
        assert self.outcome("closed@here.test") == Failed("no mailbox closed@here.test here", status="5.1.1")

    def test_an_alias_for_too_many_waits_for_the_operator(self) -> None:
        came = self.outcome("deep@here.test")
        assert came == TryLater(
            "the alias deep stands for more than 1000 recipients: fix it in ALIASES_FILE", status="4.2.4"
        )

    def test_an_alias_for_one_user_without_a_maildir_fails(self) -> None:
        assert self.outcome("lost@here.test") == Failed("no mailbox nobody-there@here.test here", status="5.1.1")

    def test_postmaster_has_a_mailbox_if_its_alias_names_an_unknown_user(self) -> None:
        for address in ("postmaster@here.test", "postmaster"):
            assert isinstance(self.outcome(address), Delivered)
        assert len(self.saved("postmaster")) == 2

    def test_an_alias_cannot_reject_mail_for_postmaster(self) -> None:
        self.aliases = parse_aliases("postmaster: :fail:")
        assert isinstance(self.outcome("postmaster@here.test"), Delivered)

    def test_a_body_that_cannot_be_stored_is_tried_later(self) -> None:
        def full(_: object) -> None:
            raise QueueFull("only 3 MiB free on the queue's disk: free space under QUEUE_DIR")

        self.queue.writer = full  # type: ignore[assignment,method-assign]
        came = self.outcome("away@here.test")
        assert isinstance(came, TryLater)
        assert "free space under QUEUE_DIR" in came.text

    def test_users_without_a_maildir_get_one_with_maildir_create(self) -> None:
        assert isinstance(self.came_of(self.local(create=True), mail.claim("new@here.test")), Delivered)
        assert len(self.saved("new")) == 1


class CopiesTests(LocalCase):
    """One message with recipients that lead to the same mailboxes and addresses."""

    def sent(self, *to: str, **settings: Any) -> list[Outcome | Expanded]:
        return self.outcomes_of(self.with_aliases(**settings), mail.claim(*to))

    def test_a_thousand_spellings_of_an_alias_become_one_message(self) -> None:
        came = self.sent(*(f"away+{number}@here.test" for number in range(1000)))
        mails = {id(new) for each in came if isinstance(each, Expanded) for new in each.mails}
        assert (len(came), len(mails)) == (1000, 1)
        assert {type(each) for each in came} == {Expanded}

    def test_a_thousand_spellings_of_an_alias_for_one_user_are_one_copy(self) -> None:
        came = self.sent(*(f"admin+{number}@here.test" for number in range(1000)), "bob@here.test", "bob+1@localhost")
        assert set(came) == {Delivered("saved in the mailbox bob", "")}
        assert len(self.saved("bob")) == 1

    def test_a_user_and_an_address_that_get_the_message_anyway_get_no_second_copy(self) -> None:
        claim = mail.claim("bob@here.test", "both@here.test", "half@here.test", "away@corp.test")
        local = replace(claim, pending=claim.pending[:3])
        bob, both, half = self.outcomes_of(self.with_aliases(), local)
        assert isinstance(bob, Delivered)
        assert isinstance(both, Expanded)
        assert [str(one.address) for one in both.mails[0].envelope.recipients] == ["eve@here.test"]
        assert isinstance(half, Expanded)
        assert [str(one.address) for one in half.mails[0].envelope.recipients] == ["nobody-there@here.test"]

    def test_an_alias_whose_recipients_all_get_the_message_makes_none(self) -> None:
        came = self.sent("both@here.test", "bob@here.test", "eve@here.test")[0]
        assert came == Delivered("not passed on: all recipients of the alias get the message already", "")

    def test_an_alias_that_the_message_went_through_is_a_loop_and_does_not_hold_up_the_others(self) -> None:
        new = self.expanded("away@here.test").mails[0]
        claim = mail.claim("away@here.test", "away+1@here.test")
        back = Claim(claim.id, 1, claim.envelope, new.body, 1.0, claim.pending)
        loop, other = self.outcomes_of(self.with_aliases(), back)
        assert isinstance(loop, Failed)
        assert isinstance(other, Expanded)

    def test_room_is_asked_for_before_anything_is_written(self) -> None:
        self.queue.room = 10
        self.queue.writer = lambda _: self.fail("written without room")  # type: ignore[assignment,method-assign]
        came = self.sent("away@here.test", "both@here.test")
        assert [each.status for each in came if isinstance(each, TryLater)] == ["4.3.1", "4.3.1"]

    def test_an_alias_waits_for_the_message_of_another_alias_that_it_needs(self) -> None:
        self.aliases = parse_aliases("a: x@t.test, y@t.test\nb: y@t.test, z@t.test\nc: w@t.test, v@t.test\n")
        left = iter([True, False])

        def room(_: int) -> None:
            if next(left, False):
                raise QueueFull("only 3 MiB free on the queue's disk: free space under QUEUE_DIR")

        self.queue.require_room = room  # type: ignore[method-assign]
        first, second, third = self.sent("a@here.test", "b@here.test", "c@here.test")
        assert isinstance(first, TryLater)
        assert isinstance(second, TryLater)
        assert isinstance(third, Expanded)

    def test_copies_beyond_some_octets_are_written_to_files(self) -> None:
        self.aliases = parse_aliases("".join(f"u{number}: u{number}@corp.test\n" for number in range(100)))
        self.queue.writer = lambda name: Writer(self.root, name)  # type: ignore[assignment,method-assign]
        claim = mail.claim(*(f"u{number}@here.test" for number in range(100)))
        claim = replace(claim, body=MemoryBody(b"x" * 100_000))
        came = self.outcomes_of(self.with_aliases(), claim)
        bodies = [new.body for each in came if isinstance(each, Expanded) for new in each.mails]
        assert sum(isinstance(body, MemoryBody) for body in bodies) == MAX_IN_MEMORY // 100_000
        assert len(bodies) == 100


class StoreTests(LocalCase):
    def test_recipients_that_are_not_aliases_go_to_the_mail_store(self) -> None:
        claim = mail.claim("bob@here.test")
        assert self.way(self.with_aliases(store=STORE), claim) is STORE
        assert self.way(self.local(store=STORE), claim) is STORE

    def test_an_alias_for_one_user_becomes_a_message_to_that_user(self) -> None:
        new = self.expanded("admin@here.test", store=STORE).mails[0]
        claim = self.successResultOf(self.queue.add(new, 1.0, 60.0))
        assert claim is not None
        assert [str(one.recipient.address) for one in claim.pending] == ["bob@here.test"]
        assert self.way(self.with_aliases(store=STORE), claim) is STORE


class AcceptingTests(LocalCase):
    def accepted(self, local: LocalMail) -> set[str]:
        names = ["bob", "BOB+x", "eve", "stranger", "postmaster", "admin", "both", "away", "keep", "lost", "half"]
        names += ["closed", "null", "deep"]
        return {name for name in names if local.accepts(parse_address(f"{name}@here.test"))}

    def test_a_user_with_a_maildir_is_accepted(self) -> None:
        assert self.accepted(self.local()) == {"bob", "BOB+x", "eve", "keep", "postmaster"}

    def test_aliases_that_reach_a_user_or_drop_mail_are_accepted(self) -> None:
        known = {"bob", "BOB+x", "eve", "keep", "postmaster", "admin", "both", "away", "half", "null", "deep"}
        assert self.accepted(self.with_aliases()) == known

    def test_all_mail_for_a_mail_store_is_accepted_unless_an_alias_rejects_it(self) -> None:
        assert len(self.accepted(self.with_aliases(store=STORE))) == 13
        assert "closed" not in self.accepted(self.with_aliases(store=STORE))

    def test_any_user_name_is_accepted_with_maildir_create_but_not_a_path(self) -> None:
        local = self.local(create=True)
        assert local.accepts(parse_address("stranger@here.test"))
        assert not local.accepts(parse_address("../stranger@here.test"))

    def test_an_alias_with_a_domain_is_accepted_in_that_domain_only(self) -> None:
        local = self.with_aliases()
        assert local.accepts(parse_address("info@other.test"))
        assert not local.accepts(parse_address("info@here.test"))

    def test_a_change_of_the_aliases_counts_at_once(self) -> None:
        local = self.with_aliases()
        self.aliases = Aliases()
        assert not local.accepts(parse_address("admin@here.test"))

    def test_an_unreadable_mail_dir_raises_an_error(self) -> None:
        self.root = self.root / "not-mounted"
        with pytest.raises(FileNotFoundError):
            self.local().accepts(parse_address("anyone@here.test"))
        assert self.local().accepts(parse_address("postmaster@here.test"))
