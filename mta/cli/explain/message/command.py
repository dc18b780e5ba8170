"""The part of `smtprelay explain` that explains a message of the queue."""

import json
import time

import click

from mta.cli.environment import current_environment
from mta.cli.errors import command_errors
from mta.cli.explain.message.render import as_lines
from mta.cli.explain.running import MistakeError, explained
from mta.cli.results import answer
from mta.cli.state.opening import relay_state
from mta.config.setting import SettingsError
from mta.config.settings import read_settings
from mta.explain.message.explaining import explain_message
from mta.explain.message.gathering import MessageNotFound
from mta.explain.message.objects import page_object
from mta.explain.message.page import MessagePage


def print_message(id: str, *, dns: bool, as_json: bool) -> None:
    """Print the page about the message whose id begins so. Raises CommandError."""
    with command_errors():
        try:
            page = _page(id, dns=dns)
        except MessageNotFound as error:
            raise MistakeError(str(error)) from None
    if as_json:
        click.echo(json.dumps(page_object(page), indent=1))
        return
    for line in as_lines(page):
        click.echo(line)


def _page(id: str, *, dns: bool) -> MessagePage:
    environ, now = current_environment(), time.time()
    with relay_state() as state:
        try:
            settings = read_settings(environ)
        except SettingsError as error:
            mistakes = tuple(error.mistakes)
            return answer(explain_message(id, state, None, now, mistakes=mistakes))
        return explained(settings, lambda present: explain_message(id, state, present, now), dns=dns)
