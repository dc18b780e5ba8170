"""The options with which commands take the conditions of a search."""

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click

from mta.queue.search.conditions import Conditions
from mta.queue.search.reading import ConditionError, read_conditions
from mta.routing.choice import read_way

Command = TypeVar("Command", bound=Callable[..., Any])

_LOCAL_ZONE = Path("/etc/localtime")
# The options in the order of the help, with their texts; `id` and `status` may be given several times.
_HELP = {
    "id": "The id, or its beginning; may be repeated.",
    "from": "The envelope's sender or the address in From; <> is the null sender.",
    "to": "The address of a recipient.",
    "domain": "The domain of a recipient.",
    "subject": "A part of the Subject.",
    "message-id": "The Message-ID.",
    "client": "The IP address of the client.",
    "login": "The user that had logged in.",
    "host": "A part of the host that answered last.",
    "reply": "A part of the last reply.",
    "status": "waiting, held, delivered, failed or removed; may be repeated.",
    "since": "Began to arrive at this time or later: 10:00, yesterday, 2h (ago), 2026-11-22T10:00.",
    "until": "Began to arrive before this time.",
    "older": "Began to arrive longer ago than this: 30m, 2h, 1d.",
    "larger": "Has more octets than this: 500, 10K, 2M.",
}
_SEVERAL = ("id", "status")
_WAY_HELP = "mx, smarthost or HOST:PORT: the way. With @, also beside it, the address of a recipient."
# The prefix of the parameters, because `from` cannot be the name of one.
_PREFIX = "with_"


def condition_options(command: Command) -> Command:
    """Add the options of a search to a command, which gets them as keyword arguments for `given_conditions`."""
    for name, text in reversed(_HELP.items()):
        command = _option(name, text, multiple=name in _SEVERAL)(command)
    return command


def reroute_options(command: Command) -> Command:
    """Add the options of a search to `queue reroute`, whose --to may come twice: `given_way` takes the way of these."""
    for name, text in reversed((_HELP | {"to": _WAY_HELP}).items()):
        command = _option(name, text, multiple=name in (*_SEVERAL, "to"))(command)
    return command


def _option(name: str, help: str, *, multiple: bool) -> Callable[[Command], Command]:
    parameter = _PREFIX + name.replace("-", "_")
    return click.option(f"--{name}", parameter, multiple=multiple, help=help, metavar="TEXT")


def given_way(options: dict[str, Any]) -> str:
    """Take the way, which is the --to without @, out of the options of `queue reroute`. Raises click.UsageError."""
    given: tuple[str, ...] = options[f"{_PREFIX}to"]
    ways = [text for text in given if "@" not in text]
    options[f"{_PREFIX}to"] = tuple(text for text in given if "@" in text)
    if len(ways) != 1:
        raise click.UsageError("give one way: --to mx, --to smarthost, or --to HOST:PORT")
    try:
        return read_way(ways[0])
    except ValueError as error:
        raise click.UsageError(f"--to: {error}") from None


def given_conditions(options: Mapping[str, Any], words: tuple[str, ...] = ()) -> Conditions:
    """Return the conditions of options and bare words. Raises click.UsageError."""
    texts: dict[str, tuple[str, ...]] = {"word": words}
    for parameter, value in options.items():
        name = parameter.removeprefix(_PREFIX).replace("_", "-")
        texts[name] = value if isinstance(value, tuple) else () if value is None else (value,)
    try:
        return read_conditions(texts, time.time(), local_zone(os.environ))
    except ConditionError as error:
        raise click.UsageError(f"--{error}") from None


def local_zone(environ: Mapping[str, str]) -> tzinfo:
    """Return the time zone of this process: that of TZ, or that of the system, or UTC if neither can be read."""
    try:
        if name := environ.get("TZ", "").lstrip(":"):
            return ZoneInfo(name)
        with _LOCAL_ZONE.open("rb") as file:
            return ZoneInfo.from_file(file, "local")
    except (OSError, ValueError, KeyError):
        return UTC
