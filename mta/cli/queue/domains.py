"""`smtprelay queue domains`: the shape of the queue, by the domains of the recipients that wait."""

from collections.abc import Iterator, Sequence

import click

from mta.admin.state import DestinationState
from mta.admin.wire.fields import JsonObject
from mta.admin.wire.messages import AGE_NAMES, shape_object
from mta.admin.wire.relay import destination_object
from mta.cli.queue import render
from mta.cli.queue.printing import print_array
from mta.cli.results import answer
from mta.cli.state.opening import relay_state
from mta.explain.destination.live import LiveIndex, state_words
from mta.queue.interface import DomainShape

_HEAD = ("domain", "waiting", "held", "sending", *AGE_NAMES)
# The columns of a relay that runs.
_LIVE_HEAD = ("open", "most", "state")
_UNKNOWN = ("-", "-", "-")


@click.command("domains")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="The most domains to print.")
def domains(as_json: bool, limit: int) -> None:
    """Count the waiting recipients by domain and by the age of their messages, most first, with a last reply.

    Beside a running relay, the columns open, most and state tell the connections to the hosts of a domain, those that
    they may have, and whether they are down, limited or paced; - where the relay has not tried them lately.
    """
    with relay_state() as state:
        shapes, live = answer(state.domains()), LiveIndex(answer(state.destinations()))
        running = answer(state.about()).started is not None
    if as_json:
        print_array(_object(shape, live.of(shape)) for shape in shapes)
        return
    for line in lines(shapes[:limit], live if running else None):
        click.echo(line)
    if len(shapes) > limit:
        click.echo(f"and {render.count(len(shapes) - limit, 'more domain')}")


def lines(shapes: Sequence[DomainShape], live: LiveIndex | None = None) -> Iterator[str]:
    """Yield a table, and an indented line with the last reply below a domain that was tried.

    `live` has the destinations of a running relay, for further columns.
    """
    if not shapes:
        yield "Nothing is waiting."
        return
    head = _HEAD if live is None else (*_HEAD, *_LIVE_HEAD)
    rows = [head, *(_row(shape, live) for shape in shapes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for row, shape in zip(rows, (None, *shapes), strict=True):
        yield "  ".join(_cell(row, column, width) for column, width in enumerate(widths))
        if shape is not None and shape.reply:
            yield "    " + ": ".join(filter(None, (shape.host, shape.reply)))


def _cell(row: Sequence[str], column: int, width: int) -> str:
    """Return the text of a cell: counts are on the right, the last column has no blanks behind it."""
    text = row[column]
    if column == 0:
        return text.ljust(width)
    return text if column == len(_HEAD) + len(_LIVE_HEAD) - 1 else text.rjust(width)


def _row(shape: DomainShape, live: LiveIndex | None) -> tuple[str, ...]:
    counts = map(str, (shape.waiting, shape.held, shape.in_delivery, *shape.ages))
    return (shape.domain or "(none)", *counts, *(() if live is None else _live_cells(live.of(shape))))


def _live_cells(destinations: Sequence[DestinationState]) -> tuple[str, ...]:
    if not destinations:
        return _UNKNOWN
    connections = sum(each.connections for each in destinations)
    most = sum(each.window for each in destinations)
    states = dict.fromkeys(map(state_words, destinations))
    return str(connections), str(most), ", ".join(states)


def _object(shape: DomainShape, destinations: Sequence[DestinationState]) -> JsonObject:
    return {**shape_object(shape), "destinations": [destination_object(each) for each in destinations]}
