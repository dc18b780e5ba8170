"""The file of tokens: its content, its lock, foreign and damaged files, and a stop at every step of a change."""

import json
import os
import random
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from harness.daemon import PYTHON_PATH
from mta.oauth.answers import AccessToken
from mta.oauth.token_file import FILE_NAME, LOCK_NAME, NEW_NAME, Refusal, SavedTokens, TokenFile
from tests.length import choose

OLD = SavedTokens("digest", "lineage", "hush-refresh-1", AccessToken("hush-token-1", 1.0, 2.5))
NEW = SavedTokens("digest", "lineage", "hush-refresh-2", AccessToken("hush-token-2", 3, 4), Refusal("no", 5.0, 6.0))


def test_the_content_is_read_as_it_was_written(tmp_path):
    file = TokenFile(tmp_path)
    assert file.read() is None
    for saved in (OLD, NEW, SavedTokens("", "")):
        file.write(saved)
        assert file.read() == saved


def test_the_file_and_its_lock_are_for_their_owner_only_with_any_umask(tmp_path):
    file = TokenFile(tmp_path)
    before = os.umask(0)
    try:
        file.write(OLD)
        lock = file.try_lock()
    finally:
        os.umask(before)
    os.close(lock)
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert found == {FILE_NAME: 0o600, LOCK_NAME: 0o600}


def test_secrets_are_not_shown():
    assert "hush" not in repr(NEW) + str(NEW)


def test_one_process_at_a_time_has_the_lock(tmp_path):
    file = TokenFile(tmp_path)
    lock = file.try_lock()
    assert lock is not None
    assert TokenFile(tmp_path).try_lock() is None
    os.close(lock)
    again = file.try_lock()
    assert again is not None
    os.close(again)


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path):
    code = (
        "import sys, pathlib; from mta.oauth.token_file import TokenFile;"
        " TokenFile(pathlib.Path(sys.argv[1])).try_lock(); print('ready', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": PYTHON_PATH},
    )
    assert holder.stdout.readline() == b"ready\n"
    assert TokenFile(tmp_path).try_lock() is None
    holder.kill()
    holder.communicate()
    lock = TokenFile(tmp_path).try_lock()
    assert lock is not None
    os.close(lock)


def put_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("name", [FILE_NAME, LOCK_NAME])
def test_a_link_in_its_place_is_not_followed(tmp_path, name):
    put_link(tmp_path / name)
    file = TokenFile(tmp_path)
    with pytest.raises(OSError, match="symbolic"):
        file.read() if name == FILE_NAME else file.try_lock()


def test_a_link_in_place_of_new_content_is_replaced(tmp_path):
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / NEW_NAME).symlink_to(target)
    file = TokenFile(tmp_path)
    file.write(OLD)
    assert file.read() == OLD
    assert target.read_text() == "mine"


def test_a_pipe_in_its_place_does_not_block_the_reader(tmp_path):
    os.mkfifo(tmp_path / FILE_NAME)
    assert TokenFile(tmp_path).read() is None


GOOD = {
    "digest": "d",
    "lineage": "l",
    "refresh_token": "",
    "access": {"token": "t", "fetched": 1, "expires": 2, "refresh_token": ""},
    "refusal": {"text": "no", "at": 1, "until": 2},
}


def test_the_content_that_the_next_tests_spoil_is_good(tmp_path):
    (tmp_path / FILE_NAME).write_text(json.dumps(GOOD))
    assert TokenFile(tmp_path).read() is not None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        *(
            json.dumps(GOOD | change).encode()
            for change in (
                {"digest": 1},
                {"lineage": None},
                {"refresh_token": []},
                {"access": 5},
                {"access": {}},
                {"access": GOOD["access"] | {"token": None}},
                {"access": GOOD["access"] | {"expires": "soon"}},
                {"access": GOOD["access"] | {"expires": True}},
                {"access": GOOD["access"] | {"more": 1}},
                {"refusal": []},
                {"refusal": GOOD["refusal"] | {"until": None}},
                {"refusal": GOOD["refusal"] | {"text": 1}},
            )
        ),
        json.dumps({name: value for name, value in GOOD.items() if name != "refusal"}).encode(),
    ],
)
def test_a_damaged_file_counts_as_none(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)
    assert TokenFile(tmp_path).read() is None


WRITER = """
import sys, pathlib
from mta.oauth.token_file import SavedTokens, TokenFile
file = TokenFile(pathlib.Path(sys.argv[1]))
for number in range(int(sys.argv[2]), 1_000_000):
    file.write(SavedTokens("digest", "lineage", str(number) * 1000))
    print(number, flush=True)
"""


def test_a_process_that_is_killed_at_any_moment_leaves_the_last_content_or_the_next(tmp_path):
    last = 0
    for _ in range(choose(5, 100)):
        arguments = [sys.executable, "-c", WRITER, str(tmp_path), str(last + 1)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, env={"PYTHONPATH": PYTHON_PATH}) as writer:
            said = [writer.stdout.readline() for _ in range(random.randrange(1, 30))]
            writer.kill()
            said += writer.stdout.readlines()
        last = int([line for line in said if line.endswith(b"\n")][-1])
        number = TokenFile(tmp_path).read().refresh_token
        assert number in {str(last) * 1000, str(last + 1) * 1000}


class Stopped(BaseException):
    """Stands for the end of the process."""


STEPS = ("unlink", "open", "write", "fsync", "rename", "fsync of the directory")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("stop", range(len(STEPS)), ids=STEPS)
def test_a_stop_at_any_step_leaves_the_old_content_or_the_new(tmp_path, monkeypatch, stop, after):
    file = TokenFile(tmp_path)
    file.write(OLD)
    # As a process leaves it that was killed in the middle of a write.
    (tmp_path / NEW_NAME).write_text("{")
    steps = 0

    def counted(call, counts=lambda *_: True):
        def step(*arguments, **named):
            nonlocal steps
            number = steps
            if not counts(*arguments):
                return call(*arguments, **named)
            steps += 1
            if number == stop and not after:
                raise Stopped
            result = call(*arguments, **named)
            if number == stop:
                raise Stopped
            return result

        return step

    monkeypatch.setattr(Path, "unlink", counted(Path.unlink))
    monkeypatch.setattr(os, "open", counted(os.open, lambda path, *_: str(path).endswith(NEW_NAME)))
    monkeypatch.setattr(json, "dumps", counted(json.dumps))
    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(Path, "rename", counted(Path.rename))
    with pytest.raises(Stopped):
        file.write(NEW)
    monkeypatch.undo()
    renamed = STEPS.index("rename")
    assert file.read() == (NEW if stop > renamed or (stop == renamed and after) else OLD)
    file.write(NEW)
    assert file.read() == NEW
    assert {path.name for path in tmp_path.iterdir()} == {FILE_NAME}
