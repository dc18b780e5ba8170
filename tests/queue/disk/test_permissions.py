"""Permissions and owners of QUEUE_DIR, and foreign entries in it."""

import os
import socket
import stat
from pathlib import Path

import pytest

from mta.blocking import run_inline
from mta.queue.disk.permissions import chown_queue, restrict_to_owner, secure_contents
from mta.queue.disk.queue_dir import lock_relay, prepare
from mta.queue.interface import QueueError
from mta.queue.sqlite.queue import SqliteQueue, open_queue
from tests.queue.homes import Home
from tests.queue.messages import NOW

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")


def filled(home: Path) -> SqliteQueue:
    """Return the open queue of a home, with a message in it whose body is a file."""
    one = Home(home)
    one.added("bob@example.org", large=True)
    return one.queue


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def put_symlink(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    path.symlink_to(elsewhere)


def put_dangling_link(path: Path) -> None:
    path.symlink_to(path.parent.parent / "not-there")


def put_hard_link(path: Path) -> None:
    other = path.parent.parent / "other"
    other.touch(0o600)
    path.hardlink_to(other)


def put_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as it:
        it.bind(str(path))


FILES = (
    *("lock", "relay.lock", "queue.sqlite", "queue.sqlite-wal", "queue.sqlite-shm", "queue.sqlite.new"),
    *(
        "oauth.json",
        "oauth.json.new",
        "oauth.lock",
        "traffic",
        "digest.json",
        "digest.json.new",
        "doctor.json",
        "doctor.json.new",
    ),
)
THINGS = {
    "symbolic link": put_symlink,
    "symbolic link to nowhere": put_dangling_link,
    "hard link": put_hard_link,
    "pipe": os.mkfifo,
    "directory": Path.mkdir,
    "socket": put_socket,
    "file": Path.touch,
}
# A kind of thing that a name of ours must be, and so may.
RIGHT = {"bodies": "directory", "worker-2": "directory", **dict.fromkeys(FILES, "file")}
FOREIGN = [
    (name, thing)
    for name, right in RIGHT.items()
    for thing in THINGS
    if thing != right and not (thing == "hard link" and right != "file")
]


@pytest.mark.parametrize(("name", "thing"), FOREIGN)
def test_a_foreign_entry_is_refused_in_one_line_and_left_unchanged(tmp_path, name, thing):
    home = tmp_path / "queue"
    home.mkdir(0o700)
    THINGS[thing](home / name)
    before = (home / name).lstat()
    with pytest.raises(QueueError) as refused:
        lock_relay(home)
    words = str(refused.value)
    assert words.startswith(f"{home / name} is a ")
    assert "\n" not in words
    after = (home / name).lstat()
    assert (after.st_mode, after.st_ino, after.st_size) == (before.st_mode, before.st_ino, before.st_size)


@pytest.mark.parametrize("name", ["lock", "queue.sqlite", "bodies"])
def test_a_command_beside_the_daemon_refuses_them_too(tmp_path, name):
    open_queue(tmp_path, run=run_inline, now=NOW).close()
    (tmp_path / name).rename(tmp_path / "aside")
    (tmp_path / name).symlink_to(tmp_path / "aside")
    with pytest.raises(QueueError, match=f"{name} is a symbolic link"):
        open_queue(tmp_path, run=run_inline, now=NOW, create=False, recover=False)


def test_other_names_are_nobodys_business(tmp_path):
    (tmp_path / "notes").symlink_to("/etc/passwd")
    secure_contents(tmp_path)


@needs_root
def test_a_file_of_another_user_in_the_relays_directory_is_refused(tmp_path):
    prepare(tmp_path)
    (tmp_path / "queue.sqlite").touch()
    os.chown(tmp_path / "queue.sqlite", NOBODY, NOBODY)
    with pytest.raises(QueueError, match=f"belongs to user id {NOBODY}, but the relay runs as user id 0"):
        prepare(tmp_path)


@needs_root
def test_files_of_a_volume_that_a_group_shares_may_be_of_others(tmp_path):
    prepare(tmp_path)
    (tmp_path / "queue.sqlite").touch()
    os.chown(tmp_path, NOBODY, 0)
    os.chown(tmp_path / "queue.sqlite", NOBODY - 1, 0)
    tmp_path.chmod(0o770)
    secure_contents(tmp_path)
    tmp_path.chmod(0o777)
    with pytest.raises(QueueError, match="belongs to user id"):
        secure_contents(tmp_path)


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_all_files_are_for_the_owner_only_with_any_umask(tmp_path, umask):
    home = tmp_path / "queue"
    before = os.umask(umask)
    try:
        relay = lock_relay(home)
        queue = filled(home)
        found = {path.relative_to(home).as_posix(): mode(path) for path in home.rglob("*")}
        queue.close()
        relay.release()
    finally:
        os.umask(before)
    assert mode(home) == 0o700
    assert found.pop("bodies") == 0o700
    assert set(found) >= {"lock", "relay.lock", "queue.sqlite", "queue.sqlite-wal", "queue.sqlite-shm"}
    assert set(found.values()) == {0o600}
    assert [name for name in found if name.startswith("bodies/")]


def test_files_that_came_back_open_from_a_backup_are_closed(tmp_path):
    prepare(tmp_path)
    for name, wide in (("queue.sqlite", 0o644), ("lock", 0o666), ("oauth.json", 0o640), ("bodies", 0o755)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(wide)
    prepare(tmp_path)
    assert [mode(tmp_path / name) for name in ("queue.sqlite", "oauth.json", "lock", "bodies")] == [0o600] * 3 + [0o700]


@pytest.mark.parametrize(("was", "now"), [(0o755, 0o700), (0o770, 0o700), (0o777, 0o700), (0o2770, 0o2700)])
def test_a_directory_that_is_open_is_closed_and_that_is_told(tmp_path, was, now):
    (tmp_path / "queue.sqlite").touch()
    tmp_path.chmod(was)
    assert restrict_to_owner(tmp_path) == (
        f"QUEUE_DIR={tmp_path} was open to others (mode {was:04o}): it is closed now"
    )
    assert mode(tmp_path) == now
    assert restrict_to_owner(tmp_path) is None


@pytest.mark.parametrize("names", [(), ("lost+found",)])
def test_an_empty_directory_is_closed_without_a_word(tmp_path, names):
    for name in names:
        (tmp_path / name).mkdir()
    tmp_path.chmod(0o770)
    assert restrict_to_owner(tmp_path) is None
    assert mode(tmp_path) == 0o700


@needs_root
def test_the_mode_of_a_containers_volume_is_the_orchestrators_choice(tmp_path):
    os.chown(tmp_path, NOBODY, 0)
    tmp_path.chmod(0o2777)
    assert restrict_to_owner(tmp_path, container_volume=True) is None


@needs_root
@pytest.mark.parametrize(("was", "told"), [(0o770, False), (0o2770, False), (0o771, True), (0o777, True)])
def test_another_users_volume_is_unchanged_and_noticed_only_if_open_to_everyone(tmp_path, was, told):
    os.chown(tmp_path, NOBODY, 0)
    tmp_path.chmod(was)
    words = restrict_to_owner(tmp_path)
    assert (words is not None) is told
    assert mode(tmp_path) == was
    assert words is None or words.endswith(f"so the relay cannot close it: chmod {was & ~7:04o} it")


def test_a_path_that_is_not_a_directory_is_left_to_the_queue_to_report(tmp_path):
    (tmp_path / "file").touch(0o644)
    assert restrict_to_owner(tmp_path / "file") is restrict_to_owner(tmp_path / "missing") is None
    assert mode(tmp_path / "file") == 0o644


def owners(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): path.lstat().st_uid for path in [folder, *folder.rglob("*")]}


@needs_root
def test_a_queue_of_roots_is_handed_over_whole(tmp_path):
    for home in (tmp_path, tmp_path / "worker-2"):
        filled(home).close()
    (tmp_path / "lost+found").mkdir()
    chown_queue(tmp_path, NOBODY, NOBODY)
    found = owners(tmp_path)
    assert found.pop("lost+found") == 0
    assert set(found.values()) == {NOBODY}
    assert len([name for name in found if "bodies/" in name]) == 2


@needs_root
@pytest.mark.parametrize("thing", ["symbolic link", "symbolic link to nowhere", "hard link", "pipe", "socket"])
def test_the_target_of_a_link_keeps_its_owner(tmp_path, thing):
    home = tmp_path / "queue"
    home.mkdir()
    THINGS[thing](home / "queue.sqlite")
    chown_queue(home, NOBODY, NOBODY)
    assert {uid for name, uid in owners(tmp_path).items() if name != "queue"} == {0}
    assert home.stat().st_uid == NOBODY


@needs_root
def test_a_directory_that_holds_more_than_a_queue_is_kept(tmp_path):
    (tmp_path / "lock").touch()
    (tmp_path / "passwd").touch()
    chown_queue(tmp_path, NOBODY, NOBODY)
    assert set(owners(tmp_path).values()) == {0}


@needs_root
def test_in_a_directory_of_another_user_every_entry_keeps_its_owner(tmp_path):
    (tmp_path / "lock").touch()
    os.chown(tmp_path, NOBODY, NOBODY)
    chown_queue(tmp_path, NOBODY - 1, NOBODY)
    assert owners(tmp_path) == {".": NOBODY, "lock": 0}
