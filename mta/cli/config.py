"""`smtprelay config`: prints what the settings are, amount to and mean."""

from collections.abc import Sequence

import click

from mta.cli.configuration import check_settings, explain_settings, show_settings
from mta.cli.environment import current_environment, env_file_option
from mta.cli.errors import command_errors


@click.group()
def config() -> None:
    """Look at the settings."""


@config.command("show")
@env_file_option
def config_show() -> None:
    """Print the settings in force, secrets masked; notices go to stderr."""
    with command_errors():
        _print_settings(*show_settings(current_environment()))


@config.command("check")
@env_file_option
def config_check() -> None:
    """Print what the settings amount to, as a start would log it, and notices to stderr; exit with 1 on mistakes."""
    with command_errors():
        _print_settings(*check_settings(current_environment()))


@config.command("explain")
@env_file_option
@click.argument("names", nargs=-1)
def config_explain(names: tuple[str, ...]) -> None:
    """Say of each setting, or of all, its value, secrets masked, where it came from and what it does."""
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
