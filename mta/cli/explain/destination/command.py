"""The part of `smtprelay explain` that explains a domain, a host or a smarthost."""

from functools import partial

from mta.cli.errors import command_errors
from mta.cli.explain.destination.render import as_lines
from mta.cli.explain.running import MistakeError, page_of_command, print_page
from mta.explain.destination.explaining import explain_destination
from mta.explain.destination.objects import page_object
from mta.explain.destination.page import NoDestination
from mta.queue.ids import prefix_range


def is_destination(text: str) -> bool:
    """Return whether an argument names a destination, because it cannot be the beginning of an id."""
    return prefix_range(text.lower()) is None


def print_destination(name: str, *, as_json: bool) -> None:
    """Print the page about a destination, whose names are looked up. Raises CommandError."""
    with command_errors():
        try:
            page = page_of_command(partial(explain_destination, name), dns=True)
        except NoDestination as error:
            raise MistakeError(str(error)) from None
    print_page(as_lines(page), page_object(page), as_json=as_json)
