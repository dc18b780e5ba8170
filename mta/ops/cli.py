"""The `smtprelay` command: settings and queue, beside a running daemon or without one.

It works on the queue file itself and then tells the daemon. Errors are lines on stderr; the exit status is 1 for what
cannot be done and 2 for a command that makes no sense.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mta import __version__
from mta.ops import control, render
from mta.ops.configuration import (
    SettingsError,
    check_settings,
    explain_settings,
    markdown_table,
    queue_directory,
    show_settings,
)
from mta.ops.dkim import dkim
from mta.ops.health import health
from mta.ops.manual import configuration_page
from mta.ops.refusal import Refusal
from mta.queue.ids import to_number
from mta.queue.interface import Change, Entry, Query, Queue, QueueError, QueueId
from mta.queue.runner import run_inline
from mta.queue.sqlite import open_queue

T = TypeVar("T")

_DONE = {
    Change.RETRY: "is due now",
    Change.REMOVE: "removed",
    Change.HOLD: "held",
    Change.RELEASE: "released",
}


@click.group()
@click.version_option(__version__, prog_name="smtprelay")
def main() -> None:
    """Look after the mail relay. The environment is read as by the daemon."""


main.add_command(health)
main.add_command(dkim)


@main.group()
def config() -> None:
    """Look at the settings."""


@config.command("show")
def config_show() -> None:
    """Print the settings in force, secrets masked; notices go to stderr."""
    with _refusing():
        _print_settings(*show_settings(os.environ))


@config.command("check")
def config_check() -> None:
    """Print what the settings amount to, as a start would log it, and notices to stderr; exit with 1 on mistakes."""
    with _refusing():
        _print_settings(*check_settings(os.environ))


@config.command("explain")
@click.argument("names", nargs=-1)
def config_explain(names: tuple[str, ...]) -> None:
    """Say of each setting, or of all, its value, secrets masked, where it came from and what it does."""
    try:
        with _refusing():
            click.echo("\n".join(explain_settings(os.environ, names)))
    except KeyError as error:
        raise click.UsageError(error.args[0]) from None


@config.command("table")
def config_table() -> None:
    """Print all settings with their defaults as a Markdown table."""
    click.echo(markdown_table(), nl=False)


@config.command("manual")
def config_manual() -> None:
    """Print the page docs/configuration.md."""
    click.echo(configuration_page(), nl=False)


def _print_settings(lines: Sequence[str], notices: Sequence[str]) -> None:
    for line in lines:
        click.echo(line)
    for notice in notices:
        click.echo(f"notice: {notice}", err=True)


@main.group()
def queue() -> None:
    """Look at the queue and change it."""


_as_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


@queue.command("list")
@_as_json
@click.option("--all", "finished", is_flag=True, help="Finished messages too, as long as they are remembered.")
def queue_list(as_json: bool, finished: bool) -> None:
    """List the messages that wait, and why."""
    entries = _find(Query(finished=finished))
    if as_json:
        click.echo(json.dumps([render.entry_object(entry) for entry in entries], indent=1))
        return
    for entry in entries:
        click.echo("\n".join(render.list_lines(entry, finished)))
    if not entries:
        click.echo("The queue is empty.")


@queue.command("show")
@_as_json
@click.argument("id")
def queue_show(as_json: bool, id: str) -> None:
    """Show one message, waiting or finished."""
    entries = _find(Query(ids=_checked([id]), finished=True))
    if not entries:
        raise Refusal(f"no message {id} is in the queue or remembered")
    if as_json:
        click.echo(json.dumps(render.entry_object(entries[0]), indent=1))
    else:
        click.echo("\n".join(render.show_lines(entries[0])))


@queue.command("summary")
def queue_summary() -> None:
    """Count messages and recipients."""
    with _opened() as (_, opened):
        summary = _result(opened.summary())
    click.echo("\n".join(render.summary_lines(summary)))


@queue.command("retry")
@click.option("--all", "everything", is_flag=True, help="All that waits.")
@click.argument("ids", nargs=-1)
def queue_retry(everything: bool, ids: tuple[str, ...]) -> None:
    """Try messages now, held ones too."""
    if everything == bool(ids):
        raise click.UsageError("give either the ids of messages or --all")
    _amend(Change.RETRY, None if everything else ids)


def _changing(change: Change, help: str) -> None:
    @queue.command(change.value, help=help)
    @click.argument("ids", nargs=-1, required=True)
    def command(ids: tuple[str, ...]) -> None:
        _amend(change, ids)


_changing(Change.REMOVE, "Take messages out of the queue; nobody is told.")
_changing(Change.HOLD, "Keep messages back until they are released.")
_changing(Change.RELEASE, "Let held messages go on.")


def _find(query: Query) -> list[Entry]:
    with _opened() as (_, opened):
        return _result(opened.find(query))


def _amend(change: Change, ids: Sequence[str] | None) -> None:
    wanted = None if ids is None else _checked(ids)
    with _opened() as (directory, opened):
        done = _result(opened.amend(change, wanted, time.time()))
        _tell(directory, change, done)
    for id in done:
        click.echo(f"{id} {_DONE[change]}")
    if missing := [id for id in wanted or () if id not in done]:
        raise Refusal(*(f"no message {id} waits in the queue" for id in missing))


def _checked(ids: Sequence[str]) -> list[QueueId]:
    try:
        for id in ids:
            to_number(QueueId(id))
    except ValueError as error:
        raise Refusal(str(error)) from None
    return [QueueId(id) for id in dict.fromkeys(ids)]


def _tell(directory: Path, change: Change, ids: Sequence[QueueId]) -> None:
    try:
        control.tell(directory, change, ids)
    except OSError as error:
        click.echo(f"smtprelay: done, but the running relay could not be told ({error}); it will find out", err=True)


@contextmanager
def _opened() -> Iterator[tuple[Path, Queue]]:
    """Open the queue beside a daemon that may be running, and turn what goes wrong into a Refusal."""
    with _refusing():
        directory = queue_directory(os.environ)
        opened = open_queue(directory, run=run_inline, now=time.time(), create=False, recover=False)
        try:
            yield directory, opened
        finally:
            _result(opened.close())


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        raise Refusal(*error.mistakes) from None
    except (QueueError, OSError) as error:
        denied = isinstance(error, PermissionError) or isinstance(error.__cause__, PermissionError)
        raise Refusal(str(error) + ": run this as the relay's own user" * denied) from None


def _result(waiting: "Deferred[T]") -> T:
    """Return what a Deferred of a queue that runs inline has fired with already."""
    results: list[T | Failure] = []
    waiting.addBoth(results.append)
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result
