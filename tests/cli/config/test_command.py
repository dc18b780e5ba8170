"""`smtprelay config` as an operator runs it."""

from click.testing import CliRunner

from mta.cli.main import main


def test_the_settings_in_force_are_shown_and_notices_are_apart() -> None:
    shown = CliRunner().invoke(
        main,
        ["config", "show"],
        env={
            "PORT": "2525",
            "NET_DEV": "none0",
            "SES_USER": "hunter1",
            "SES_PASSWORD": "hunter2",
            "SES_REGION": "eu-west-1",
            "MAILNAME": "a.b",
        },
    )
    assert shown.exit_code == 0
    assert shown.stdout.startswith("PORT = 2525\n")
    assert "SES_PASSWORD = ****\n" in shown.stdout
    assert "notice: NET_DEV=none0 adds no trusted networks" in shown.stderr
    assert "hunter" not in shown.output


def test_every_mistake_is_shown_on_a_line_of_its_own() -> None:
    refused = CliRunner().invoke(main, ["config", "show"], env={"PORT": "x", "LOG_FORMAT": "y"})
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert [line.partition(": ")[2].partition("=")[0] for line in refused.stderr.splitlines()] == ["PORT", "LOG_FORMAT"]


def test_a_check_prints_the_summary_and_the_notices_separately() -> None:
    # The length of the tests looks like a setting of the relay.
    env = {"NET_DEV": "none0", "MAILNAME": "a.b", "RELAY_TESTS": None}
    checked = CliRunner().invoke(main, ["config", "check"], env=env)
    assert checked.exit_code == 0
    assert checked.stdout.startswith("name: a.b\n")
    assert checked.stderr.startswith("notice: NET_DEV=none0 adds no trusted networks")


def test_a_check_fails_with_every_mistake() -> None:
    refused = CliRunner().invoke(main, ["config", "check"], env={"PORT": "x", "LOG_FORMAT": "y"})
    assert (refused.exit_code, refused.stdout, refused.stderr.count("smtprelay: ")) == (1, "", 2)


def test_settings_are_explained_by_name() -> None:
    explained = CliRunner().invoke(main, ["config", "explain", "port", "SES_PORT"], env={"NET_DEV": "none0"})
    assert [line for line in explained.stdout.splitlines() if line[:1].isalpha()] == ["PORT = 25", "SES_PORT = 587"]


def test_an_unknown_setting_is_a_usage_error() -> None:
    refused = CliRunner().invoke(main, ["config", "explain", "PROT"])
    assert refused.exit_code == 2
    assert "PROT is not a setting; did you mean PORT?" in refused.stderr
