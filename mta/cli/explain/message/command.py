"""The part of `smtprelay explain` that explains a message of the queue."""

import json

import click

from mta.cli.environment import current_environment
from mta.cli.errors import command_errors
from mta.cli.explain.message.gathering import gather
from mta.cli.explain.message.render import as_lines, as_object
from mta.cli.explain.message.view import page_of


def explain_message(id: str, *, dns: bool, as_json: bool) -> None:
    """Print the page about the message whose id begins so. Raises CommandError."""
    with command_errors():
        page = page_of(gather(id, current_environment(), dns=dns))
    if as_json:
        click.echo(json.dumps(as_object(page), indent=1))
        return
    for line in as_lines(page):
        click.echo(line)
