"""Tests how messages are saved in mailboxes, and how loops are recognised."""

import contextlib
import mailbox
import os
import pty
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mta.delivery.local.mailboxes import Copy, Mailboxes
from mta.message.body import Body, FileBody, MemoryBody
from mta.message.envelope import Envelope, Origin, Recipient
from mta.message.outcome import Delivered, Failed, Outcome, TryLater
from mta.queue.ids import IdSource
from mta.queue.interface import Claim, Pending, QueueId
from mta.smtp.address import Address, parse_address

ALICE = parse_address("alice@example.test")
BOB = parse_address("bob@here.test")
IDS = IdSource(tag=7)
ORIGIN = Origin("192.0.2.1", "client.test", "ESMTP")
MESSAGE = b"Received: from a\r\nSubject: a\r\n\r\nbody\r\n.dot\r\n"


class Pieces:
    """A body in the given pieces, or one that cannot be read."""

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


def mailboxes(root: Path, *, create: bool = False) -> Mailboxes:
    return Mailboxes(root, "relay.test", lambda: 1795352322.0, create=create)


def outcome_of(
    root: Path,
    body: Body | bytes = MESSAGE,
    recipient: Address = BOB,
    sender: Address | None = ALICE,
    *,
    create: bool = False,
    by_alias: bool = False,
    id: QueueId | None = None,
) -> Outcome:
    envelope = Envelope(sender, (Recipient(recipient),), ORIGIN.by_alias() if by_alias else ORIGIN)
    carried = MemoryBody(body) if isinstance(body, bytes) else body
    pending = Pending(0, envelope.recipients[0])
    claim = Claim(id or IDS.new(1795352322.0), 1, envelope, carried, 1795352322.0, (pending,))
    return mailboxes(root, create=create).save(claim, [Copy(pending, recipient)])[0]


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


def test_an_attempt_after_a_crash_replaces_the_copy_of_the_one_before(root: Path) -> None:
    """The crash came after the copy was in `new` and before the settlement, so the next start repeats the attempt."""
    id = IDS.new(1795352322.0)
    for _ in range(3):
        assert isinstance(outcome_of(root, id=id), Delivered)
    assert len(saved(root)) == 1
    outcome_of(root)
    assert len(saved(root)) == 2


def test_a_file_that_a_crash_left_in_tmp_does_no_harm(root: Path) -> None:
    id = IDS.new(1795352322.0)
    (root / "bob" / "tmp" / f"1795352322.{id}.relay.test").write_bytes(b"half a mess")
    assert isinstance(outcome_of(root, id=id), Delivered)
    assert saved(root)[0].endswith(b"body\n.dot\n")


def shared(root: Path, *addresses: str, body: bytes = MESSAGE) -> dict[int, Outcome]:
    """Save one message for recipients that may share a mailbox."""
    envelope = Envelope(ALICE, tuple(Recipient(parse_address(each)) for each in addresses), ORIGIN)
    pending = tuple(Pending(index, each) for index, each in enumerate(envelope.recipients))
    claim = Claim(IDS.new(1795352322.0), 1, envelope, MemoryBody(body), 1795352322.0, pending)
    return mailboxes(root).save(claim, [Copy(each, each.recipient.address) for each in pending])


def test_recipients_that_share_a_mailbox_share_a_copy_that_names_them(root: Path) -> None:
    outcomes = shared(root, "bob@here.test", "bob+x@here.test", "BOB@here.test", "bob@here.test")
    assert outcomes == dict.fromkeys(range(4), Delivered("saved in the mailbox bob", host=""))
    (copy,) = saved(root)
    assert copy.startswith(
        b"Return-Path: <alice@example.test>\nDelivered-To: bob@here.test\nDelivered-To: bob+x@here.test\n"
        b"Delivered-To: BOB@here.test\nReceived:"
    )


def test_every_spelling_of_postmaster_is_one_mailbox(root: Path) -> None:
    outcomes = shared(root, "postmaster", "Postmaster@here.test", "POSTMASTER@here.test", "postmaster@localhost")
    assert set(outcomes.values()) == {Delivered("saved in the mailbox postmaster", host="")}
    assert len(saved(root, "postmaster")) == 1


def test_a_copy_that_many_share_names_some_of_them(root: Path) -> None:
    outcomes = shared(root, *(f"bob+{number}@here.test" for number in range(1000)))
    assert len(outcomes) == 1000
    (copy,) = saved(root)
    assert copy.count(b"Delivered-To: bob+") == 20


def test_a_recipient_that_had_the_message_before_is_a_loop_and_the_others_are_not(root: Path) -> None:
    outcomes = shared(root, "bob+x@here.test", "bob@here.test", body=b"Delivered-To: bob+x@here.test\r\n" + MESSAGE)
    assert isinstance(outcomes[0], Failed)
    assert isinstance(outcomes[1], Delivered)
    assert len(saved(root)) == 1


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
def test_a_message_with_the_delivered_to_of_the_mailbox_is_a_loop(root: Path, mark: bytes) -> None:
    outcome = outcome_of(root, b"Received: from a\r\nDelivered-To: " + mark + b"\r\n" + MESSAGE)
    assert isinstance(outcome, Failed)
    assert outcome.status == "5.4.6"
    assert saved(root) == []


@pytest.mark.parametrize("mark", [b"Delivered-To: bob@elsewhere.test\r\n\r\n", b"\r\nDelivered-To: bob@here.test\r\n"])
def test_delivered_to_of_another_mailbox_or_in_the_body_is_not_a_loop(root: Path, mark: bytes) -> None:
    assert isinstance(outcome_of(root, b"Subject: a\r\n" + mark), Delivered)


def test_the_delivered_to_of_a_first_delivery_stops_a_second(root: Path) -> None:
    outcome_of(root)
    again = saved(root)[0].replace(b"\n", b"\r\n")
    assert isinstance(outcome_of(root, again), Failed)


@pytest.mark.parametrize("address", ["postmaster", "Postmaster@here.test"])
def test_a_mailbox_is_created_for_postmaster(root: Path, address: str) -> None:
    assert isinstance(outcome_of(root, recipient=parse_address(address)), Delivered)
    assert len(saved(root, "postmaster")) == 1


@pytest.mark.parametrize(
    ("code", "status"),
    [(28, "4.3.1"), (122, "4.2.2"), (5, "4.3.0"), (13, "4.3.0")],
    ids=["full", "quota", "io", "access"],
)
def test_a_disk_error_is_tried_later(root: Path, code: int, status: str) -> None:
    trouble = OSError(code, os.strerror(code))
    assert outcome_of(root, Pieces(MESSAGE, trouble)) == TryLater(
        f"cannot save mail for bob@here.test in MAIL_DIR: {os.strerror(code)}", status=status
    )
    assert saved(root) == []


def test_a_missing_mail_dir_is_tried_later(tmp_path: Path) -> None:
    assert isinstance(outcome_of(tmp_path / "not-mounted"), TryLater)


@pytest.mark.parametrize(
    ("local", "there"), [("bob", True), ("BOB+x", True), ("eve", False), ("PostMaster", True), ("../mail/bob", False)]
)
def test_has_recognises_users_with_a_mailbox(root: Path, local: str, there: bool) -> None:
    assert mailboxes(root).has(local) is there


@pytest.mark.parametrize(
    ("local", "name"), [("Eve+lists", "eve"), ("bob", None), ("a/b", None), ("..", None), (".eve", None), ("", None)]
)
def test_a_mailbox_is_created_for_a_user_with_create_but_not_for_a_path(
    root: Path, local: str, name: str | None
) -> None:
    before = set(root.iterdir())
    assert mailboxes(root, create=True).has(local) is (name is not None or local == "bob")
    outcome = outcome_of(root, recipient=Address(local, "here.test"), create=True)
    assert isinstance(outcome, Delivered if name or local == "bob" else Failed)
    assert set(root.iterdir()) - before == ({root / name} if name else set())
    assert not (root.parent / "b").exists()


def test_a_mailbox_is_not_made_through_a_link_that_leads_out(root: Path) -> None:
    (root.parent / "out").mkdir()
    (root / "eve").symlink_to(root.parent / "out")
    assert isinstance(outcome_of(root, recipient=Address("eve", "here.test"), create=True), TryLater)
    assert list((root.parent / "out").iterdir()) == []


def test_an_old_mailbox_that_is_a_file_stays_as_it_is(root: Path) -> None:
    (root / "eve").write_text("From alice\n")
    outcome = outcome_of(root, recipient=Address("eve", "here.test"), create=True)
    assert outcome == TryLater("cannot save mail for eve@here.test in MAIL_DIR: Not a directory", status="4.3.0")
    assert (root / "eve").read_text() == "From alice\n"


def test_has_raises_an_error_if_mail_dir_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mailboxes(tmp_path / "not-mounted").has("anyone")


def test_the_delivered_to_that_an_alias_has_just_added_is_not_a_loop_but_an_older_one_is(root: Path) -> None:
    mark = b"Delivered-To: bob@here.test\r\n"
    assert isinstance(outcome_of(root, mark + MESSAGE, by_alias=True), Delivered)
    assert isinstance(outcome_of(root, mark + mark + MESSAGE, by_alias=True), Failed)


def run_on_a_terminal(command: list[str], home: Path) -> int:
    """Run a full-screen program; return its exit status."""
    screen, terminal = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "TERM": "vt100", "HOME": str(home)}
    process = subprocess.Popen(command, env=environment, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    overdue = threading.Timer(30, process.kill)
    overdue.start()
    # Reading fails when the program has closed the other end.
    with contextlib.suppress(OSError):
        while os.read(screen, 4096):
            pass
    status = process.wait()
    overdue.cancel()
    os.close(screen)
    return status


@pytest.mark.skipif(shutil.which("mutt") is None, reason="mutt is not installed")
def test_mutt_reads_what_was_delivered(root: Path, tmp_path: Path) -> None:
    outcome_of(root)
    settings = f"set folder={root} quit=yes wait_key=no pipe_decode=no"
    keys = f"push '<pipe-message>cat >{tmp_path}/copy<enter><quit>'"
    command = ["mutt", "-n", "-F", "/dev/null", "-f", str(root / "bob"), "-e", settings, "-e", keys]
    assert run_on_a_terminal(command, tmp_path) == 0
    content = (tmp_path / "copy").read_bytes()
    assert content.startswith(b"Return-Path: <alice@example.test>\nDelivered-To: bob@here.test\n")
    assert content.endswith(b"\nSubject: a\n\nbody\n.dot\n")
