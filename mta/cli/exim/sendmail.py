"""The command `sendmail`: submits a message to the relay, for programs and users of its host.

It works for every user. Its exit status is one of sysexits.h: EX_OK means that the relay has accepted the message for
all recipients, any other that it was sent to nobody. EX_TEMPFAIL asks the program to try again later.
"""

import os
import pwd
import sys
from collections.abc import Callable, Iterator, Sequence

import click

from mta.cli.environment import address_environment, relay_address
from mta.cli.errors import CommandError, command_errors
from mta.cli.exim.dialogue import converse
from mta.cli.exim.sendmail_message import (
    BadAddresses,
    MessageText,
    addresses,
    full_name_of,
    header_recipients,
    read_message,
    without_private_fields,
)
from mta.cli.exim.sendmail_options import CommandLine, SendmailError, SendmailMode, read_command_line, usage_error
from mta.cli.exim.submission import RelayPort, UserMail, largest_message, submit
from mta.config.setting import SettingsReader
from mta.config.table import PROXY_NETWORKS

_UNPARSED = {"ignore_unknown_options": True, "allow_interspersed_args": False}
# Octets read at once, because a line may be without end.
_PIECE = 1 << 16
# The relay is asked for its limit when the message has more octets: not before the read, which may take hours.
_SURELY_TAKEN = 4 << 20


@click.command(
    "sendmail",
    help="Send a message from standard input.",
    hidden=True,
    add_help_option=False,
    context_settings=_UNPARSED,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sendmail(arguments: tuple[str, ...]) -> None:
    """Submit a message, speak SMTP, list the queue or try it, as the options of sendmail say."""
    run(arguments)


def run(arguments: Sequence[str]) -> None:
    """Do the work of a command line of sendmail. Raises CommandError."""
    command_line = read_command_line(arguments)
    if command_line.mode is SendmailMode.MESSAGE:
        _send(command_line)
    elif command_line.mode is SendmailMode.DIALOGUE:
        converse(_relay_port(), 0, 1)
    elif command_line.mode is not SendmailMode.ALIASES:
        _on_the_queue(command_line)


def _send(command_line: CommandLine) -> None:
    """Submit the message on standard input."""
    recipients = _checked(lambda: addresses(command_line.recipients), os.EX_USAGE)
    if not (recipients or command_line.from_header):
        raise usage_error("no recipients: give addresses, or -t to take them from the header")
    place = _relay_port()
    message = read_message(_standard_input(place), dots=command_line.dots)
    if command_line.from_header:
        recipients += _checked(lambda: header_recipients(message), os.EX_DATAERR)
        if not recipients:
            raise SendmailError(os.EX_DATAERR, "no recipients: the header has no address in To, Cc or Bcc")
    submit(_mail(command_line, list(dict.fromkeys(recipients)), message), place)


def _mail(command_line: CommandLine, recipients: Sequence[str], message: MessageText) -> UserMail:
    user, full_name = _user()
    options = {"RET": command_line.ret, "ENVID": command_line.envelope_id}
    return UserMail(
        user if command_line.sender is None else command_line.sender,
        recipients,
        without_private_fields(message),
        command_line.full_name or full_name,
        [f"{name}={value}" for name, value in options.items() if value],
        [f"NOTIFY={command_line.notify}"] if command_line.notify else [],
    )


def _checked(read: Callable[[], list[str]], status: int) -> list[str]:
    try:
        return read()
    except BadAddresses as error:
        raise SendmailError(status, f"the recipients cannot be read: {error}") from None


def _standard_input(place: RelayPort) -> Iterator[bytes]:
    """Yield the lines of the message, a long one in pieces.

    Raises SendmailError, also as soon as the message is larger than the relay takes.
    """
    # It is None if the descriptor was closed before the start.
    if sys.stdin is None:
        raise SendmailError(os.EX_NOINPUT, "no message: standard input is closed")
    read, limit = 0, 0
    try:
        while piece := sys.stdin.buffer.readline(_PIECE):
            read += len(piece)
            if read > _SURELY_TAKEN:
                limit = limit or largest_message(place)
                if read > limit:
                    words = f"nothing was sent: the relay takes messages up to MESSAGE_SIZE_LIMIT, {limit} octets"
                    raise SendmailError(os.EX_UNAVAILABLE, words)
            yield piece
    except OSError as error:
        raise SendmailError(os.EX_NOINPUT, f"the message cannot be read: {error.strerror}") from None


def _relay_port() -> RelayPort:
    try:
        with command_errors():
            reader = SettingsReader(address_environment())
            (host, port), balancers = relay_address(reader), reader.get(PROXY_NETWORKS)
            reader.check()
    except CommandError as error:
        raise SendmailError(os.EX_CONFIG, *error.lines) from None
    return RelayPort(host, port, balancers)


def _user() -> tuple[str, str]:
    """Return the name and the full name of the user that runs this process."""
    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:
        return str(os.getuid()), ""
    return entry.pw_name, full_name_of(entry.pw_gecos, entry.pw_name)


def _on_the_queue(command_line: CommandLine) -> None:
    """List the queue, or try its messages."""
    # Imported late, because a message needs none of it.
    from mta.cli.exim.commands import list_queue, run_queue  # noqa: PLC0415

    try:
        if command_line.mode is SendmailMode.LIST:
            list_queue()
        else:
            run_queue(command_line.run_id, command_line.run_domain)
    except CommandError as error:
        raise SendmailError(os.EX_UNAVAILABLE, *error.lines) from None
