import mailbox
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, execute

from mta.delivery.local import LocalMail
from mta.message.body import Body, FileBody, MemoryBody
from mta.message.envelope import Envelope, Origin, Recipient
from mta.message.outcome import Delivered, Failed, Outcome, TryLater
from mta.queue.interface import Claim, Pending, QueueId
from mta.smtp.address import Address, parse_address

ALICE = parse_address("alice@example.test")
BOB = parse_address("bob@here.test")
MESSAGE = b"Received: from a\r\nSubject: a\r\n\r\nbody\r\n.dot\r\n"


class Pieces:
    """A body that comes in given pieces, or not at all."""

    def __init__(self, *pieces: bytes | OSError) -> None:
        self._pieces = pieces
        self.size = sum(len(piece) for piece in pieces if isinstance(piece, bytes))

    def chunks(self):  # type: ignore[no-untyped-def]
        for piece in self._pieces:
            if isinstance(piece, OSError):
                raise piece
            yield piece


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("cur", "new", "tmp"):
        (tmp_path / "mail" / "bob" / folder).mkdir(parents=True)
    return tmp_path / "mail"


def local_mail(root: Path) -> LocalMail:
    return LocalMail(root, "relay.test", run=execute, wall=lambda: 1795352322.0)


def outcome_of(
    root: Path, body: Body | bytes = MESSAGE, recipient: Address = BOB, sender: Address | None = ALICE
) -> Outcome:
    wanted = Recipient(recipient)
    envelope = Envelope(sender, (wanted,), Origin("192.0.2.1", "client.test", "ESMTP"))
    carried = MemoryBody(body) if isinstance(body, bytes) else body
    pending = Pending(0, wanted)
    claim = Claim(QueueId("0000000000001"), 1, envelope, carried, 0.0, (pending,))
    found: list[Outcome] = []
    local_mail(root).deliver(claim, pending).addCallback(found.append)
    return found[0]


def saved(root: Path, user: str = "bob") -> list[bytes]:
    return [path.read_bytes() for path in sorted((root / user / "new").iterdir())]


def test_a_message_is_saved_with_the_fields_of_final_delivery(root: Path) -> None:
    assert outcome_of(root) == Delivered("saved in the mailbox bob", host="")
    assert saved(root) == [
        b"Return-Path: <alice@example.test>\nDelivered-To: bob@here.test\nReceived: from a\nSubject: a\n\nbody\n.dot\n"
    ]


def test_python_reads_what_was_delivered(root: Path) -> None:
    outcome_of(root)
    (message,) = mailbox.Maildir(root / "bob", create=False)
    assert message["Return-Path"] == "<alice@example.test>"
    assert message.get_payload() == "body\n.dot\n"


def test_a_report_has_an_empty_return_path(root: Path) -> None:
    outcome_of(root, sender=None)
    assert saved(root)[0].startswith(b"Return-Path: <>\n")


def test_each_message_has_its_own_file(root: Path) -> None:
    outcome_of(root)
    outcome_of(root)
    assert len(saved(root)) == 2


def test_a_message_in_a_file_is_saved_whole(root: Path, tmp_path: Path) -> None:
    content = b"Subject: a\r\n\r\n" + b"0123456789abcd\r\n" * 20_000
    (tmp_path / "body").write_bytes(content)
    outcome_of(root, FileBody(tmp_path / "body", len(content)))
    assert saved(root)[0].endswith(content.replace(b"\r\n", b"\n"))


@given(st.lists(st.binary(max_size=6) | st.sampled_from([b"\r", b"\n", b"\r\n", b"a\r"]), max_size=12))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_line_ends_change_alike_wherever_the_pieces_are_cut(root: Path, pieces: list[bytes]) -> None:
    for path in (root / "bob" / "new").iterdir():
        path.unlink()
    assert isinstance(outcome_of(root, Pieces(b"\r\n", *pieces)), Delivered)
    assert saved(root)[0].split(b"\n", 2)[2] == b"".join([b"\r\n", *pieces]).replace(b"\r\n", b"\n")


def test_an_unknown_user_fails_for_good(root: Path) -> None:
    assert outcome_of(root, recipient=parse_address("eve@here.test")) == Failed(
        "no mailbox eve@here.test here", status="5.1.1"
    )


def test_a_local_part_that_is_a_path_is_an_unknown_user(root: Path) -> None:
    assert isinstance(outcome_of(root, recipient=Address("../mail/bob", "here.test")), Failed)


@pytest.mark.parametrize("mark", [b"bob@here.test", b"Bob@HERE.test", b"\r\n bob@here.test"])
def test_a_message_that_was_here_before_is_a_loop(root: Path, mark: bytes) -> None:
    outcome = outcome_of(root, b"Received: from a\r\nDelivered-To: " + mark + b"\r\n" + MESSAGE)
    assert isinstance(outcome, Failed)
    assert outcome.status == "5.4.6"
    assert saved(root) == []


@pytest.mark.parametrize("mark", [b"Delivered-To: bob@elsewhere.test\r\n\r\n", b"\r\nDelivered-To: bob@here.test\r\n"])
def test_the_mark_of_another_mailbox_or_in_the_body_is_no_loop(root: Path, mark: bytes) -> None:
    assert isinstance(outcome_of(root, b"Subject: a\r\n" + mark), Delivered)


def test_the_mark_of_a_first_delivery_stops_a_second(root: Path) -> None:
    outcome_of(root)
    again = saved(root)[0].replace(b"\n", b"\r\n")
    assert isinstance(outcome_of(root, again), Failed)


@pytest.mark.parametrize("address", ["postmaster", "Postmaster@here.test"])
def test_postmaster_gets_a_mailbox_when_there_is_none(root: Path, address: str) -> None:
    assert isinstance(outcome_of(root, recipient=parse_address(address)), Delivered)
    assert len(saved(root, "postmaster")) == 1


@pytest.mark.parametrize(
    ("code", "status"),
    [(28, "4.3.1"), (122, "4.2.2"), (5, "4.3.0"), (13, "4.3.0")],
    ids=["full", "quota", "io", "access"],
)
def test_trouble_with_the_disk_means_later(root: Path, code: int, status: str) -> None:
    trouble = OSError(code, os.strerror(code))
    assert outcome_of(root, Pieces(MESSAGE, trouble)) == TryLater(
        f"cannot save mail for bob@here.test in MAIL_DIR: {os.strerror(code)}", status=status
    )
    assert saved(root) == []


def test_a_missing_mail_dir_means_later(tmp_path: Path) -> None:
    assert isinstance(outcome_of(tmp_path / "not-mounted"), TryLater)


def test_the_work_is_done_where_run_does_it(root: Path) -> None:
    kept: list[Callable[[], Outcome]] = []

    def run(work: Callable[[], Outcome]) -> Deferred[Outcome]:
        kept.append(work)
        return Deferred()

    wanted = Recipient(BOB)
    envelope = Envelope(ALICE, (wanted,), Origin("192.0.2.1", "client.test", "ESMTP"))
    claim = Claim(QueueId("0000000000001"), 1, envelope, MemoryBody(MESSAGE), 0.0, (Pending(0, wanted),))
    LocalMail(root, "relay.test", run=run, wall=lambda: 0.0).deliver(claim, claim.pending[0])
    assert saved(root) == []
    assert isinstance(kept[0](), Delivered)


@pytest.mark.parametrize(
    ("local", "taken"), [("bob", True), ("BOB+x", True), ("eve", False), ("PostMaster", True), ("../mail/bob", False)]
)
def test_policy_can_ask_who_has_a_mailbox(root: Path, local: str, taken: bool) -> None:
    assert local_mail(root).accepts(local) is taken


def test_nobody_is_refused_for_good_while_the_disk_is_in_trouble(tmp_path: Path) -> None:
    assert local_mail(tmp_path / "not-mounted").accepts("anyone")


def test_the_mailbox_of_a_user_can_be_asked_for(root: Path) -> None:
    assert local_mail(root).mailbox("Bob+lists") == root / "bob"
