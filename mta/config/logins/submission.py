"""Reads the settings of submission: the ports whose clients must log in, the users, and logins without TLS."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from mta.config import table
from mta.config.setting import FILE_SUFFIX, MASK, Setting, SettingsReader

# A comma before another user, as some images separate them.
_COMMA = re.compile(r",[^\s,:|{}$]+[:|][{$]")
_PORTS = (table.SUBMISSION_PORT, table.SUBMISSION_TLS_PORT)


@dataclass(frozen=True, slots=True)
class Submission:
    """The ports of submission, and the users with their secrets, which stay out of `repr`."""

    port: int | None
    tls_port: int | None
    #: Lines as in a users' file; "" if there are no users.
    users: str = field(repr=False)
    #: The number of users.
    count: int
    #: The file that the users come from and that may change; None for the variable and for a pipe.
    users_file: Path | None
    #: Whether trusted clients may log in without TLS.
    in_clear: bool


def read_submission(reader: SettingsReader, *, certificate: bool) -> Submission:
    """Return the settings of submission. Add a mistake for each port on which no client could log in.

    `certificate` tells whether the relay has one for its clients.
    """
    _check_ports(reader, certificate)
    users, count = _users(reader)
    in_clear = reader.get(table.AUTH_IN_CLEAR)
    if users and not certificate and not in_clear and not _ports_set(reader):
        reader.notice(
            "AUTH_USERS has no effect: without a certificate no client can log in;"
            " set CERTIFICATE_PATH and KEY_PATH, or AUTH_IN_CLEAR=trusted"
        )
    if in_clear and not _is_given(reader):
        reader.notice("AUTH_IN_CLEAR has no effect: AUTH_USERS is not set")
    return Submission(
        reader.get(table.SUBMISSION_PORT),
        reader.get(table.SUBMISSION_TLS_PORT),
        users,
        count,
        reader.file_of(table.AUTH_USERS),
        in_clear,
    )


def _check_ports(reader: SettingsReader, certificate: bool) -> None:
    taken = {reader.get(table.PORT): table.PORT.name}
    for setting in _ports_set(reader):
        port = reader.get(setting)
        if port is None:
            continue
        if other := taken.get(port):
            reader.mistake(setting, f"{other} is the same port")
        taken[port] = setting.name
        if not certificate:
            because = "the port needs a certificate, because its clients log in inside TLS"
            reader.mistake(setting, f"{because}; set CERTIFICATE_PATH and KEY_PATH")
        if not _is_given(reader):
            file = table.AUTH_USERS.name + FILE_SUFFIX
            empty = f"the file that {file} names is empty" if file in reader.names() else "it is not set"
            reader.mistake(table.AUTH_USERS, f"{empty} although {setting.name} is set: no client could log in")


def _ports_set(reader: SettingsReader) -> list[Setting[int | None]]:
    return [setting for setting in _PORTS if reader.is_set(setting)]


def _is_given(reader: SettingsReader) -> bool:
    """Whether users are given. An empty regular file counts, because it may get users while the relay runs."""
    users = table.AUTH_USERS
    return reader.is_set(users) or reader.file_of(users) is not None or reader.is_mistaken(users)


def _users(reader: SettingsReader) -> tuple[str, int]:
    """Return the users, one a line, and their number. A line that cannot be used is a mistake.

    A mask in their place, as in the settings that a relay publishes, counts as no users.
    """
    text, file = reader.text(table.AUTH_USERS), reader.file_of(table.AUTH_USERS)
    if text == MASK:
        return "", 0
    if file is None:
        text = "\n".join(map(_separated, text.splitlines()))
    if not text and file is None:
        return "", 0
    # Imported if needed, because most relays have no users.
    from mta.users.users_file import describe_bad_lines, read_users  # noqa: PLC0415

    users, bad = read_users(text)
    if bad:
        where = "" if file is None else f"{file}, "
        comma = "; a comma does not separate users: write each on a line of its own" if _COMMA.search(text) else ""
        reader.mistake(table.AUTH_USERS, where + "; ".join(describe_bad_lines(bad)) + comma)
    elif file and not users:
        reader.notice(
            f"{table.AUTH_USERS.name}{FILE_SUFFIX}={file}: it has no users, so that no client can log in; add one by"
            " smtprelay user add"
        )
    return text, len(users)


def _separated(line: str) -> str:
    """Return a line of the variable with a line for each word if every word is a user with a secret."""
    words = line.split()
    alone = not line.startswith("#") and all(":" in word or "|" in word for word in words)
    return "\n".join(words) if alone else line
