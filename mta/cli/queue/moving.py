"""`smtprelay queue move`: the queue in QUEUE_DIR to a database that relays share."""

import time

import click

from mta import __version__
from mta.cli.environment import current_environment
from mta.cli.errors import command_errors
from mta.cli.state.opening import queue_directory
from mta.config.table import QUEUE_URL


@click.command("move")
@click.option("--to", "url", metavar="URL", required=True, help="The database, as in QUEUE_URL.")
def move(url: str) -> None:
    """Move the queue in QUEUE_DIR to a database, with its history and ledger.

    QUEUE_PASSWORD may have the password. No relay may run on QUEUE_DIR; relays may run on the database, and get the
    messages at the end. If the move is interrupted, call it again. It leaves an empty queue in QUEUE_DIR.
    """
    # Other commands need no driver of the database.
    from mta.cli.state.shared import shared_server  # noqa: PLC0415
    from mta.queue.move.moving import Move  # noqa: PLC0415

    with command_errors():
        environ = {**current_environment(), QUEUE_URL.name: url}
        parameters = shared_server(environ).connection_parameters()
        click.echo(Move(queue_directory(environ), parameters, __version__, _tell).run(time.time()))


def _tell(line: str) -> None:
    click.echo(f"smtprelay: {line}", err=True)
