"""`smtprelay queue move`: the queue in QUEUE_DIR to a database that relays share."""

import time

import click

from mta import __version__
from mta.cli.environment import current_environment
from mta.cli.errors import command_errors
from mta.cli.state.opening import queue_directory
from mta.config.table import QUEUE_URL


@click.command("move")
@click.option("--to", "target", metavar="URL", help="The database, as in QUEUE_URL, to which the queue goes.")
@click.option("--from", "source", metavar="URL", help="The database from which the queue comes back to QUEUE_DIR.")
def move(target: str | None, source: str | None) -> None:
    """Move the queue in QUEUE_DIR to a database, or back, with its history and ledger.

    QUEUE_PASSWORD may have the password. No relay may run on QUEUE_DIR. With --to, relays may run on the database, and
    get the messages at the end; with --from, none may. If the move is interrupted, call it again. The queue that the
    messages leave is empty then.
    """
    url = target or source
    if not url or (target and source):
        raise click.UsageError("give --to or --from")
    # Other commands need no driver of the database.
    from mta.cli.state.shared import shared_server  # noqa: PLC0415
    from mta.queue.move.back import MoveBack  # noqa: PLC0415
    from mta.queue.move.moving import Move  # noqa: PLC0415

    with command_errors():
        environ = {**current_environment(), QUEUE_URL.name: url}
        parameters = shared_server(environ).connection_parameters()
        directory = queue_directory(environ)
        if target:
            click.echo(Move(directory, parameters, __version__, _tell).run(time.time()))
        else:
            click.echo(MoveBack(directory, parameters, _tell).run(time.time()))


def _tell(line: str) -> None:
    click.echo(f"smtprelay: {line}", err=True)
