"""The environment of a command: its own, a file's, or a running relay's."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from mta.blocking import run_inline
from mta.cli.environment import command_environment, current_environment, relay_environment
from mta.cli.main import main
from mta.daemon.runtime_settings import publish_settings
from mta.queue.sqlite.queue import open_queue

EMPTY = "Nothing is waiting. 0 messages finished in the last 3 days.\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A runtime directory in which a relay has published its settings, beside the relay's empty queue."""
    (tmp_path / "queue").mkdir()
    open_queue(tmp_path / "queue", run=run_inline, now=1.0).close()
    (tmp_path / "run").mkdir()
    environ = {"RUNTIME_DIRECTORY": str(tmp_path / "run"), "PORT": "1", "HISTORY_DAYS": "3", "SMARTHOST_USER": "u"}
    publish_settings(environ | {"SMARTHOST_PASSWORD": "p", "SMARTHOST_ADDRESS": "a.test"}, tmp_path / "queue")
    return tmp_path / "run"


def run(directory: Path, *words: str, **environ: str) -> Result:
    unset = dict.fromkeys(("QUEUE_DIR", "PORT", "HISTORY_DAYS"))
    return CliRunner().invoke(main, words, env=unset | {"RUNTIME_DIRECTORY": str(directory)} | environ)


def test_commands_beside_a_unit_find_the_settings_that_its_relay_published(directory: Path) -> None:
    assert run(directory, "queue", "list").stdout == EMPTY
    unhealthy = run(directory, "health")
    assert unhealthy.stderr == "smtprelay: unhealthy: no answer on 127.0.0.1 port 1: Connection refused\n"
    checked = run(directory, "config", "check", NET_DEV="lo", MAILNAME="mail.example.test")
    assert checked.exit_code == 0, checked.output
    assert "all other mail goes to: the smarthost a.test::25, with TLS only" in checked.stdout


def test_variables_of_the_command_itself_come_first(directory: Path, tmp_path: Path) -> None:
    assert "last 5 days" in run(directory, "queue", "list", HISTORY_DAYS="5").stdout
    assert run(directory, "queue", "list", QUEUE_DIR=str(tmp_path / "none")).exit_code == 1
    # A queue that is named belongs to another relay: nothing that this one settings counts.
    assert command_environment({"QUEUE_DIR": "/q", "RUNTIME_DIRECTORY": str(directory)}).get("PORT") is None
    assert command_environment({"PORT": "", "RUNTIME_DIRECTORY": str(directory)})["PORT"] == "1"


def test_a_relay_that_a_command_starts_takes_no_settings_of_another_one(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(directory))
    for name in ("PORT", "QUEUE_DIR"):
        monkeypatch.delenv(name, raising=False)
    with click.Context(main):
        assert current_environment().get("PORT") == "1"
        assert relay_environment().get("PORT") is None
    (tmp_path / "settings").write_text("PORT=2\n")
    with main.make_context("smtprelay", ["--env-file", str(tmp_path / "settings"), "run"]):
        assert relay_environment().get("PORT") == "2"


def test_without_published_settings_the_error_gives_advice(tmp_path: Path) -> None:
    for command in (("queue", "list"), ("health",)):
        refused = run(tmp_path, *command, PORT="1")
        assert refused.exit_code == 1
        assert refused.stderr.count("\n") == 1
        words = (
            f"(QUEUE_DIR is not set here, and no relay has published it in {tmp_path}/settings.json: set it, or give"
        )
        assert words in refused.stderr


def test_a_file_of_variables_can_be_given_to_any_command(directory: Path, tmp_path: Path) -> None:
    file = tmp_path / "smtprelay.default"
    file.write_text(f"QUEUE_DIR={tmp_path}/queue\nHISTORY_DAYS=9\nNET_DEV=lo\nMAILNAME='mail.example.test'\n")
    assert "last 9 days" in run(tmp_path, "--env-file", str(file), "queue", "list").stdout
    for words in (("config", "check", "--env-file", str(file)), ("--env-file", str(file), "config", "check")):
        checked = run(tmp_path, *words)
        assert "name: mail.example.test\n" in checked.stdout
        assert "MAILNAME: read without the quotation marks" in checked.stderr


def test_a_file_that_is_wrong_is_refused_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("PORT=x\nexport A=1\n")
    checked = run(tmp_path, "config", "check", "--env-file", str(file))
    assert (checked.exit_code, checked.stderr) == (
        1,
        f"smtprelay: {file}, line 2: 'export A' is not the name of a variable\n",
    )
    file.write_text("PORT=x\nSMARTHOST_USER=u\n")
    checked = run(tmp_path, "config", "check", "--env-file", str(file))
    assert [line.split()[1].partition("=")[0].rstrip(":") for line in checked.stderr.splitlines()] == [
        "PORT",
        "SMARTHOST_PASSWORD",
    ]
