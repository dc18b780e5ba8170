"""`smtprelay queue retry|hold|release|remove|bounce`: orders on messages that are named, or found by conditions.

An order on messages found by conditions is for exactly those that were counted: their ids are kept while the operator
is asked, so that mail that arrives in the meantime is left alone.
"""

import socket
import time
from collections.abc import Sequence
from pathlib import Path

import click

from mta.cli.environment import current_environment
from mta.cli.errors import CommandError
from mta.cli.queue import render
from mta.cli.queue.opening import checked, notify, opened, resolved
from mta.cli.queue.options import condition_options, given_conditions
from mta.cli.queue.returning import REASON, OperatorReports
from mta.cli.results import result
from mta.config.readers.domains import read_mailname
from mta.config.setting import SettingsReader
from mta.queue.interface import Action, Query, QueueId
from mta.queue.search.conditions import ANY
from mta.queue.search.matching import for_order
from mta.queue.worker_queues.combined import CombinedQueue

_DONE = {
    Action.RETRY: "is due now",
    Action.REMOVE: "removed",
    Action.HOLD: "held",
    Action.RELEASE: "released",
    Action.BOUNCE: "returned to its sender",
}
#: Messages that a confirmation shows, and those for which an order prints a line each.
EXAMPLES = 10
LINES = 50
# Messages that one transaction returns, because their reports are in memory.
_RETURNED = 100


def apply(action: Action, ids: Sequence[str] | None) -> None:
    """Apply an action to messages, or to all, print each id, and notify the relay. Raises CommandError."""
    _carry_out(action, None if ids is None else checked(ids))


def _carry_out(action: Action, wanted: Sequence[QueueId] | None, *, every_line: bool = True) -> None:
    """Give an order to messages, or to all. With `every_line` each gets a line, and a message not there is an error."""
    done: set[QueueId] = set()
    held = 0

    def applied(home: Path, action: Action, ids: Sequence[QueueId]) -> None:
        done.update(ids)
        notify(home, action, ids)

    reports = _reports() if action is Action.BOUNCE else None
    try:
        with opened(applied) as queues:
            if reports is not None:
                _return(queues, wanted or (), reports)
            else:
                result(queues.apply(action, wanted, time.time()))
            if action is Action.RETRY and wanted is None:
                held = result(queues.summary()).held
    finally:
        # The changes of one queue remain if the next queue fails.
        _tell_done(action, sorted(done), every_line=every_line)
    if held:
        click.echo(f"smtprelay: not tried: {render.count(held, 'held message')} (queue release --all)", err=True)
    if reports is not None and reports.unreported:
        count = render.count(reports.unreported, "message")
        click.echo(f"smtprelay: no report: {count} without a sender that wants one", err=True)
    missing = [id for id in wanted or () if id not in done]
    if missing and every_line:
        raise CommandError(*(f"no message {id} is in the queue" for id in missing))
    if missing:
        click.echo(f"smtprelay: {render.count(len(missing), 'message')} had left the queue meanwhile", err=True)


def _return(queues: CombinedQueue, ids: Sequence[QueueId], reports: OperatorReports) -> None:
    for start in range(0, len(ids), _RETURNED):
        result(queues.bounce(ids[start : start + _RETURNED], time.time(), REASON, reports))


def _reports() -> OperatorReports:
    reader = SettingsReader(current_environment())
    name = read_mailname(reader, socket.gethostname)
    return OperatorReports(name, time.time)


def _tell_done(action: Action, done: Sequence[QueueId], *, every_line: bool) -> None:
    shown = done if every_line or len(done) <= LINES else done[:LINES]
    for id in shown:
        click.echo(f"{id} {_DONE[action]}")
    if not every_line:
        click.echo(f"{render.count(len(done), 'message')}: {_DONE[action]}")


def _order(action: Action, help: str, all_help: str = "") -> click.Command:
    @condition_options
    @click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
    @click.option("--dry-run", is_flag=True, help="Stop after the count.")
    @click.argument("ids", nargs=-1)
    def command(yes: bool, dry_run: bool, ids: tuple[str, ...], everything: bool = False, **options: object) -> None:
        conditions = given_conditions(options)
        if sum((everything, bool(ids), conditions != ANY)) != 1:
            choices = "message ids, conditions or --all" if all_help else "message ids or conditions"
            raise click.UsageError(f"give either {choices}")
        if everything and not dry_run:
            _carry_out(action, None)
            return
        with opened() as queues:
            wanted = resolved(queues, ids) if ids else result(queues.select(for_order(action, conditions)))
            if dry_run or not ids:
                _show_count(queues, action, wanted)
        if dry_run or not wanted or not (ids or yes or _confirmed(action, len(wanted))):
            return
        _carry_out(action, wanted, every_line=bool(ids))

    if all_help:
        command = click.option("--all", "everything", is_flag=True, help=all_help)(command)
    return click.command(action.value, help=help)(command)


def _show_count(queues: CombinedQueue, action: Action, ids: Sequence[QueueId]) -> None:
    """Print how many messages an order is for, and some of them."""
    click.echo(f"{action.value}: {render.count(len(ids), 'message')}")
    for entry in result(queues.find(Query(ids[:EXAMPLES]))) if ids else ():
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
