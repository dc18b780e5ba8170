"""`smtprelay queue retry|hold|release|remove|bounce`: orders on messages that are named, or found by conditions.

An order on messages found by conditions is for exactly those that were counted: their ids are kept while the operator
is asked, so that mail that arrives in the meantime is left alone.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

import click

from mta.admin.operators import operator_name
from mta.admin.state import Order, OrderResult, RelayState
from mta.cli.errors import CommandError
from mta.cli.queue import render
from mta.cli.queue.ids import checked, resolved
from mta.cli.queue.options import Command, condition_options, given_conditions
from mta.cli.results import answer
from mta.cli.state.opening import relay_state, tell_if_stopped
from mta.queue.interface import Action, Query, QueueId
from mta.queue.search.conditions import ANY, Conditions, State
from mta.queue.search.matching import for_order
from mta.smtp.address import AddressError, parse_address

_DONE = {
    Action.RETRY: "is due now",
    Action.REMOVE: "removed",
    Action.HOLD: "held",
    Action.RELEASE: "released",
    Action.BOUNCE: "returned to its sender",
    Action.REROUTE: "goes another way at its next attempt",
}
# Of several messages, where the words differ.
_ALL_DONE = _DONE | {
    Action.RETRY: "are due now",
    Action.BOUNCE: "returned to their senders",
    Action.REROUTE: "go another way at their next attempts",
}
#: Messages that a confirmation shows, and those for which an order prints a line each.
EXAMPLES = 10
LINES = 50
# So that a relay that runs is asked for little at a time.
_IDS_AN_ORDER = 1000


def apply(action: Action, ids: Sequence[str] | None) -> None:
    """Apply an action to messages, or to all, and print each id. Raises CommandError."""
    wanted = None if ids is None else tuple(checked(ids))
    with relay_state() as state:
        _carry_out(state, Order(action, wanted, operator_name(os.environ)))


def _carry_out(state: RelayState, order: Order, *, every_line: bool = True) -> None:
    """Give an order on messages, or on all. With `every_line` each gets a line, and a message not there is an error."""
    results: list[OrderResult] = []
    try:
        for ids in _parts(order.ids):
            results.append(answer(state.order(replace(order, ids=ids))))
            if results[-1].failure:
                raise CommandError(results[-1].failure)
    finally:
        done = sorted(id for each in results for id in each.ids)
        _tell_done(order, done, every_line=every_line)
    if done:
        tell_if_stopped(state)
    _tell_left_out(results)
    missing = sorted(set(order.ids or ()).difference(done))
    if missing and every_line:
        where = f"in the queue for <{order.recipient}>" if order.recipient else "in the queue"
        raise CommandError(*(f"no message {id} is {where}" for id in missing))
    if missing:
        click.echo(f"smtprelay: {render.count(len(missing), 'message')} had left the queue meanwhile", err=True)


def _parts(wanted: Sequence[QueueId] | None) -> Iterator[tuple[QueueId, ...] | None]:
    """Yield the ids for one order after the other; None is one order for all messages."""
    if wanted is None:
        yield None
        return
    for start in range(0, len(wanted), _IDS_AN_ORDER):
        yield tuple(wanted[start : start + _IDS_AN_ORDER])


def _tell_left_out(results: Sequence[OrderResult]) -> None:
    """Tell of messages that were not tried, and of those without a report."""
    if held := sum(each.held for each in results):
        click.echo(f"smtprelay: not tried: {render.count(held, 'held message')} (queue release --all)", err=True)
    if unreported := sum(each.unreported for each in results):
        count = render.count(unreported, "message")
        click.echo(f"smtprelay: no report: {count} without a sender that wants one", err=True)


def _tell_done(order: Order, done: Sequence[QueueId], *, every_line: bool) -> None:
    shown = done if every_line or len(done) <= LINES else done[:LINES]
    whom = f" <{order.recipient}>" if order.recipient else ""
    for id in shown:
        click.echo(f"{id}{whom} {_DONE[order.action]}")
    if not every_line:
        words = _DONE if len(done) == 1 else _ALL_DONE
        click.echo(f"{render.count(len(done), 'message')}: {words[order.action]}")


def _address(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
    try:
        return str(parse_address(text)) if text else ""
    except AddressError as error:
        raise click.BadParameter(str(error)) from None


def order_options(command: Command) -> Command:
    """Add the options and the argument that all orders have, which the command passes to `give`."""
    command = click.argument("ids", nargs=-1)(command)
    command = click.option("--dry-run", is_flag=True, help="Stop after the count.")(command)
    command = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")(command)
    help = "Only for this recipient of the messages."
    return click.option("--recipient", default="", callback=_address, help=help)(command)


def _order(action: Action, help: str, all_help: str = "") -> click.Command:
    @condition_options
    @order_options
    def command(
        recipient: str, yes: bool, dry_run: bool, ids: tuple[str, ...], everything: bool = False, **options: object
    ) -> None:
        conditions = given_conditions(options)
        if sum((everything, bool(ids), conditions != ANY)) != 1:
            choices = "message ids, conditions or --all" if all_help else "message ids or conditions"
            raise click.UsageError(f"give either {choices}")
        order = Order(action, None, operator_name(os.environ), recipient)
        if everything and not dry_run:
            with relay_state() as state:
                _carry_out(state, order)
            return
        give(order, ids, conditions, yes=yes, dry_run=dry_run)

    if all_help:
        command = click.option("--all", "everything", is_flag=True, help=all_help)(command)
    return click.command(action.value, help=help)(command)


def give(order: Order, ids: Sequence[str], conditions: Conditions, *, yes: bool, dry_run: bool) -> None:
    """Give an order on the messages with these ids, or if there are none, on those that meet conditions.

    These are counted, and the operator is asked. Raises CommandError.
    """
    with relay_state() as state:
        wanted = resolved(state, ids) if ids else answer(state.select(_conditions_of(order, conditions)))
        if dry_run or not ids:
            _show_count(state, order.action, _for_recipient(state, wanted, order.recipient) if ids else wanted)
        if dry_run or not wanted or not (ids or yes or _confirmed(order.action, len(wanted))):
            return
        _carry_out(state, replace(order, ids=tuple(wanted)), every_line=bool(ids))


def _conditions_of(order: Order, conditions: Conditions) -> Conditions:
    """Return the conditions on the messages of an order, whose recipient is one more unless it has some already."""
    if order.recipient and not conditions.recipient:
        conditions = replace(conditions, recipient=order.recipient)
    return for_order(order.action, conditions)


def _for_recipient(state: RelayState, ids: Sequence[QueueId], recipient: str) -> Sequence[QueueId]:
    """Return the ids of the messages that wait for a recipient; all if it is ""."""
    if not recipient:
        return ids
    waiting = set(answer(state.select(Conditions(recipient=recipient, states=(State.WAITING, State.HELD)))))
    return [id for id in ids if id in waiting]


def _show_count(state: RelayState, action: Action, ids: Sequence[QueueId]) -> None:
    """Print how many messages an order is for, and some of them."""
    click.echo(f"{action.value}: {render.count(len(ids), 'message')}")
    for entry in answer(state.find(Query(ids[:EXAMPLES]))) if ids else ():
        click.echo(f"  {render.one_line(entry)}")
    if len(ids) > EXAMPLES:
        click.echo(f"  and {len(ids) - EXAMPLES} more")


def _confirmed(action: Action, count: int) -> bool:
    question = f"{action.value} {'this message' if count == 1 else f'these {count} messages'}?"
    if click.confirm(question):
        return True
    raise CommandError("nothing is changed")


COMMANDS = (
    _order(
        Action.RETRY, "Try messages now. A held message that is named is released.", "All messages except held ones."
    ),
    _order(Action.HOLD, "Hold messages until they are released.", "All messages."),
    _order(Action.RELEASE, "Release held messages.", "All held messages."),
    _order(Action.REMOVE, "Delete messages, without a report to the sender."),
    _order(Action.BOUNCE, "Return messages to their senders now, with a report."),
)
