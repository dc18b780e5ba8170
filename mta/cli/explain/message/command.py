"""The part of `smtprelay explain` that explains a message of the queue."""

from functools import partial

from mta.cli.errors import command_errors
from mta.cli.explain.message.render import as_lines
from mta.cli.explain.running import MistakeError, page_of_command, print_page
from mta.explain.message.explaining import explain_message
from mta.explain.message.objects import page_object
from mta.explain.message.page import MessageNotFound


def print_message(id: str, *, dns: bool, as_json: bool) -> None:
    """Print the page about the message whose id begins so. Raises CommandError."""
    with command_errors():
        try:
            page = page_of_command(partial(explain_message, id), dns=dns)
        except MessageNotFound as error:
            raise MistakeError(str(error)) from None
    print_page(as_lines(page), page_object(page), as_json=as_json)
