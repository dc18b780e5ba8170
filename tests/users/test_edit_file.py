"""Changes of the users' file: one line, all else kept, written at once, with owner and mode."""

import os
import stat
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.users import edit_file
from mta.users.edit_file import UsersFileError, locked, read_text, replace_text, with_user, without_user
from mta.users.users_file import UserLineError, read_senders, read_users
from tests.users.made_secrets import BCRYPT, SCRAM, SHA512

FILE = f"# people\n\nalice:{BCRYPT}\nbob|{SHA512}|1000|1000 @b.test\n# end\n"
LIST = read_senders(["x@a.test"])


def test_a_new_user_is_the_last_line():
    assert with_user(FILE, "carol", SCRAM, None, keep_senders=True) == f"{FILE}carol:{SCRAM}\n"
    assert with_user(FILE.rstrip("\n"), "carol", SCRAM, LIST, keep_senders=False) == f"{FILE}carol:{SCRAM} x@a.test\n"
    assert with_user("", "carol", SCRAM, None, keep_senders=True) == f"carol:{SCRAM}\n"


def test_a_known_user_is_changed_in_place():
    changed = with_user(FILE, "bob", SCRAM, None, keep_senders=True)
    assert changed == FILE.replace(SHA512, SCRAM)
    assert with_user(FILE, "bob", SCRAM, LIST, keep_senders=False) == changed.replace("@b.test", "x@a.test")
    assert with_user(FILE, "bob", SCRAM, None, keep_senders=False) == changed.replace(" @b.test", "")


def test_a_second_line_of_a_user_goes_with_the_change():
    assert with_user(f"{FILE}alice:hunter2\n", "alice", SCRAM, None, keep_senders=True) == FILE.replace(BCRYPT, SCRAM)


def test_marks_of_other_systems_are_kept():
    text = "\ufeff" + FILE.removeprefix("# people\n\n").replace("\n", "\r\n")
    assert with_user(text, "alice", SCRAM, None, keep_senders=True) == text.replace(BCRYPT, SCRAM)


def test_a_user_is_removed_with_all_its_lines():
    assert without_user(f"{FILE}bob:x\n", "bob") == f"# people\n\nalice:{BCRYPT}\n# end\n"
    assert without_user(FILE, "carol") is None
    assert without_user(FILE, "# end") is None
    assert without_user(FILE, "") is None


def test_a_line_that_could_not_be_read_is_not_written():
    for name in ("", "a b", "a:b", "#a"):
        with pytest.raises(UserLineError):
            with_user(FILE, name, SCRAM, None, keep_senders=True)
    with pytest.raises(UserLineError, match="not an address"):
        with_user(f"alice:{BCRYPT} nonsense\n", "alice", SCRAM, None, keep_senders=True)


@given(
    st.lists(st.sampled_from(["# c", "", "alice:{PLAIN}x", "bob|{PLAIN}y|1 @b.test", "odd", "\ufeff", "alice:z"])),
    st.sampled_from(["alice", "bob", "carol"]),
)
def test_any_file_has_the_user_after_the_change_and_all_other_lines_as_before(lines, name):
    text = "".join(f"{line}\n" for line in lines)
    changed = with_user(text, name, SCRAM, LIST, keep_senders=False)
    found = [user for user in read_users(changed)[0] if user.name == name]
    assert [user.senders for user in found] == [LIST]
    rest = without_user(text, name)
    assert without_user(changed, name) == (text if rest is None else rest)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "users").write_text(FILE)
    return tmp_path / "users"


def test_the_file_is_replaced_with_its_mode_and_leaves_no_other_file(path):
    path.chmod(0o640)
    before = path.stat()
    with locked(path) as target:
        replace_text(target, "new\n")
    assert path.read_text() == "new\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.stat().st_ino != before.st_ino
    assert os.listdir(path.parent) == ["users"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_is_kept(path):
    os.chown(path, 12345, 23456)
    replace_text(path, "new\n")
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


def test_a_new_file_is_for_its_owner_alone(tmp_path):
    replace_text(tmp_path / "new", "x\n")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


def test_a_link_is_followed_and_stays(path, tmp_path):
    (tmp_path / "link").symlink_to("users")
    with locked(tmp_path / "link") as target:
        replace_text(target, "new\n")
    assert (tmp_path / "link").is_symlink()
    assert path.read_text() == "new\n"


def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    def fail(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(edit_file.os, "fsync", fail)
    with pytest.raises(UsersFileError, match="cannot be replaced: No space"):
        replace_text(path, "new\n")
    assert path.read_text() == FILE
    assert os.listdir(path.parent) == ["users"]


def test_two_changes_at_the_same_time_are_both_kept(path):
    def add(number):
        with locked(path) as target:
            replace_text(target, with_user(read_text(target), f"u{number}", SCRAM, None, keep_senders=True))

    threads = [Thread(target=add, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_users(path.read_text())[0]) == 22


def test_octets_that_are_not_utf8_are_kept(path):
    path.write_bytes(b"# caf\xe9\n")
    replace_text(path, with_user(read_text(path), "alice", SCRAM, None, keep_senders=True))
    assert path.read_bytes() == f"# café\nalice:{SCRAM}\n".encode("latin-1")


def test_a_file_that_is_too_large_is_not_read(path, monkeypatch):
    monkeypatch.setattr(edit_file, "MAX_OCTETS", 10)
    with pytest.raises(UsersFileError, match="MiB"):
        read_text(path)


@pytest.mark.parametrize(
    ("number", "told"),
    [(16, "mount its folder instead"), (30, "read-only"), (1, "run this as root"), (13, "its folder")],
)
def test_a_file_that_cannot_be_replaced_is_told_with_a_remedy(path, monkeypatch, number, told):
    def fail(self, target):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(UsersFileError) as caught:
        replace_text(path, "new\n")
    assert str(caught.value).startswith(f"{path} cannot be replaced: {os.strerror(number)}")
    assert told in str(caught.value)
    assert os.listdir(path.parent) == ["users"]


def test_a_folder_that_is_missing_and_a_link_to_itself_are_told(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "none" / "users", tmp_path / "loop"):
        with pytest.raises(UsersFileError, match=str(path)), locked(path) as target:
            read_text(target)
