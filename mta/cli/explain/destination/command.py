"""The part of `smtprelay explain` that explains a domain, a host or a smarthost."""

import json
import time

import click

from mta.cli.environment import current_environment
from mta.cli.errors import command_errors
from mta.cli.explain.destination.render import as_lines
from mta.cli.explain.running import MistakeError, explained
from mta.cli.results import answer
from mta.cli.state.opening import relay_state
from mta.config.setting import SettingsError
from mta.config.settings import read_settings
from mta.explain.destination.explaining import explain_destination
from mta.explain.destination.gathering import NoDestination
from mta.explain.destination.objects import page_object
from mta.explain.destination.page import DestinationPage
from mta.queue.ids import prefix_range


def is_destination(text: str) -> bool:
    """Return whether an argument names a destination, because it cannot be the beginning of an id."""
    return prefix_range(text.lower()) is None


def print_destination(name: str, *, as_json: bool) -> None:
    """Print the page about a destination, whose names are looked up. Raises CommandError."""
    with command_errors():
        try:
            page = _page(name)
        except NoDestination as error:
            raise MistakeError(str(error)) from None
    if as_json:
        click.echo(json.dumps(page_object(page), indent=1))
        return
    for line in as_lines(page):
        click.echo(line)


def _page(name: str) -> DestinationPage:
    environ, now = current_environment(), time.time()
    with relay_state() as state:
        try:
            settings = read_settings(environ)
        except SettingsError as error:
            mistakes = tuple(error.mistakes)
            return answer(explain_destination(name, state, None, now, mistakes=mistakes))
        return explained(settings, lambda present: explain_destination(name, state, present, now), dns=True)
