"""Chooses the environment of a command: its own, a file's, or the settings that a running relay has published."""

import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from mta.config.setting import SettingsReader
from mta.config.sources.env_file import read_env_file
from mta.config.table import BIND_IP, PORT, QUEUE_DIR, QUEUE_URL
from mta.daemon.runtime_settings import NAMES, address_path, published_settings, settings_path
from mta.inbound.networks import TrustList
from mta.inbound.sockets.proxy_header import LOCAL_HEADER

Command = TypeVar("Command", bound=Callable[..., Any])

# The key in the values that click shares between a command and its groups.
_ENV_FILE = f"{__name__}.env_file"
_ANY, _LOOPBACK = "0.0.0.0", "127.0.0.1"  # noqa: S104  read, never listened on


def command_environment(environ: Mapping[str, str], env_file: Path | None = None) -> Mapping[str, str]:
    """Return the environment for a command. Raises SettingsError.

    With `env_file` it has the variables of that file, which those of `environ` override. Without, it is `environ`
    alone if that has QUEUE_DIR; otherwise `environ` overrides the settings that a relay has published.
    """
    if env_file is not None:
        return {**read_env_file(env_file, environ, _tell), **_set(environ)}
    if environ.get(QUEUE_DIR.name):
        return environ
    return {**published_settings(settings_path(environ)), **_set(environ)}


def current_environment() -> Mapping[str, str]:
    """Return the environment for the current click command and its option --env-file. Raises SettingsError."""
    return command_environment(os.environ, click.get_current_context().meta.get(_ENV_FILE))


def relay_environment() -> Mapping[str, str]:
    """Return the environment for a relay that the current click command starts. Raises SettingsError.

    Settings that another relay has published are not part of it.
    """
    env_file = click.get_current_context().meta.get(_ENV_FILE)
    return os.environ if env_file is None else command_environment(os.environ, env_file)


def address_environment() -> Mapping[str, str]:
    """Return an environment with the address of the relay, for a command that any user may run. Raises SettingsError.

    A relay that has published its address is found there, whatever this environment says of PORT and RUNTIME_DIRECTORY,
    which may be those of another program. QUEUE_DIR and --env-file count as in `command_environment`.
    """
    environ = os.environ
    env_file = click.get_current_context().meta.get(_ENV_FILE)
    if env_file is not None or environ.get(QUEUE_DIR.name):
        return command_environment(environ, env_file)
    return published_settings(address_path(environ)) or published_settings(address_path({})) or environ


def is_shared(environ: Mapping[str, str]) -> bool:
    """Whether the queue of an environment is at QUEUE_URL, and not in QUEUE_DIR."""
    return bool(environ.get(QUEUE_URL.name, "").strip())


def relay_address(reader: SettingsReader) -> tuple[str, int]:
    """Return the IP address and the port at which a command on this host reaches the relay."""
    host = reader.get(BIND_IP)
    return (_LOOPBACK if host == _ANY else host), reader.get(PORT)


def introduce(connection: socket.socket, balancers: TrustList) -> None:
    """Begin a connection to the relay with a PROXY header if the relay expects one from this host.

    `balancers` is the value of PROXY_NETWORKS. Raises OSError.
    """
    if balancers.verdict(connection.getsockname()[0], {}):
        connection.sendall(LOCAL_HEADER)


def where_to_look(environ: Mapping[str, str]) -> str:
    """Return advice that follows an error about a queue or port at its default; "" if QUEUE_DIR is set."""
    if environ.get(QUEUE_DIR.name):
        return ""
    path = settings_path(environ)
    return f" (QUEUE_DIR is not set here, and no relay has published it in {path}: set it, or give --env-file)"


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
    """Return the variables without empty settings, which count as unset."""
    return {name: text for name, text in environ.items() if text or name not in NAMES}


def _keep_env_file(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is not None:
        context.meta[_ENV_FILE] = path
