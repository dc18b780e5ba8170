"""The command line as a whole: late imports, and output that cannot be written."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.daemon import PYTHON_PATH, ROOT
from mta import __version__
from mta.cli.main import called_as, main


def test_the_help_describes_every_command():
    shown = CliRunner().invoke(main, ["--help"])
    assert shown.exit_code == 0
    lines = [line.split(None, 1) for line in shown.stdout.partition("Commands:\n")[2].splitlines()]
    assert [line[0] for line in lines] == [
        "config",
        "dkim",
        "doctor",
        "explain",
        "health",
        "oauth",
        "queue",
        "run",
        "tail",
        "test-mail",
        "user",
    ]
    assert all(len(line) == 2 for line in lines)
    # The first sentence of each command fits its line.
    assert not [line for line in lines if line[1].endswith("...")]


def test_the_version_is_printed():
    assert CliRunner().invoke(main, ["--version"]).stdout == f"smtprelay, version {__version__}\n"


@pytest.mark.parametrize(
    ("argv", "arguments"),
    [
        (["/usr/sbin/sendmail", "-t"], ["sendmail", "-t"]),
        (["mailq"], ["mailq"]),
        (["/usr/sbin/exim4", "-bp"], ["exim", "-bp"]),
        (["/usr/bin/smtprelay", "queue", "list"], ["queue", "list"]),
        (["/src/mta/cli/__main__.py", "queue"], ["queue"]),
    ],
)
def test_a_link_with_the_name_of_another_servers_command_is_that_command(argv, arguments):
    assert called_as(argv) == arguments


def test_no_such_command_is_a_wrong_command():
    refused = CliRunner().invoke(main, ["nonsense"])
    assert (refused.exit_code, "No such command 'nonsense'" in refused.stderr) == (2, True)


@pytest.mark.parametrize("arguments", [["--help"], ["config", "show"], ["config", "check"]])
def test_an_output_on_a_full_disk_is_one_line_of_error(arguments, tmp_path):
    command = [sys.executable, "-c", "from mta.cli.main import main; main(prog_name='smtprelay')", *arguments]
    environment = {"PYTHONPATH": PYTHON_PATH, "QUEUE_DIR": str(tmp_path)}
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    assert [line for line in ended.stderr.splitlines() if not line.startswith("notice: ")] == [
        "smtprelay: the output cannot be written: No space left on device"
    ]


IMPORTED = """
import sys
from mta.cli.main import main
main(sys.argv[1:], standalone_mode=False)
print(*sorted(sys.modules))
"""


@pytest.mark.parametrize("unused", ["twisted", "dns", "cryptography", "asyncio"])
def test_the_health_check_does_not_import_modules_of_other_commands(unused):
    # A container asks every few seconds, and these were most of what that cost.
    command = [sys.executable, "-c", IMPORTED, "health", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    modules = done.stdout.splitlines()[-1].split()
    assert "mta.cli.health" in modules
    assert unused not in modules
