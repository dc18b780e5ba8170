"""`smtprelay queue`: the commands that show the queue. The orders and the commands on contents are added to them."""

import json

import click

from mta.cli.environment import current_environment
from mta.cli.errors import CommandError
from mta.cli.queue import contents, orders, render
from mta.cli.queue.domains import domains
from mta.cli.queue.opening import opened, queue_directory, resolved, waits_for
from mta.cli.queue.options import condition_options, given_conditions
from mta.cli.results import result
from mta.config.setting import SettingsReader
from mta.config.table import HISTORY_DAYS
from mta.queue.interface import Entry, Query, QueueId


@click.group()
def queue() -> None:
    """Show and change the queue."""


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@queue.command("list")
@_as_json
@click.option("--all", "finished", is_flag=True, help="Include finished messages of the last HISTORY_DAYS.")
def queue_list(as_json: bool, finished: bool) -> None:
    """List the messages, and the last reply to each recipient."""
    with opened() as queues:
        entries = result(queues.find(Query(finished=finished)))
        if as_json:
            click.echo(json.dumps([render.entry_object(entry) for entry in entries], indent=1))
            return
        summary = result(queues.summary())
    for entry in entries:
        click.echo("\n".join(render.list_lines(entry, finished)))
    for line in render.closing_lines(
        summary, SettingsReader(current_environment()).get(HISTORY_DAYS), listed=bool(entries), all=finished
    ):
        click.echo(line)


@queue.command("find")
@_as_json
@condition_options
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="The most to print.")
@click.option("--before", help="Only messages that arrived before the one with this id, to go on with a list.")
@click.option("--count", "only_count", is_flag=True, help="Print the number of messages only.")
@click.argument("words", nargs=-1)
def queue_find(
    as_json: bool, limit: int, before: str | None, only_count: bool, words: tuple[str, ...], **options: object
) -> None:
    """Search the queue and the history, newest first.

    In texts * stands for any characters. WORDS are parts of addresses, From fields or Message-IDs, or beginnings of
    ids. A message must meet all conditions.
    """
    conditions = given_conditions(options, words)
    with opened() as queues:
        if only_count:
            click.echo(result(queues.count(conditions, finished=True)))
            return
        cursor = None if before is None else resolved(queues, [before])[0]
        query = Query(finished=True, limit=limit + 1, conditions=conditions, newest_first=True, before=cursor)
        entries = result(queues.find(query))
    _print_found(entries[:limit], as_json=as_json)
    if len(entries) > limit:
        last = entries[limit - 1].id
        click.echo(f"smtprelay: more messages match: add --before {last}, or a larger --limit", err=True)


def _print_found(entries: list[Entry], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([render.entry_object(entry) for entry in entries], indent=1))
        return
    for entry in entries:
        click.echo("\n".join(render.found_lines(entry)))
    if not entries:
        click.echo("No message matches.")


@queue.command("show")
@_as_json
@click.option("--header", "part", flag_value="header", help="Print the header of a message in the queue.")
@click.option("--message", "part", flag_value="message", help="Print a message in the queue.")
@click.argument("id")
def queue_show(as_json: bool, part: str | None, id: str) -> None:
    """Show one message, queued or finished, with its attempts."""
    if part is not None:
        click.echo(contents.content(id, header=part == "header"), nl=False)
        return
    with opened() as queues:
        entries = result(queues.find(Query(ids=resolved(queues, [id]), finished=True, details=True)))
    if not entries:
        raise CommandError(f"no message {id} is in the queue or its history")
    reason = waits_for(queue_directory(current_environment()), entries[0])
    if as_json:
        click.echo(json.dumps(render.entry_object(entries[0], reason), indent=1))
    else:
        click.echo("\n".join(render.show_lines(entries[0], reason)))


@queue.command("summary")
@_as_json
def queue_summary(as_json: bool) -> None:
    """Count messages and recipients.

    The ledger has the results of all recipients that were ever accepted.
    """
    with opened() as queues:
        summary = result(queues.summary())
    if as_json:
        click.echo(json.dumps(render.summary_object(summary), indent=1))
        return
    click.echo("\n".join(render.summary_lines(summary)))


def find(query: Query) -> list[Entry]:
    """Return messages of the queues of all workers. Raises CommandError."""
    with opened() as queues:
        return result(queues.find(query))


for _command in (*orders.COMMANDS, *contents.COMMANDS, domains):
    queue.add_command(_command)

__all__ = ["QueueId", "find", "queue", "queue_find", "queue_list", "queue_show", "queue_summary"]
