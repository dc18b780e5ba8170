"""The search for secrets: no password, token or key of a test stands in the words and files of its relays.

Each end-to-end test ends with it. Known by themselves are the secret settings of a relay and the passwords and tokens
that its sinks were shown; a test adds those of its clients and servers by `World.secret`.
"""

import base64
import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.daemon import Daemon
from harness.sink import Sink
from harness.token_endpoint import TokenEndpoint
from mta.cli.main import main
from mta.config.setting import FILE_SUFFIX
from mta.config.table import SETTINGS

#: Commands whose output shows settings, mail, and the state of the relay.
COMMANDS = [
    ("config", "show"),
    ("config", "check"),
    ("config", "explain"),
    ("explain", "--from", "ann@a.test", "--to", "bob@b.test"),
    ("explain", "--from", "ann@a.test", "--to", "bob@b.test", "--json"),
    ("queue", "list", "--all"),
    ("queue", "list", "--json"),
    ("queue", "summary"),
    ("health",),
]
# Shorter ones stand in words that have nothing to do with them.
_SHORTEST = 8
_SECRET_NAMES = [setting.name for setting in SETTINGS if setting.secret]
_SECRET_FIELDS = {"client_secret", "refresh_token", "assertion", "code", "device_code"}
# A key of a smarthost in a file of rules, with its value.
_RULES_SECRET = re.compile(r"""(?m)^\s*password_(file|env)\s*=\s*["']([^"']+)["']""")
# The part of a line of users behind the name: up to a list of senders, or a further field of Dovecot's.
_USERS_SECRET = re.compile(r"(?m)^[^#:|\s][^:|]*[:|](?:\{[A-Z0-9.-]+\})?([^\s:]+)")


def forms(secret: str) -> set[bytes]:
    """Return the forms of a secret: as it is, quoted, and the middle of its base64 form at each offset in a text."""
    raw = secret.encode()
    quoted = {urllib.parse.quote(secret), urllib.parse.quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    found = {raw, *(text.encode() for text in quoted)}
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw)
        middle = encoded[4 if before else 0 : len(encoded) - 4]
        found |= {middle, middle.replace(b"+", b"-").replace(b"/", b"_")}
    return found


def leaks(secrets: Iterable[str], *texts: bytes) -> list[bytes]:
    """Return the forms of secrets that stand in texts."""
    every = {form for secret in secrets for form in forms(secret)}
    return sorted({form for form in every for text in texts if form in text})


def processes(daemon: Daemon) -> list[int]:
    """Return the process of a relay, and those of its workers."""
    return [daemon.child.pid, *daemon.workers().values()]


def of_process(pid: int, what: str) -> bytes:
    """Return the content of a file that the kernel keeps about a process."""
    return Path(f"/proc/{pid}/{what}").read_bytes()


def on_disk(folder: Path) -> list[bytes]:
    """Return the content of all files below a folder, but for the file of tokens."""
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file() and "oauth" not in path.name]


def commands(daemon: Daemon, *every: Sequence[str]) -> list[bytes]:
    """Return the output of the operator's commands, run in this process: a program for each would take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        for name, text in daemon.environment.items():
            patch.setenv(name, text)
        done = [CliRunner().invoke(main, words) for words in every]
    return [one.output.encode() + repr(one.exception).encode() for one in done]


def said(daemon: Daemon) -> list[bytes]:
    """Return all that the relay and the operator's commands say."""
    return [daemon.child.text.encode(), *commands(daemon, *COMMANDS)]


def of_settings(daemon: Daemon) -> Iterator[str]:
    """Yield the secrets in the settings of a relay, and in the files that they name."""
    for name in _SECRET_NAMES:
        text = daemon.environment.get(name, "")
        path = daemon.environment.get(name + FILE_SUFFIX, "")
        if path and Path(path).is_file():
            text = Path(path).read_text(errors="replace")
        if name.endswith("_USERS"):
            yield from _USERS_SECRET.findall(text)
        elif name.endswith("_SERVICE_ACCOUNT"):
            yield from _lines_of_key(text)
        elif not name.endswith(("_USER", "_ID")):
            yield text.strip()


def of_rules(daemon: Daemon) -> Iterator[str]:
    """Yield the passwords of the smarthosts in the files of rules of a relay."""
    directory = daemon.environment.get("RULES_DIR", "")
    for file in sorted(Path(directory).glob("*.toml")) if directory else ():
        for kind, value in _RULES_SECRET.findall(file.read_text(errors="replace")):
            if kind == "env":
                yield daemon.environment.get(value, "")
            elif Path(value).is_file():
                yield Path(value).read_text(errors="replace").strip()


def _lines_of_key(text: str) -> list[str]:
    """Return the lines of the private key of a service account, without its frame."""
    try:
        return list(json.loads(text)["private_key"].splitlines()[1:-1])
    except (ValueError, LookupError, TypeError):
        return []


def of_sink(sink: Sink) -> Iterator[str]:
    """Yield the passwords and tokens that a sink was shown, and those that it accepts."""
    yield from sink.users.values()
    yield from (login.password for login in list(sink.logins))


def of_endpoint(endpoint: TokenEndpoint) -> Iterator[str]:
    """Yield the tokens that an endpoint has given out, and the secrets that it was shown."""
    yield from (*endpoint.tokens, *endpoint.refresh_tokens)
    for request in list(endpoint.requests):
        yield from (text for name, text in request.form.items() if name in _SECRET_FIELDS)


def search(
    secrets: Iterable[str], relays: Sequence[Daemon], sinks: Sequence[Sink], endpoints: Sequence[TokenEndpoint]
) -> list[bytes]:
    """Return the forms of secrets in all that relays said, show in the list of processes, and left behind.

    Their own secrets, those of the sinks and those of the token endpoints are sought too. Only the file in which a
    relay keeps its tokens may hold some.
    """
    known = {*secrets, *(each for relay in relays for each in (*of_settings(relay), *of_rules(relay)))}
    known |= {each for sink in sinks for each in of_sink(sink)}
    known |= {each for endpoint in endpoints for each in of_endpoint(endpoint)}
    sought = {secret for secret in known if len(secret) >= _SHORTEST}
    return sorted({form for relay in relays for form in _search(sought, relay)}) if sought else []


def _search(secrets: set[str], relay: Daemon) -> list[bytes]:
    if relay.child.process is None:
        return []
    texts = said(relay)
    if relay.child.running:
        texts += [of_process(pid, "cmdline") for pid in processes(relay)]
        texts += [of_process(pid, "environ") for pid in relay.workers().values()]
    folder = relay.queue_dir.parent
    cores = [path for path in folder.rglob("core*") if path.is_file()]
    assert cores == [], "a process of the relay has left a crash dump"
    return leaks(secrets, *texts, *on_disk(relay.queue_dir))
