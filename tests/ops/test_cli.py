from click.testing import CliRunner

from mta import __version__
from mta.ops.cli import main


def test_the_help_names_every_command_with_what_it_does():
    shown = CliRunner().invoke(main, ["--help"])
    assert shown.exit_code == 0
    lines = [line.split(None, 1) for line in shown.stdout.partition("Commands:\n")[2].splitlines()]
    assert [line[0] for line in lines] == ["config", "dkim", "health", "queue"]
    assert all(len(line) == 2 for line in lines)


def test_the_version_is_printed():
    assert CliRunner().invoke(main, ["--version"]).stdout == f"smtprelay, version {__version__}\n"


def test_no_such_command_is_a_wrong_command():
    refused = CliRunner().invoke(main, ["nonsense"])
    assert (refused.exit_code, "No such command 'nonsense'" in refused.stderr) == (2, True)
