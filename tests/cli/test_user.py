"""`smtprelay user`: the users' file, passwords from standard input and a terminal, and no secret anywhere."""

import contextlib
import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mta.cli.main import main
from mta.users import argon2, secrets
from mta.users.crypt import libcrypt
from mta.users.secrets import NEW_SCHEMES
from tests.users.made_secrets import BCRYPT, MADE, PASSWORD, SCRAM, SHA512

pytestmark = pytest.mark.skipif(
    libcrypt() is None or not argon2.is_available(), reason="this system lacks libxcrypt or argon2id"
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "users"


@pytest.fixture
def run(path):
    def run(*words: str, input: str = "", **environ: str) -> Result:
        base = {"QUEUE_DIR": "/nonexistent", "AUTH_USERS_FILE": str(path)}
        return CliRunner().invoke(main, ["user", *words], input=input, env=base | environ)

    return run


def test_a_user_is_added_listed_checked_and_removed(run, path):
    added = run("add", "alice", input=f"{PASSWORD}\n")
    assert (added.exit_code, added.stdout) == (0, "alice added\n")
    assert "only its owner can read it" in added.stderr
    assert path.read_text().startswith("alice:$argon2id$")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert run("list").stdout == "alice  argon2id       any sender\n"
    assert run("check", "alice", input=PASSWORD).stdout == "the password of alice is right\n"
    removed = run("remove", "alice")
    assert (removed.exit_code, removed.stdout, removed.stderr) == (0, "alice removed\n", "")
    assert path.read_text() == ""


@pytest.mark.parametrize("scheme", NEW_SCHEMES)
def test_each_scheme_makes_a_secret_that_is_right(run, scheme):
    assert run("add", "alice", "--scheme", scheme, input="Grüße\r\n").exit_code == 0
    assert run("check", "alice", input="Grüße\n").exit_code == 0
    assert scheme in run("list").stdout
    wrong = run("check", "alice", input="Gruesse\n")
    assert (wrong.exit_code, wrong.stderr) == (1, "smtprelay: the password of alice is another one\n")


def test_a_password_is_changed_and_the_senders_are_kept_unless_given(run, path):
    run("add", "alice", "--senders", "A@a.test", "--senders", "@b.test", input="one\n")
    assert json.loads(run("list", "--json").stdout) == [
        {"name": "alice", "scheme": "argon2id", "senders": ["a@a.test", "@b.test"]}
    ]
    assert run("add", "alice", input="two\n").stdout == "alice changed\n"
    assert run("check", "alice", input="two\n").exit_code == 0
    assert path.read_text().endswith(" a@a.test @b.test\n")
    run("add", "alice", "--senders", "*", input="two\n")
    assert json.loads(run("list", "--json").stdout)[0]["senders"] is None


def test_the_file_is_that_of_the_option_or_of_the_setting(run, path, tmp_path):
    other = tmp_path / "other"
    run("add", "alice", "--file", str(other), input="x\n")
    assert other.exists()
    assert not path.exists()
    missing = run("list", AUTH_USERS_FILE="")
    assert missing.exit_code == 1
    assert "AUTH_USERS_FILE is not set" in missing.stderr
    absent = run("list")
    assert absent.exit_code == 1
    assert "No such file" in absent.stderr


@pytest.mark.parametrize(
    ("words", "input", "told"),
    [
        (["add", "al ice"], "x\n", "the name of a user"),
        (["add", "alice", "--senders", "nonsense"], "x\n", "not an address"),
        (["add", "alice"], "", "no password in its first line"),
        (["add", "alice"], "\nx\n", "no password in its first line"),
        (["add", "alice"], "x" * 1025, "1 to 1024 octets"),
        (["add", "alice", "--scheme", "bcrypt"], "x" * 73, "72 octets"),
        (["remove", "carol"], "", "no user carol"),
        (["check", "carol"], "x\n", "no user carol"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(run, path, words, input, told):
    path.write_text(f"bob:{BCRYPT}\n")
    result = run(*words, input=input)
    assert result.exit_code == 1
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert path.read_text() == f"bob:{BCRYPT}\n"


def test_an_unknown_scheme_is_a_wrong_argument(run):
    assert run("add", "alice", "--scheme", "md5", input="x\n").exit_code == 2


def test_bad_lines_are_told_by_list_and_do_not_hinder_a_change(run, path):
    path.write_text(f"bob:hunter2\ncarol:{BCRYPT}\n")
    listed = run("list")
    assert listed.exit_code == 1
    assert listed.stdout == "carol  bcrypt         any sender\n"
    assert listed.stderr.startswith("smtprelay: line 1: ")
    added = run("add", "alice", input="x\n")
    assert added.exit_code == 0
    assert "line 1: " in added.stderr
    assert run("check", "bob", input="hunter2\n").exit_code == 1
    assert run("add", "bob", input="x\n").exit_code == 0
    assert run("list").exit_code == 0


def test_no_command_shows_a_secret(run, path):
    secrets = [made for made, _ in MADE.values()]
    path.write_text("".join(f"u{number}:{secret}\n" for number, secret in enumerate(secrets)) + "bob:hunter2\n")
    results = [run("list"), run("list", "--json"), run("remove", "u0"), run("add", "u1", input="hunter3\n")]
    results += [run("check", "u1", input="hunter3\n"), run("check", "u2", input="hunter3\n")]
    shown = "".join(result.stdout + result.stderr for result in results)
    assert not any(secret[-20:] in shown for secret in (*secrets, path.read_text()))
    assert "hunter" not in shown
    assert not any(result.exception and not isinstance(result.exception, SystemExit) for result in results)


def test_a_warning_says_when_scram_is_not_offered(run, path):
    path.write_text(f"bob:{SCRAM}\n")
    assert "SCRAM-SHA-256 is offered" in run("add", "alice", input="x\n").stderr
    assert run("add", "alice", "--scheme", "scram-sha-256", input="x\n").stderr == ""
    path.write_text(f"bob:{SHA512}\n")
    assert "SCRAM-SHA-256 is offered" in run("add", "alice", "--scheme", "scram-sha-256", input="x\n").stderr
    assert run("add", "alice", input="x\n").stderr == ""


def test_a_system_without_argon2id_makes_another_secret_and_says_so(run, monkeypatch):
    monkeypatch.setattr(secrets.argon2, "is_available", lambda: False)
    added = run("add", "alice", input="x\n")
    assert added.exit_code == 0
    assert "cannot make argon2id, so the secret is a bcrypt one" in added.stderr
    assert "bcrypt" in run("list").stdout


def test_a_file_that_cannot_be_replaced_is_told_with_a_remedy(run, path, monkeypatch):
    path.write_text(f"bob:{BCRYPT}\n")

    def fail(self, target):
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    result = run("add", "alice", input="x\n")
    assert result.exit_code == 1
    assert "mount its folder instead" in result.stderr


def terminal(words, typed):
    """Run the command at a terminal, type a line at each prompt, and return all that the terminal shows."""
    leader, follower = pty.openpty()
    command = [Path(sys.executable).with_name("smtprelay"), "user", *words]
    shown = b""
    with subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, start_new_session=True) as process:
        os.close(follower)
        # A read of the terminal fails when the command has ended.
        with contextlib.suppress(OSError):
            while piece := os.read(leader, 1024):
                shown += piece
                if shown.endswith(b": ") and typed:
                    os.write(leader, typed.pop(0).encode() + b"\n")
    os.close(leader)
    return shown.decode().replace("\r\n", "\n"), process.returncode


def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(path):
    shown, status = terminal(["add", "alice", "--file", str(path)], ["hunter2", "hunter3", "hunter2", "hunter2"])
    assert status == 0
    assert shown.count("Password: ") == 2
    assert "alice added" in shown
    assert "hunter" not in shown
    assert terminal(["check", "alice", "--file", str(path)], ["hunter2"]) == (
        "Password: \nthe password of alice is right\n",
        0,
    )
