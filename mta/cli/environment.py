"""The environment that a command looks at: its own, a file's, or the one that a running relay has told."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from mta.config.setting import SettingsReader
from mta.config.sources.env_file import read_env_file
from mta.config.table import BIND_IP, PORT, QUEUE_DIR
from mta.daemon.runtime_settings import NAMES, path_of, what_was_told

Command = TypeVar("Command", bound=Callable[..., Any])

# The key in the values that click shares between a command and its groups.
_ENV_FILE = f"{__name__}.env_file"
_ANY, _LOOPBACK = "0.0.0.0", "127.0.0.1"  # noqa: S104  read, never listened on


def command_environment(environ: Mapping[str, str], env_file: Path | None = None) -> Mapping[str, str]:
    """Return the environment for a command. Raises SettingsError.

    With a file, its variables count, and those of `environ` before them. Without, `environ` counts alone if it has
    QUEUE_DIR; else the settings that a relay has told count behind it.
    """
    if env_file is not None:
        return {**read_env_file(env_file, environ, _tell), **_set(environ)}
    if environ.get(QUEUE_DIR.name):
        return environ
    return {**what_was_told(path_of(environ)), **_set(environ)}


def current_environment() -> Mapping[str, str]:
    """Return the environment for the command that runs, with its option --env-file. Raises SettingsError."""
    return command_environment(os.environ, click.get_current_context().meta.get(_ENV_FILE))


def relay_address(reader: SettingsReader) -> tuple[str, int]:
    """Return the IP address and the port at which a command of this host reaches the relay."""
    host = reader.get(BIND_IP)
    return (_LOOPBACK if host == _ANY else host), reader.get(PORT)


def where_to_look(environ: Mapping[str, str]) -> str:
    """Return words to follow an error about a queue or port at its default place; "" if QUEUE_DIR is known."""
    if environ.get(QUEUE_DIR.name):
        return ""
    return f" (QUEUE_DIR is not set here, and no relay has told it in {path_of(environ)}: set it, or give --env-file)"


def env_file_option(command: Command) -> Command:
    """Add the option --env-file to a command."""
    return click.option(
        "--env-file",
        type=click.Path(path_type=Path),
        expose_value=False,
        callback=_keep_env_file,
        help="Take the settings from a file of NAME=value lines, as systemd reads them.",
    )(command)


def _tell(line: str) -> None:
    click.echo(f"notice: {line}", err=True)


def _set(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables but for settings that are empty, which count as unset."""
    return {name: text for name, text in environ.items() if text or name not in NAMES}


def _keep_env_file(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is not None:
        context.meta[_ENV_FILE] = path
