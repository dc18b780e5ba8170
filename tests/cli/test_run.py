"""`smtprelay run`: the relay in the foreground, without twistd's search for plugins."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.daemon import Daemon, program

RUN = [program("smtprelay"), "run"]
# An error without a file name, as a command's output on a full disk has it.
FULL_DISK = """
import errno, os
from twisted.scripts import twistd
from mta.cli import main
def start(options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
twistd.runApp = start
main.main(["run"])
"""


def relay(home: Path, *options: str, **settings: str) -> Daemon:
    """Return a relay that the command starts. It is not running yet."""
    daemon = Daemon(home, **settings)
    daemon.child.command = [*RUN, *options]
    return daemon


@pytest.mark.endtoend
@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_runs_the_relay_until_a_signal_and_ends_with_status_0(tmp_path, workers):
    daemon = relay(tmp_path / "relay", WORKERS=workers)
    for folder in ("cur", "new", "tmp"):
        (daemon.mail_dir / "somebody" / folder).mkdir(parents=True)
    with daemon:
        # The first of two workers may take mail before the relay has started.
        daemon.wait_for_events("started")
        daemon.submit(b"Subject: hello\r\n\r\nhello\r\n", "somebody@localhost")
        assert daemon.tool("health").returncode == 0
        assert daemon.stop() == 0
    assert [len(daemon.events(name)) for name in ("started", "accepted", "stopped")] == [1, 1, 1]


@pytest.mark.endtoend
def test_a_file_of_settings_counts_and_the_environment_overrides_it(tmp_path):
    file = tmp_path / "settings"
    file.write_text("MAILNAME=file.example.test\nHISTORY_DAYS=5\n")
    # An empty variable counts as unset.
    daemon = relay(tmp_path / "relay", "--env-file", str(file), MAILNAME="", HISTORY_DAYS="4")
    with daemon:
        (started,) = daemon.wait_for_events("started")
        assert started["name"] == "file.example.test"
        assert "keeps results of messages for 4 days" in daemon.child.text


@pytest.mark.parametrize(
    ("words", "settings", "mistakes"),
    [
        ((), {"PORT": "none", "WORKERS": "many"}, ["PORT", "WORKERS"]),
        (("--env-file", "/no/such/file"), {}, ["/no/such/file"]),
    ],
)
def test_each_mistake_is_a_line_and_the_status_keeps_a_manager_from_trying_again(tmp_path, words, settings, mistakes):
    daemon = relay(tmp_path / "relay", *words, **settings)
    lines = daemon.start_and_fail(78).splitlines()
    assert len(lines) == len(mistakes)
    assert all(line.startswith("smtprelay: ") and word in line for line, word in zip(lines, mistakes, strict=True))


def test_an_error_of_the_system_at_the_start_is_told_as_such(tmp_path):
    daemon = relay(tmp_path / "relay")
    daemon.child.command = [sys.executable, "-c", FULL_DISK]
    assert daemon.start_and_fail(1) == "smtprelay: the relay cannot start: [Errno 28] No space left on device\n"


def test_plugins_of_other_packages_are_neither_imported_nor_listed(tmp_path):
    plugins = tmp_path / "packages/twisted/plugins"
    plugins.mkdir(parents=True)
    (plugins / "broken.py").write_text("raise RuntimeError('imported')\n")
    environment = relay(tmp_path / "relay", PORT="none").environment
    environment["PYTHONPATH"] = f"{tmp_path / 'packages'}:{environment['PYTHONPATH']}"

    def say(*command: str) -> str:
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == 78
        return ended.stdout + ended.stderr

    assert "imported" not in say(*RUN)
    assert [path.name for path in plugins.iterdir()] == ["broken.py"]
    # The search of twistd itself finds that plugin, so a search would not have gone unseen.
    assert "imported" in say(program("twistd"), "-n", "--pidfile=", "smtprelay")
