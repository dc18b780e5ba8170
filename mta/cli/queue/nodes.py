"""`smtprelay queue nodes`: the relays that share a queue."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from mta.admin.wire.fields import JsonObject, time_text
from mta.cli.environment import current_environment, is_shared
from mta.cli.errors import CommandError, command_errors
from mta.cli.queue.printing import print_array
from mta.cli.results import result

if TYPE_CHECKING:
    from mta.queue.postgres.operator.overview import NodeState

_HEAD = ("name", "version", "started", "in work", "sign of life")


@click.command("nodes")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def nodes(as_json: bool) -> None:
    """List the relays that share the queue at QUEUE_URL, the oldest first.

    Of a relay that gives no sign of life, the others take over the mail that it has in work.
    """
    with command_errors():
        environ = current_environment()
        if not is_shared(environ):
            raise CommandError("this queue is not shared: QUEUE_URL is not set")
        found = _found(environ)
    if as_json:
        print_array(map(_object, found))
        return
    for line in lines(found):
        click.echo(line)


def _found(environ: Mapping[str, str]) -> "list[NodeState]":
    # Other commands need no driver of the database.
    from mta.blocking import run_inline  # noqa: PLC0415
    from mta.cli.state.shared import shared_server  # noqa: PLC0415
    from mta.queue.postgres.operators_queue import OperatorsQueue  # noqa: PLC0415

    queue = OperatorsQueue(shared_server(environ), run_inline)
    try:
        result(queue.check())
        return result(queue.nodes())
    finally:
        result(queue.close())


def lines(found: "Sequence[NodeState]") -> Iterator[str]:
    """Yield a table of relays."""
    if not found:
        yield "No relay shares this queue at present."
        return
    rows = [_HEAD, *map(_row, found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _row(node: "NodeState") -> tuple[str, ...]:
    sign = f"{node.silent:.0f} s ago" if node.alive else f"none for {node.silent:.0f} s: its mail goes to the others"
    return node.name, node.program, str(time_text(node.started)), str(node.claims), sign


def _object(node: "NodeState") -> JsonObject:
    fields = {name: round(value, 1) for name, value in (("age", node.age), ("silent", node.silent))}
    return {
        "id": node.id,
        "name": node.name,
        "version": node.program,
        "started": time_text(node.started),
        **fields,
        "alive": node.alive,
        "in_work": node.claims,
    }
