"""Tests how Maildirs are found without leaving MAIL_DIR, and how files are saved in them."""

import mailbox
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mta.delivery.local.maildir import MaildirNames, Maildirs, save

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
NOT_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
STEPS = ("open", "fstat", "fchown", "fsync", "rename", "close")


class PowerCut(BaseException):
    """Ends `save` at a step, like a power cut."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "mail"
    root.mkdir()
    return root


def make(path: Path) -> Path:
    for folder in ("cur", "new", "tmp"):
        (path / folder).mkdir(parents=True)
    return path


def files(maildir: Path, folder: str) -> list[Path]:
    return sorted((maildir / folder).iterdir())


# Finding


def test_a_user_with_a_maildir_is_found(root: Path) -> None:
    make(root / "bob")
    assert Maildirs(root).find("bob") == root / "bob"


def test_a_user_without_one_is_not(root: Path) -> None:
    assert Maildirs(root).find("bob") is None


@pytest.mark.parametrize(
    ("there", "local", "found"),
    [
        (["Bob", "bob"], "Bob", "Bob"),
        (["bob"], "BOB", "bob"),
        (["Bob"], "bob", None),
        (["bob", "bob+lists"], "bob+lists", "bob+lists"),
        (["bob"], "Bob+Lists+More", "bob"),
        (["bob"], "bob+../../etc", "bob"),
        (["a.b_c=d-e"], "a.b_c=d-e", "a.b_c=d-e"),
        (["bob"], "Bob+\u00fc", "bob"),
        (["kate"], "\u212aate", None),
        (["kate"], "\uff2bate", None),
    ],
)
def test_names_are_tried_from_the_exact_to_the_plain(
    root: Path, there: list[str], local: str, found: str | None
) -> None:
    for name in there:
        make(root / name)
    assert Maildirs(root).find(local) == (root / found if found else None)


@pytest.mark.parametrize("missing", ["cur", "new", "tmp"])
def test_a_directory_that_is_no_maildir_is_not_found(root: Path, missing: str) -> None:
    (make(root / "bob") / missing).rmdir()
    assert Maildirs(root).find("bob") is None


def test_an_mbox_file_is_no_maildir(root: Path) -> None:
    (root / "bob").write_text("From bob\n")
    assert Maildirs(root).find("bob") is None


@pytest.mark.parametrize(
    "local",
    ["", ".", "..", "../out", "/etc", "a/b", ".hidden", "-rf", "a..b", "bob\0", "bob\n", "böb", "a b", "+x", "b" * 200],
)
def test_a_name_that_could_lead_elsewhere_is_never_tried(root: Path, local: str) -> None:
    make(root.parent / "out")
    make(root / "a" / "b")
    make(root / ".hidden")
    make(root / "a..b")
    for folder in ("cur", "new", "tmp"):
        (root / folder).mkdir()
    assert Maildirs(root).find(local) is None


@given(st.text(alphabet="./+-\0aA_\\", max_size=12))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_local_part_leaves_mail_dir(tmp_path: Path, local: str) -> None:
    root = tmp_path / "mail" / "deep"
    if not root.exists():
        make(root / "a")
        make(root.parent / "a")
        make(tmp_path / "a")
        for folder in ("cur", "new", "tmp"):
            (root / folder).mkdir()
    assert Maildirs(root).find(local) in {None, root / "a"}


def test_a_link_out_of_mail_dir_is_not_followed(root: Path) -> None:
    make(root.parent / "out")
    (root / "bob").symlink_to(root.parent / "out")
    assert Maildirs(root).find("bob") is None


def test_a_link_within_mail_dir_is_an_alias(root: Path) -> None:
    make(root / "alice")
    (root / "bob").symlink_to("alice")
    assert Maildirs(root).find("bob") == root / "alice"


def test_links_in_a_circle_lead_nowhere(root: Path) -> None:
    (root / "bob").symlink_to("eve")
    (root / "eve").symlink_to("bob")
    assert Maildirs(root).find("bob") is None


@pytest.mark.parametrize("folder", ["cur", "new", "tmp"])
def test_a_maildir_whose_folder_is_a_link_is_not_found(root: Path, folder: str) -> None:
    maildir = make(root / "bob")
    (maildir / folder).rmdir()
    (maildir / folder).symlink_to(make(root.parent / "out") / folder)
    assert Maildirs(root).find("bob") is None


def test_a_missing_mail_dir_is_an_error_and_not_an_unknown_user(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Maildirs(tmp_path / "not-mounted").find("bob")


@NOT_ROOT
def test_an_unreadable_maildir_is_an_error(root: Path) -> None:
    make(root / "bob").chmod(0)
    with pytest.raises(PermissionError):
        Maildirs(root).find("bob")


def test_a_new_maildir_is_readable_by_the_relay_only(root: Path) -> None:
    maildir = Maildirs(root).make("postmaster")
    assert Maildirs(root).find("postmaster") == maildir
    assert {stat.S_IMODE(path.stat().st_mode) for path in (maildir, *maildir.iterdir())} == {0o700}


def test_a_maildir_half_made_is_completed(root: Path) -> None:
    (root / "postmaster" / "tmp").mkdir(parents=True)
    Maildirs(root).make("postmaster")
    assert Maildirs(root).find("postmaster") is not None


def test_a_maildir_is_not_made_through_a_link(root: Path) -> None:
    (root.parent / "out").mkdir()
    (root / "postmaster").symlink_to(root.parent / "out")
    with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
        Maildirs(root).make("postmaster")
    assert list((root.parent / "out").iterdir()) == []


@given(st.text(alphabet="./+-\0aA_\\ ", max_size=12))
@settings(max_examples=300)
def test_a_name_to_make_is_one_that_is_found_again(local: str) -> None:
    name = Maildirs(Path("/")).name(local)
    assert name is None or (name == local.partition("+")[0].lower() and not set(name) & set("/\0\\ "))


# Saving


def test_a_saved_message_is_in_new_and_only_for_its_owner(root: Path) -> None:
    maildir = make(root / "bob")
    save(maildir, "1.M2P3Q4.host", [b"one\n", b"two\n"])
    (saved,) = files(maildir, "new")
    assert saved.name == "1.M2P3Q4.host"
    assert saved.read_bytes() == b"one\ntwo\n"
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert files(maildir, "tmp") == []


def test_python_reads_what_was_saved(root: Path) -> None:
    save(make(root / "bob"), "1.M2P3Q4.host", [b"Subject: a\n\nbody\n"])
    (message,) = mailbox.Maildir(root / "bob", create=False)
    assert message["Subject"] == "a"
    assert message.get_subdir() == "new"


@ROOT_ONLY
def test_root_gives_the_file_to_the_owner_of_the_maildir(root: Path) -> None:
    maildir = make(root / "bob")
    os.chown(maildir, 12345, 23456)
    save(maildir, "1.M2P3Q4.host", [b"x\n"])
    found = files(maildir, "new")[0].stat()
    assert (found.st_uid, found.st_gid) == (12345, 23456)


def test_a_name_in_use_is_not_overwritten(root: Path) -> None:
    maildir = make(root / "bob")
    (maildir / "tmp" / "taken").write_text("another delivery")
    with pytest.raises(FileExistsError):
        save(maildir, "taken", [b"x\n"])
    assert (maildir / "tmp" / "taken").read_text() == "another delivery"


@pytest.mark.parametrize("folder", ["tmp", "new"])
def test_a_folder_swapped_for_a_link_after_the_look_is_not_followed(root: Path, folder: str) -> None:
    maildir, out = make(root / "bob"), make(root.parent / "out")
    (maildir / folder).rmdir()
    (maildir / folder).symlink_to(out / folder)
    with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
        save(maildir, "1.M2P3Q4.host", [b"x\n"])
    assert files(out, folder) == []


def test_a_body_that_cannot_be_read_leaves_no_file(root: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise OSError(5, "Input/output error")

    maildir = make(root / "bob")
    with pytest.raises(OSError, match="Input/output"):
        save(maildir, "1.M2P3Q4.host", pieces())
    assert files(maildir, "new") == files(maildir, "tmp") == []


def watch(monkeypatch: pytest.MonkeyPatch, before: Callable[[str], None]) -> None:
    """Call `before` with the name of each system call that `save` makes."""

    def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            before(name)
            return real(*args, **kwargs)

        return step

    for name in STEPS:
        monkeypatch.setattr(os, name, watched(name, getattr(os, name)))


def test_the_message_is_synced_before_it_is_shown_and_the_folder_after(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    with monkeypatch.context() as patch:
        watch(patch, calls.append)
        save(make(root / "bob"), "1.M2P3Q4.host", [b"x\n"])
    assert [call for call in calls if call in {"fsync", "rename"}] == ["fsync", "rename", "fsync"]


@pytest.mark.parametrize("step", range(1, 14))
@pytest.mark.parametrize("error", [PowerCut(), OSError(28, "No space left on device")], ids=["cut", "full"])
def test_no_half_message_is_in_new_whichever_step_fails(
    root: Path, monkeypatch: pytest.MonkeyPatch, step: int, error: BaseException
) -> None:
    maildir, content = make(root / "bob"), b"line\n" * 50_000
    calls: list[str] = []

    def stop_at_step(name: str) -> None:
        calls.append(name)
        assert all(os.stat(path).st_size == len(content) for path in files(maildir, "new"))
        # What closes a directory after the message is saved, or when something else failed, is no step of its own.
        if len(calls) == step and name != "close":
            raise error

    with monkeypatch.context() as patch:
        watch(patch, stop_at_step)
        try:
            save(maildir, "1.M2P3Q4.host", [content[:100_000], content[100_000:]])
        except type(error):
            expected: list[bytes] = []
        else:
            expected = [content]
    assert [path.read_bytes() for path in files(maildir, "new")] == expected
    assert files(maildir, "tmp") == []


# MaildirNames


def test_names_never_repeat_within_one_moment() -> None:
    names = MaildirNames("relay.test")
    assert len({names.unique(1795352322.25) for _ in range(1000)}) == 1000


def test_a_message_has_one_name_at_all_its_attempts() -> None:
    names = [MaildirNames("relay.test:25/x").stable(1795352322.9, "0gqw5z6cn4j0y-3") for _ in range(2)]
    assert names == ["1795352322.0gqw5z6cn4j0y-3.relay.test\\07225\\057x"] * 2


def test_a_name_follows_the_maildir_specification() -> None:
    name = MaildirNames("a/b:c").unique(1795352322.25)
    assert re.fullmatch(rf"1795352322\.M250000P{os.getpid()}Q1R[0-9a-f]{{8}}\.a\\057b\\072c", name)


def test_names_of_two_starts_differ_even_if_all_else_is_the_same() -> None:
    assert MaildirNames("relay.test").unique(0.0) != MaildirNames("relay.test").unique(0.0)
