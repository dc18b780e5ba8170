"""Submits a message from standard input to the relay by SMTP, with the options of `sendmail`."""

import email.policy
import getpass
import os
import re
import smtplib
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.parser import HeaderParser
from email.utils import getaddresses
from typing import NoReturn

import click

from mta.cli.environment import current_environment, introduce, relay_address
from mta.cli.errors import CommandError, command_errors
from mta.config.setting import SettingsReader
from mta.config.table import MAILNAME, PROXY_NETWORKS
from mta.inbound.networks import TrustList

_PATIENCE = 600.0
_RECIPIENT_FIELDS = ("To", "Cc", "Bcc")
# Options whose value follows the letter or is the next word, and options without effect.
_WITH_VALUE = re.compile(r"-([fFrBNORVLhX])(.*)", re.DOTALL)
_WITHOUT_EFFECT = re.compile(r"-(?:bm|v|G|U|m|n|om|oo|oem|oee|oep|oew|oeq|ov|od[a-z]*|oMr.*|E.*|odqs)", re.DOTALL)
_UNSUPPORTED = {
    "-bs": "speak SMTP to the relay's port",
    "-bS": "speak SMTP to the relay's port",
    "-bd": "the relay is already running",
    "-bD": "the relay is already running",
    "-bt": "addresses are not tested",
    "-bv": "addresses are not tested",
}
_BCC = re.compile(rb"^(?:resent-)?bcc[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)


@dataclass(slots=True)
class _CommandLine:
    """The parsed command line of sendmail."""

    recipients: list[str] = field(default_factory=list)
    sender: str | None = None
    #: Whether to take recipients from the header, too.
    from_header: bool = False
    #: Whether a line with a single dot is part of the message.
    dots: bool = False
    notify: str = ""


def _read(arguments: Sequence[str]) -> _CommandLine:
    """Parse a command line. Raises CommandError for an unsupported option."""
    command_line = _CommandLine()
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--" or not word.startswith("-") or word == "-":
            command_line.recipients += rest if word == "--" else [word]
            if word == "--":
                break
        elif word in _UNSUPPORTED:
            raise CommandError(f"sendmail {word} is not supported: {_UNSUPPORTED[word]}")
        elif word in {"-i", "-oi", "-ti", "-it"}:
            command_line.dots = True
            command_line.from_header |= "t" in word
        elif word == "-t":
            command_line.from_header = True
        elif match := _WITH_VALUE.fullmatch(word):
            value = match[2] or (rest.pop(0) if rest else "")
            if match[1] in "fr":
                command_line.sender = value.removeprefix("<").removesuffix(">")
            elif match[1] == "N":
                command_line.notify = value.upper()
        elif not _WITHOUT_EFFECT.fullmatch(word):
            raise CommandError(f"sendmail {word} is not supported: use -t, -i, -f address, -N, and addresses")
    return command_line


def send(arguments: Sequence[str]) -> None:
    """Submit the message on standard input with these arguments of sendmail. Raises CommandError.

    Ends the program with EX_TEMPFAIL if the relay cannot accept it now, and with EX_UNAVAILABLE if it rejects it.
    """
    command_line = _read(arguments)
    if not (command_line.recipients or command_line.from_header):
        raise CommandError("no recipients: give addresses, or -t to take them from the header")
    message = message_of(sys.stdin.buffer.read(), dots=command_line.dots)
    recipients = list(command_line.recipients)
    if command_line.from_header:
        recipients += header_recipients(message)
        message = without_bcc(message)
    if not recipients:
        raise CommandError("no recipients: the header has no To, Cc or Bcc")
    _submit(command_line, list(dict.fromkeys(recipients)), message)


def message_of(octets: bytes, *, dots: bool) -> bytes:
    """Return a message with CRLF line ends. Without `dots` a line with a single dot ends it, as in sendmail."""
    text = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not dots:
        text = (b"\n" + text).partition(b"\n.\n")[0][1:]
    return (text if text.endswith(b"\n") else text + b"\n").replace(b"\n", b"\r\n")


def header_recipients(message: bytes) -> list[str]:
    """Return the addresses of the Resent- fields or, without any, of To, Cc and Bcc. Raises CommandError."""
    # Decoded, so that a non-ASCII address stays unchanged.
    text = message.partition(b"\r\n\r\n")[0].decode("utf-8", "surrogateescape")
    header = HeaderParser(policy=email.policy.compat32).parsestr(text)
    for prefix in ("Resent-", ""):
        fields = [str(text) for name in _RECIPIENT_FIELDS for text in header.get_all(prefix + name, [])]
        try:
            found = [address for _, address in getaddresses(fields) if address]
        except RecursionError:
            raise CommandError("no recipients: the header has too deeply nested comments") from None
        if found:
            return found
    return []


def without_bcc(message: bytes) -> bytes:
    """Return a message without its Bcc and Resent-Bcc fields."""
    header, blank, body = message.partition(b"\r\n\r\n")
    return _BCC.sub(b"", header + b"\r\n").removesuffix(b"\r\n") + blank + body


class RelayClient(smtplib.SMTP):
    """A connection to the relay, which may have to begin with a PROXY header."""

    def __init__(self, host: str, port: int, balancers: TrustList) -> None:
        self._balancers = balancers
        super().__init__(host, port, "localhost", _PATIENCE)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connection: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        introduce(connection, self._balancers)
        return connection


def _submit(command_line: _CommandLine, recipients: list[str], message: bytes) -> None:
    with command_errors():
        reader = SettingsReader(current_environment())
        (host, port), name = relay_address(reader), reader.get(MAILNAME)
        balancers = reader.get(PROXY_NETWORKS)
        reader.check()
    sender = command_line.sender if command_line.sender is not None else _own_address(name)
    options = ["BODY=8BITMIME"] if not message.isascii() else []
    if not all(address.isascii() for address in (sender, *recipients)):
        options.append("SMTPUTF8")
    try:
        with RelayClient(host, port, balancers) as client:
            notify = [f"NOTIFY={command_line.notify}"] if command_line.notify else []
            refused = client.sendmail(sender, recipients, message, options, notify)
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
    except smtplib.SMTPResponseException as error:
        _fail(error.smtp_code, f"refused: {error.smtp_code} {_text(error.smtp_error)}")
    except (OSError, smtplib.SMTPException) as error:
        _fail(400, f"the relay on port {port} cannot be reached: {error}")
    for address, (code, text) in refused.items():
        click.echo(f"smtprelay: <{address}> refused: {code} {_text(text)}", err=True)
    if refused:
        codes = [code for code, _ in refused.values()]
        raise SystemExit(os.EX_TEMPFAIL if all(code < 500 for code in codes) else os.EX_UNAVAILABLE)


def _own_address(name: str | None) -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.geteuid())
    return f"{user}@{name}" if name else user


def _text(text: bytes | str) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def _fail(code: int, words: str) -> NoReturn:
    click.echo(f"smtprelay: {words}", err=True)
    raise SystemExit(os.EX_TEMPFAIL if code < 500 else os.EX_UNAVAILABLE)
