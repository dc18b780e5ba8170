"""`smtprelay queue`: shows and changes the queues of all workers.

It works on the queue files themselves, and then notifies the workers.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mta.blocking import run_inline
from mta.cli import render
from mta.cli.environment import current_environment, where_to_look
from mta.cli.errors import CommandError, command_errors
from mta.config.setting import SettingsReader
from mta.config.table import HISTORY_DAYS, QUEUE_DIR
from mta.daemon import control
from mta.queue.disk.queue_dir import homes
from mta.queue.ids import to_number
from mta.queue.interface import Action, Entry, Query, QueueError, QueueId
from mta.queue.worker_queues.combined import Applied, CombinedQueue, open_queues

T = TypeVar("T")

_DONE = {
    Action.RETRY: "is due now",
    Action.REMOVE: "removed",
    Action.HOLD: "held",
    Action.RELEASE: "released",
}


def queue_directory(environ: Mapping[str, str]) -> Path:
    """Return QUEUE_DIR, even if other settings are wrong. Raises SettingsError."""
    reader = SettingsReader(environ)
    directory = reader.get(QUEUE_DIR)
    reader.check()
    return directory


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


@queue.command("show")
@_as_json
@click.option("--header", "part", flag_value="header", help="Print the header of a message in the queue.")
@click.option("--message", "part", flag_value="message", help="Print a message in the queue.")
@click.argument("id")
def queue_show(as_json: bool, part: str | None, id: str) -> None:
    """Show one message, queued or finished."""
    if part is not None:
        click.echo(content(id, header=part == "header"), nl=False)
        return
    entries = find(Query(ids=_checked([id]), finished=True))
    if not entries:
        raise CommandError(f"no message {id} is in the queue or its history")
    waits_for = _waits_for(entries[0])
    if as_json:
        click.echo(json.dumps(render.entry_object(entries[0], waits_for), indent=1))
    else:
        click.echo("\n".join(render.show_lines(entries[0], waits_for)))


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


@queue.command("remove")
@click.argument("ids", nargs=-1, required=True)
def queue_remove(ids: tuple[str, ...]) -> None:
    """Delete messages, without a report to the sender."""
    apply(Action.REMOVE, ids)


def _changing(change: Action, help: str, all_help: str) -> None:
    @queue.command(change.value, help=help)
    @click.option("--all", "everything", is_flag=True, help=all_help)
    @click.argument("ids", nargs=-1)
    def command(everything: bool, ids: tuple[str, ...]) -> None:
        if everything == bool(ids):
            raise click.UsageError("give either message ids or --all")
        apply(change, None if everything else ids)


_changing(
    Action.RETRY,
    "Try messages now. A held message that is named is released.",
    "All messages except held ones.",
)
_changing(Action.HOLD, "Hold messages until they are released.", "All messages.")
_changing(Action.RELEASE, "Release held messages.", "All held messages.")


def find(query: Query) -> list[Entry]:
    """Return messages of the queues of all workers. Raises CommandError."""
    with opened() as queues:
        return result(queues.find(query))


def content(id: str, *, header: bool) -> bytes:
    """Return a queued message as it will be sent, or its header with the blank line. Raises CommandError."""
    (wanted,) = _checked([id])
    with opened() as queues:
        octets = result(queues.content(wanted))
    if octets is None:
        raise CommandError(f"no message {id} is in the queue")
    return octets.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if header else octets


def apply(action: Action, ids: Sequence[str] | None) -> None:
    """Apply an action to messages, or to all, print each id, and notify the relay. Raises CommandError."""
    wanted = None if ids is None else _checked(ids)
    done: set[QueueId] = set()
    held = 0

    def applied(home: Path, action: Action, ids: Sequence[QueueId]) -> None:
        done.update(ids)
        _notify(home, action, ids)

    try:
        with opened(applied) as queues:
            result(queues.apply(action, wanted, time.time()))
            if action is Action.RETRY and wanted is None:
                held = result(queues.summary()).held
    finally:
        # The changes of one queue remain if the next queue fails.
        for id in sorted(done):
            click.echo(f"{id} {_DONE[action]}")
    if held:
        click.echo(f"smtprelay: not tried: {render.count(held, 'held message')} (queue release --all)", err=True)
    if missing := [id for id in wanted or () if id not in done]:
        raise CommandError(*(f"no message {id} is in the queue" for id in missing))


def _checked(ids: Sequence[str]) -> list[QueueId]:
    try:
        for id in ids:
            to_number(QueueId(id))
    except ValueError as error:
        raise CommandError(str(error)) from None
    return [QueueId(id) for id in dict.fromkeys(ids)]


def _notify(home: Path, action: Action, ids: Sequence[QueueId]) -> None:
    try:
        control.notify_daemon(home, action, ids, control.operator_name(os.environ))
    except OSError as error:
        click.echo(
            f"smtprelay: done, but the running relay could not be notified ({error}); it will notice later", err=True
        )


def _waits_for(entry: Entry) -> str:
    """Return for what a message waits, as the running relay or one of its workers tells; "" if it waits for nothing."""
    if all(recipient.due is None for recipient in entry.recipients):
        return ""
    answers = (control.ask_wait(home, entry.id) for home in homes(queue_directory(current_environment())))
    return next(filter(None, answers), "")


def _ignore(_home: Path, _action: Action, _ids: Sequence[QueueId]) -> None:
    pass


@contextmanager
def opened(applied: Applied = _ignore) -> Iterator[CombinedQueue]:
    """Open the queues, also beside a running relay, and turn errors into a CommandError."""
    with command_errors():
        environ = current_environment()
        directory = queue_directory(environ)
        try:
            queues = open_queues(directory, run=run_inline, now=time.time(), applied=applied)
        except QueueError as error:
            raise QueueError(f"{error}{where_to_look(environ)}") from error.__cause__
        try:
            yield queues
        finally:
            result(queues.close())


def result(waiting: "Deferred[T]") -> T:
    """Return the result of a Deferred that has fired already, because the queue runs inline."""
    results: list[T | Failure] = []
    waiting.addBoth(results.append)
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result
