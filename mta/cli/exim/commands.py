"""Exim's commands, for operators and scripts from the Exim image: `exim`, `exiqgrep`, `mailq`, `sendmail`.

They do the work of `smtprelay queue`, or send a message, with Exim's options and output. An unsupported option is an
error, and no option starts a second relay.
"""

import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import click

from mta import __version__
from mta.admin.operators import operator_name
from mta.admin.state import Order
from mta.cli.errors import CommandError
from mta.cli.exim import sendmail
from mta.cli.queue.command import queue_list, queue_show
from mta.cli.queue.contents import content
from mta.cli.queue.orders import apply, give
from mta.cli.results import answer
from mta.cli.state.opening import messages, relay_state
from mta.queue.interface import Action, Entry, Query, Status
from mta.queue.search.conditions import Conditions

_UNPARSED = {"ignore_unknown_options": True, "allow_interspersed_args": False}
_DAEMON = re.compile(r"-(?:bd|bdf|bs|bS|q[a-z]*[0-9]+[smhdw0-9]*)")
_LISTS = {"-bp", "-bpa", "-bpi", "-bpr", "-bpra", "-bpri", "-bpru", "-bpu"}
_CHANGES = {"-M": Action.RETRY, "-Mrm": Action.REMOVE, "-Mf": Action.HOLD, "-Mt": Action.RELEASE}
_SHOWS = {"-Mvh", "-Mvb", "-Mvl", "-Mvc"}
_RUNS = re.compile(r"-q{1,2}i?(f{0,2})l?")


def _command(name: str, help: str) -> Callable[[Callable[[tuple[str, ...]], None]], click.Command]:
    """Return a decorator for a command that gets all its arguments unparsed."""

    def decorate(function: Callable[[tuple[str, ...]], None]) -> click.Command:
        command = click.command(name, help=help, hidden=True, add_help_option=False, context_settings=_UNPARSED)
        return command(click.argument("arguments", nargs=-1, type=click.UNPROCESSED)(function))

    return decorate


@_command("exim", "Exim's common options.")
def exim(arguments: tuple[str, ...]) -> None:
    """Do the work of these options of Exim, or fail with one line."""
    words = [word for word in arguments if word not in {"-v", "--"}]
    first, ids = (words[0], words[1:]) if words else ("", [])
    if first in _LISTS:
        with relay_state() as state:
            _list(messages(state, Query()))
    elif first == "-bpc":
        with relay_state() as state:
            click.echo(answer(state.summary()).messages)
    elif first in {"-bV", "--version"}:
        click.echo(f"smtprelay {__version__}, which takes the place of Exim here")
    elif first == "-bi":
        return
    elif any(_DAEMON.fullmatch(word) for word in words):
        raise CommandError(
            f"exim {' '.join(arguments)}: the relay is already running and retries itself; a second one is not started"
        )
    elif first.startswith("-q") and (run := _RUNS.fullmatch(first)):
        _run_queue(frozen=run[1] == "ff")
    elif first in _CHANGES:
        apply(_CHANGES[first], _required(first, ids))
    elif first in _SHOWS:
        _show(first, _required(first, ids))
    elif first.startswith("-M") or first in {"-bt", "-bv", "-be", "-bh", "-bP", "-R", "-S"}:
        raise CommandError(f"exim {first} is not supported: see smtprelay queue --help and smtprelay config --help")
    else:
        sendmail.run(arguments)


@_command("mailq", "List the messages in the queue.")
def mailq(arguments: tuple[str, ...]) -> None:
    """List the queue as `smtprelay queue list` does."""
    list_queue([word for word in arguments if word != "-v"])


def list_queue(arguments: Sequence[str] = ()) -> None:
    """List the queue with arguments of `smtprelay queue list`. Raises CommandError."""
    queue_list.main(list(arguments), "mailq", standalone_mode=False, parent=click.get_current_context())


def run_queue(id: str, domain: str) -> None:
    """Try a message, or those for a domain, or all if both are "". Held ones are left alone. Raises CommandError."""
    if domain:
        give(
            Order(Action.RETRY, None, operator_name(os.environ)), (), Conditions(domain=domain), yes=True, dry_run=False
        )
    else:
        apply(Action.RETRY, [id] if id else None)


@click.command("newaliases", hidden=True)
def newaliases() -> None:
    """Do nothing, because the aliases file is read again when it changes."""


@_command("exiqgrep", "Search the queue like Exim's exiqgrep.")
def exiqgrep(arguments: tuple[str, ...]) -> None:
    """Print the messages that match all given conditions."""
    conditions, shown = _conditions(arguments)
    with relay_state() as state:
        entries = messages(state, Query(newest_first="R" in shown))
        if "c" in shown:
            found = [all(condition(entry) for condition in conditions) for entry in entries]
            click.echo(f"{sum(found)} matches out of {len(found)} messages")
            return
        _print_matching((entry for entry in entries if all(condition(entry) for condition in conditions)), shown)


def _print_matching(matching: Iterable[Entry], shown: Collection[str]) -> None:
    """Print messages in the form that the letters of exiqgrep's options select."""
    if "i" in shown:
        for entry in matching:
            click.echo(entry.id)
    elif "b" in shown:
        for entry in matching:
            recipients = " ".join(state.address for state in entry.recipients if state.status is Status.WAITING)
            click.echo(f"{entry.id} From: <{entry.sender}> To: {recipients}")
    else:
        _list(matching)


def _conditions(arguments: Sequence[str]) -> tuple[list[Callable[[Entry], bool]], set[str]]:
    """Parse exiqgrep's options into conditions and the letters that select the output."""
    conditions: list[Callable[[Entry], bool]] = []
    shown: set[str] = set()
    rest = list(arguments)
    now = time.time()
    while rest:
        word = rest.pop(0)
        letter = word[1:2] if word.startswith("-") else ""
        if letter and letter in "frsyo":
            value = word[2:] or (rest.pop(0) if rest else "")
            conditions.append(_condition(letter, value, now))
        elif letter and set(word[1:]) <= set("cilbRzxa"):
            shown.update(word[1:])
        else:
            raise CommandError(
                f"exiqgrep {word} is not supported: use -c -i -l -b -R -a, -f -r -s -y -o with a value, -z -x"
            )
    for letter, held in (("z", True), ("x", False)):
        if letter in shown:
            conditions.append(lambda entry, held=held: entry.held is held)  # type: ignore[misc]
    return conditions, shown


def _condition(letter: str, value: str, now: float) -> Callable[[Entry], bool]:
    if letter in "yo":
        if not value.isdigit():
            raise CommandError(f"exiqgrep -{letter}: {value!r} is not a number of seconds")
        age = int(value)
        return (lambda entry: now - entry.created < age) if letter == "y" else (lambda entry: now - entry.created > age)
    try:
        pattern = re.compile(value, re.IGNORECASE)
    except re.error as error:
        raise CommandError(f"exiqgrep -{letter}: {value!r} is not a regular expression: {error}") from None
    if letter == "f":
        return lambda entry: pattern.search(f"<{entry.sender}>") is not None
    if letter == "s":
        return lambda entry: pattern.search(_size(entry.size)) is not None
    return lambda entry: any(
        pattern.search(state.address) for state in entry.recipients if state.status is Status.WAITING
    )


def _required(option: str, ids: Sequence[str]) -> Sequence[str]:
    if not ids:
        raise CommandError(f"exim {option} requires message ids")
    return ids


def _run_queue(*, frozen: bool) -> None:
    """Try all messages now, held ones only with `frozen`, as Exim does with frozen messages."""
    # Not by their ids, because a message that is delivered meanwhile would be an error.
    if frozen:
        apply(Action.RELEASE, None)
    apply(Action.RETRY, None)


def _show(option: str, ids: Sequence[str]) -> None:
    for id in ids:
        if option == "-Mvl":
            queue_show.main([id], "exim", standalone_mode=False, parent=click.get_current_context())
            continue
        # Exim stores messages with LF line ends.
        octets = content(id, header=option == "-Mvh").replace(b"\r\n", b"\n")
        click.echo(octets.partition(b"\n\n")[2] if option == "-Mvb" else octets, nl=False)


def _list(entries: Iterable[Entry]) -> None:
    now = time.time()
    for entry in entries:
        for line in exim_lines(entry, now):
            click.echo(line)


def exim_lines(entry: Entry, now: float) -> Iterator[str]:
    """Yield a message as `exim -bp` prints it: age, size, id and sender, a line for each recipient, a blank line."""
    frozen = " *** frozen ***" if entry.held else ""
    yield f"{_age(max(0.0, now - entry.created)):>3} {_size(entry.size):>5} {entry.id} <{entry.sender}>{frozen}"
    for state in entry.recipients:
        # Exim marks a recipient whose copy was delivered with D.
        yield f"        {' ' if state.status is Status.WAITING else 'D'} {state.address}"
    yield ""


def _age(seconds: float) -> str:
    """Return an age as Exim rounds it: minutes up to 90, hours up to 72, days."""
    minutes = int(seconds / 60)
    hours = (minutes + 30) // 60
    return f"{minutes}m" if minutes <= 90 else f"{hours}h" if hours <= 72 else f"{(hours + 12) // 24}d"


def _size(octets: int) -> str:
    """Return a size as Exim rounds it."""
    for unit, length in (("M", 1 << 20), ("K", 1 << 10)):
        if octets >= length:
            return f"{octets / length:.{1 if octets < 10 * length else 0}f}{unit}"
    return str(octets)
