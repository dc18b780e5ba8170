"""`smtprelay queue`: the commands that show the queue. The orders and the commands on contents are added to them."""

from collections.abc import Iterable
from itertools import islice

import click

from mta.admin.wire.messages import entry_object, summary_object
from mta.cli.environment import current_environment
from mta.cli.errors import CommandError
from mta.cli.queue import contents, orders, render
from mta.cli.queue.domains import domains
from mta.cli.queue.ids import resolved
from mta.cli.queue.moving import move
from mta.cli.queue.nodes import nodes
from mta.cli.queue.options import condition_options, given_conditions
from mta.cli.queue.printing import print_array, print_object
from mta.cli.queue.rerouting import reroute
from mta.cli.results import answer
from mta.cli.state.opening import messages, relay_state
from mta.config.setting import SettingsReader
from mta.config.table import HISTORY_DAYS
from mta.queue.interface import Entry, Query, Status


@click.group()
def queue() -> None:
    """Show and change the queue."""


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@queue.command("list")
@_as_json
@click.option("--all", "finished", is_flag=True, help="Include finished messages of the last HISTORY_DAYS.")
def queue_list(as_json: bool, finished: bool) -> None:
    """List the messages, and the last reply to each recipient."""
    with relay_state() as state:
        entries = messages(state, Query(finished=finished))
        if as_json:
            print_array(map(entry_object, entries))
            return
        listed = False
        for entry in entries:
            click.echo("\n".join(render.list_lines(entry, finished)))
            listed = True
        summary = answer(state.summary())
    days = SettingsReader(current_environment()).get(HISTORY_DAYS)
    for line in render.closing_lines(summary, days, listed=listed, all=finished):
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
    with relay_state() as state:
        if only_count:
            click.echo(answer(state.count(conditions, finished=True)))
            return
        cursor = None if before is None else resolved(state, [before])[0]
        query = Query(finished=True, limit=limit + 1, conditions=conditions, newest_first=True, before=cursor)
        found = messages(state, query)
        last = _print_found(islice(found, limit), as_json=as_json)
        if last is not None and next(found, None) is not None:
            click.echo(f"smtprelay: more messages match: add --before {last.id}, or a larger --limit", err=True)


def _print_found(entries: Iterable[Entry], *, as_json: bool) -> Entry | None:
    """Print messages, and return the last one."""
    last: list[Entry] = []

    def seen(entry: Entry) -> Entry:
        last[:] = [entry]
        return entry

    if as_json:
        print_array(entry_object(seen(entry)) for entry in entries)
        return last[0] if last else None
    for entry in entries:
        click.echo("\n".join(render.found_lines(seen(entry))))
    if not last:
        click.echo("No message matches.")
    return last[0] if last else None


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
    with relay_state() as state:
        entries = answer(state.find(Query(ids=resolved(state, [id]), finished=True, details=True)))
        if not entries:
            raise CommandError(f"no message {id} is in the queue or its history")
        entry = entries[0]
        waits = any(each.status is Status.WAITING for each in entry.recipients)
        reason = answer(state.waits_for(entry.id)) if waits else ""
    if as_json:
        print_object(entry_object(entry, reason))
    else:
        click.echo("\n".join(render.show_lines(entry, reason)))


@queue.command("summary")
@_as_json
def queue_summary(as_json: bool) -> None:
    """Count messages and recipients.

    The ledger has the results of all recipients that were ever accepted.
    """
    with relay_state() as state:
        summary = answer(state.summary())
    if as_json:
        print_object(summary_object(summary))
        return
    click.echo("\n".join(render.summary_lines(summary)))


for _command in (*orders.COMMANDS, reroute, *contents.COMMANDS, domains, nodes, move):
    queue.add_command(_command)
