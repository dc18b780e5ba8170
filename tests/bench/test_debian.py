"""Debian systems as folders: how they are found, owned and entered."""

import os
import shutil
from pathlib import Path

import pytest

from bench.debian import SUITE, command_in, folder_with, owner_in, start_server, version
from bench.server import LeftOut
from harness.processes import free_port

STATUS = """\
Package: exim4-base
Status: install ok installed
Version: 4.0-1

Package: exim4
Version: 4.98.2-1
"""


def debian(cache: Path, package: str) -> Path:
    folder = cache / f"{SUITE}-{package}"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nmail:x:8:12:mail:/:/bin/false\n")
    (folder / "var/lib/dpkg").mkdir(parents=True)
    (folder / "var/lib/dpkg/status").write_text(STATUS)
    return folder


def test_a_peer_is_left_out_with_the_reason_for_a_user_other_than_root(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LeftOut, match="takes root"):
        folder_with(tmp_path, "postfix")


def test_a_peer_is_left_out_with_the_reason_where_a_program_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name, path: None if name == "debootstrap" else f"{path}/{name}")
    with pytest.raises(LeftOut, match="not installed: debootstrap"):
        folder_with(tmp_path, "postfix")


def test_a_cached_debian_is_not_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    made = debian(tmp_path, "postfix")
    assert folder_with(tmp_path, "postfix") == made


@pytest.mark.parametrize(("package", "found"), [("exim4", "4.98.2-1"), ("exim4-base", "4.0-1"), ("postfix", "none")])
def test_the_version_is_that_of_the_package_itself(tmp_path, package, found):
    debian(tmp_path, package)
    assert version(tmp_path, package) == found


def test_a_package_that_was_never_fetched_has_no_version(tmp_path):
    assert version(tmp_path, "postfix") == "none"


def test_users_are_those_of_the_debian_not_of_the_host(tmp_path):
    assert owner_in(debian(tmp_path, "postfix"), "mail") == (8, 12)


def test_bound_paths_of_the_host_come_in_pairs_before_the_command():
    command = command_in(Path("/d"), ["postfix", "start-fg"], {Path("/here"): Path("/there")})
    assert command[-6:] == ["/d", "/here", "/there", "--", "postfix", "start-fg"]


def test_a_server_that_ends_before_it_greets_is_told_with_its_last_words(tmp_path):
    command = ["sh", "-c", "echo no such setting; exit 1"]
    with pytest.raises(RuntimeError, match="stunnel does not start: no such setting"):
        start_server("stunnel", command, free_port(), tmp_path / "output")
