"""`smtprelay tail`: the events of the relay as they happen, or those of one message up to its end."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import click

from mta.admin.client.client_state import ClientState
from mta.admin.state import LoggedEvent
from mta.cli.errors import CommandError
from mta.cli.queue.options import condition_options, given_conditions
from mta.cli.results import answer
from mta.cli.state.opening import running_relay
from mta.event_log.lines import render_json, render_text
from mta.queue.ids import to_number
from mta.queue.interface import Action, Entry, Query, QueueId, Status
from mta.queue.search.conditions import ANY, Conditions

# The events of a recipient after which no other attempt follows.
_ENDS = frozenset({"delivered", "failed", "discarded"})
_INTERRUPTED = 130
#: Takes an event to print.
Show = Callable[[LoggedEvent], object]


class EventsEndedError(CommandError):
    """The relay tells no more events, because it stops."""

    exit_code = 2


@click.command("tail")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
@condition_options
@click.argument("words", nargs=-1)
def tail(as_json: bool, words: tuple[str, ...], **options: object) -> None:
    """Follow the events of the relay live, a line each, as in its log.

    WORDS are parts of addresses, or ids. Events that have the facts for all conditions are printed, and later events
    of the same message. If an id is given alone, the command ends with the message: with status 0 when it is delivered
    to all, and with 1 when it failed for a recipient. The status is 2 if the relay stops.
    """
    conditions = _with_id(given_conditions(options, words))

    def show(event: LoggedEvent) -> None:
        render = render_json if as_json else render_text
        click.echo(render(event.time, event.name, event.fields), nl=False)  # type: ignore[arg-type]

    with _ended_by_ctrl_c(), running_relay() as relay, relay.events(conditions) as events:
        click.echo("smtprelay: following; Ctrl-C ends this", err=True)
        only = _only(relay, conditions)
        if only is not None:
            raise click.exceptions.Exit(_follow_to_the_end(relay, only, events, show))
        for event in filter(None, events):
            show(event)
    raise EventsEndedError("the relay tells no more events, because it stops")


@contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """End the command without a word on Ctrl-C, with the status that a shell gives to SIGINT."""
    try:
        yield
    except KeyboardInterrupt:
        raise click.exceptions.Exit(_INTERRUPTED) from None


def _with_id(conditions: Conditions) -> Conditions:
    """Return conditions in which a single word that is a whole id is an id."""
    if conditions != replace(ANY, words=conditions.words) or len(conditions.words) != 1:
        return conditions
    try:
        to_number(QueueId(conditions.words[0].lower()))
    except ValueError:
        return conditions
    return Conditions(ids=(conditions.words[0].lower(),))


def _only(relay: ClientState, conditions: Conditions) -> Entry | None:
    """Return the message whose id is the only condition, or None. Raises CommandError if there is no such message."""
    if not conditions.ids or conditions != Conditions(ids=conditions.ids[:1]):
        return None
    found = answer(relay.find(Query(finished=True, conditions=conditions, limit=2)))
    if not found:
        raise CommandError(f"no message {conditions.ids[0]} is in the queue or its history")
    return found[0] if len(found) == 1 else None


def _follow_to_the_end(relay: ClientState, entry: Entry, events: Iterable[LoggedEvent | None], show: Show) -> int:
    """Print the events of a message until it has an end, and return the exit status."""
    status = _status(entry)
    if status is not None:
        click.echo(f"smtprelay: {entry.id} has its end already: smtprelay queue show {entry.id}", err=True)
        return status
    expected = sum(state.status is Status.WAITING for state in entry.recipients)
    quiet = False
    for event in events:
        if event is not None:
            show(event)
            expected -= event.name == "delivered"
            if event.name not in _ENDS and event.fields.get("change") != Action.REMOVE.value:
                continue
        found = answer(relay.find(Query(ids=(entry.id,), finished=True)))
        status = _status(found[0]) if found else 1
        # The queue may know of an end before its event comes. If none comes for a while, it may be lost.
        if status is not None and (quiet if event is None else status or expected <= 0):
            return status
        quiet = status is not None
    raise EventsEndedError(f"the relay stops, and {entry.id} waits in its queue")


def _status(entry: Entry) -> int | None:
    """Return 0 if all recipients have the message, 1 if one has failed or was removed, and None otherwise."""
    states = {state.status for state in entry.recipients}
    if states & {Status.FAILED, Status.REMOVED}:
        return 1
    return None if Status.WAITING in states else 0
