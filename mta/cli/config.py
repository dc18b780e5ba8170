"""`smtprelay config`: prints the settings, a summary of them, and their documentation."""

from collections.abc import Sequence

import click

from mta.cli.configuration import check_settings, explain_settings, show_settings
from mta.cli.environment import current_environment, env_file_option
from mta.cli.errors import command_errors


@click.group()
def config() -> None:
    """Show and check the settings."""


@config.command("show")
@env_file_option
def config_show() -> None:
    """Print all settings, with secrets masked.

    Notices go to standard error.
    """
    with command_errors():
        _print_settings(*show_settings(current_environment()))


@config.command("check")
@env_file_option
def config_check() -> None:
    """Check the settings and print their summary.

    The summary is the one that a start logs. Notices go to standard error. Mistakes end the command with exit status 1.
    """
    with command_errors():
        _print_settings(*check_settings(current_environment()))


@config.command("explain")
@env_file_option
@click.argument("names", nargs=-1)
def config_explain(names: tuple[str, ...]) -> None:
    """Print the value and documentation of settings.

    Without NAMES, all settings are printed. Secrets are masked.
    """
    try:
        with command_errors():
            click.echo("\n".join(explain_settings(current_environment(), names)))
    except KeyError as error:
        raise click.UsageError(error.args[0]) from None


def _print_settings(lines: Sequence[str], notices: Sequence[str]) -> None:
    for line in lines:
        click.echo(line)
    for notice in notices:
        click.echo(f"notice: {notice}", err=True)
