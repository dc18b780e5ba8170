"""`smtprelay queue domains`: the shape of the queue, by the domains of the recipients that wait."""

from collections.abc import Iterator, Sequence

import click

from mta.admin.wire.messages import AGE_NAMES, shape_object
from mta.cli.queue import render
from mta.cli.queue.printing import print_array
from mta.cli.results import answer
from mta.cli.state.opening import relay_state
from mta.queue.interface import DomainShape

_HEAD = ("domain", "waiting", "held", "sending", *AGE_NAMES)


@click.command("domains")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="The most domains to print.")
def domains(as_json: bool, limit: int) -> None:
    """Count the waiting recipients by domain and by the age of their messages, most first, with a last reply."""
    with relay_state() as state:
        shapes = answer(state.domains())
    if as_json:
        print_array(map(shape_object, shapes))
        return
    for line in lines(shapes[:limit]):
        click.echo(line)
    if len(shapes) > limit:
        click.echo(f"and {render.count(len(shapes) - limit, 'more domain')}")


def lines(shapes: Sequence[DomainShape]) -> Iterator[str]:
    """Yield a table, and an indented line with the last reply below a domain that was tried."""
    if not shapes:
        yield "Nothing is waiting."
        return
    rows = [_HEAD, *(_row(shape) for shape in shapes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row, shape in zip(rows, (None, *shapes), strict=True):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        yield "  ".join(cells)
        if shape is not None and shape.reply:
            yield "    " + ": ".join(filter(None, (shape.host, shape.reply)))


def _row(shape: DomainShape) -> tuple[str, ...]:
    counts = (shape.waiting, shape.held, shape.in_delivery, *shape.ages)
    return (shape.domain or "(none)", *map(str, counts))
