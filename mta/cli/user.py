"""`smtprelay user`: keeps the file of the users that may log in.

No command shows a secret. A password is never an argument, because other users of the host can read the arguments.
"""

import json
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from mta.cli.environment import current_environment
from mta.cli.errors import CommandError, command_errors
from mta.users.crypt_strings import SecretError
from mta.users.edit_file import UsersFileError, locked, read_text, replace_text, with_user, without_user
from mta.users.secrets import (
    MAX_OCTETS,
    NEW_SCHEMES,
    CheckUnavailable,
    default_scheme,
    new_secret,
    scheme_of,
    verify,
)
from mta.users.users import FILE_SETTING
from mta.users.users_file import (
    BadLine,
    SenderList,
    User,
    UserLineError,
    check_name,
    describe_bad_lines,
    read_senders,
    read_users,
)

Command = TypeVar("Command", bound=Callable[..., Any])

_SCRAM = "scram-sha-256"


@click.group()
def user() -> None:
    """Manage the users that may log in."""


def _file_option(command: Command) -> Command:
    return click.option(
        "--file", "path", type=click.Path(path_type=Path), help=f"The users' file. [default: {FILE_SETTING}]"
    )(command)


@user.command("add")
@click.argument("name")
@click.option(
    "--senders",
    multiple=True,
    metavar="SENDER",
    help="A sender that the user may use: an address, @domain, or * for any. May be given again.",
)
@click.option("--scheme", type=click.Choice(NEW_SCHEMES), help="The kind of secret. [default: argon2id]")
@_file_option
def add(name: str, senders: tuple[str, ...], scheme: str | None, path: Path | None) -> None:
    """Add a user, or change a user's password.

    The password is asked for, or read from the first line of standard input.
    """
    with _user_errors():
        file = _path(path)
        check_name(name)
        allowed = read_senders(senders)
        made = scheme or _default_scheme()
        secret = new_secret(made, _password(confirm=True))
        with locked(file) as target:
            old = read_text(target) if target.exists() else None
            replace_text(target, with_user(old or "", name, secret, allowed, keep_senders=not senders))
    users, bad = read_users(old or "")
    click.echo(f"{name} {'changed' if any(each.name == name for each in users) else 'added'}")
    if old is None:
        _warn(f"{target} is new, and only its owner can read it. The relay must be able to.")
    _warn_of(bad)
    _warn_about_scram([scheme_of(each.secret) for each in users if each.name != name], made)


@user.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_file_option
def list_users(as_json: bool, path: Path | None) -> None:
    """List the users, the kind of their secrets, and their senders."""
    users, bad = _read(path)
    if as_json:
        click.echo(json.dumps([_object(each) for each in users], indent=1))
    else:
        width = max((len(each.name) for each in users), default=0)
        for each in users:
            click.echo(f"{each.name:{width}}  {scheme_of(each.secret):13}  {each.senders or 'any sender'}")
    if bad:
        raise CommandError(*describe_bad_lines(bad))


@user.command("remove")
@click.argument("name")
@_file_option
def remove(name: str, path: Path | None) -> None:
    """Remove a user."""
    with _user_errors(), locked(_path(path)) as target:
        text = without_user(read_text(target), name)
        if text is None:
            raise CommandError(f"there is no user {name} in {target}")
        replace_text(target, text)
    click.echo(f"{name} removed")


@user.command("check")
@click.argument("name")
@_file_option
def check(name: str, path: Path | None) -> None:
    """Test whether a password is the right one.

    The password is asked for, or read from the first line of standard input.
    """
    users, bad = _read(path)
    known = next((each for each in users if each.name == name), None)
    if known is None:
        _warn_of(bad)
        raise CommandError(f"there is no user {name} whose line can be used")
    with _user_errors():
        right = verify(known.secret, _password(confirm=False))
    if not right:
        raise CommandError(f"the password of {name} is another one")
    click.echo(f"the password of {name} is right")


@contextmanager
def _user_errors() -> Iterator[None]:
    """Turn errors of the users' file, of secrets and of settings into a CommandError."""
    try:
        with command_errors():
            yield
    except (UserLineError, UsersFileError, SecretError, CheckUnavailable) as error:
        raise CommandError(str(error)) from None


def _path(path: Path | None) -> Path:
    if path is not None:
        return path
    named = current_environment().get(FILE_SETTING, "").strip()
    if not named:
        raise CommandError(f"{FILE_SETTING} is not set: set it, or name the users' file by --file")
    return Path(named)


def _read(path: Path | None) -> tuple[tuple[User, ...], tuple[BadLine, ...]]:
    with _user_errors():
        return read_users(read_text(_path(path)))


def _password(*, confirm: bool) -> str:
    """Ask for a password, or read the first line of standard input if that is no terminal. Raises CommandError."""
    if sys.stdin.isatty():
        typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=confirm, err=True)
        return typed
    line = sys.stdin.buffer.readline(MAX_OCTETS + 2)
    password = line.removesuffix(b"\n").removesuffix(b"\r")
    if not password:
        raise CommandError("standard input has no password in its first line")
    return password.decode("utf-8", "surrogateescape")


def _default_scheme() -> str:
    scheme = default_scheme()
    if scheme != NEW_SCHEMES[0]:
        _warn(f"this system cannot make {NEW_SCHEMES[0]}, so the secret is a {scheme} one")
    return scheme


def _warn_about_scram(others: Collection[str], made: str) -> None:
    """Warn if SCRAM cannot be offered because of the new secret, or in spite of it."""
    if others and (made == _SCRAM) != all(other == _SCRAM for other in others):
        _warn(f"SCRAM-SHA-256 is offered to clients only while every user has a {_SCRAM} secret")


def _warn_of(bad: tuple[BadLine, ...]) -> None:
    for line in describe_bad_lines(bad):
        _warn(line)


def _warn(line: str) -> None:
    click.echo(f"smtprelay: {line}", err=True)


def _object(user: User) -> dict[str, object]:
    senders: SenderList | None = user.senders
    return {
        "name": user.name,
        "scheme": scheme_of(user.secret),
        "senders": None if senders is None else str(senders).split(),
    }
