"""Reads the command line of `sendmail` as Postfix, Exim and Sendmail read it.

Options without a value may be joined (`-ti`), a value may follow its letter or be the next word, and options may follow
recipients. Options that have no effect here are accepted; options that would have one are an error.
"""

import enum
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mta.cli.errors import CommandError
from mta.cli.exim.sendmail_message import is_sendable
from mta.smtp.address import printable


class SendmailMode(enum.Enum):
    """The work that `sendmail` is asked to do."""

    MESSAGE = "submit the message on standard input"
    DIALOGUE = "speak SMTP on standard input and output"
    LIST = "list the queue"
    RUN = "try the messages in the queue now"
    ALIASES = "read the aliases file again"


@dataclass(slots=True)
class CommandLine:
    """The parsed command line of sendmail."""

    mode: SendmailMode = SendmailMode.MESSAGE
    recipients: list[str] = field(default_factory=list)
    #: The envelope's sender; "" is the null sender, None means that none was given.
    sender: str | None = None
    full_name: str = ""
    #: Whether to take recipients from the header, too.
    from_header: bool = False
    #: Whether a line with a single dot is part of the message.
    dots: bool = False
    #: The values of NOTIFY, RET and ENVID (RFC 3461); "" if not given.
    notify: str = ""
    ret: str = ""
    envelope_id: str = ""
    #: The id or the domain of the messages that a queue run tries; both are "" for all messages.
    run_id: str = ""
    run_domain: str = ""


class SendmailError(CommandError):
    """`sendmail` has failed with an exit status of sysexits.h."""

    def __init__(self, status: int, *lines: str) -> None:
        super().__init__(*lines)
        self.exit_code = status  # type: ignore[misc]  # click declares it for classes


_MODES = {
    "m": SendmailMode.MESSAGE,
    "s": SendmailMode.DIALOGUE,
    "p": SendmailMode.LIST,
    "i": SendmailMode.ALIASES,
}
_UNSUPPORTED_MODES = {
    "d": "the relay is a service of its own",
    "D": "the relay is a service of its own",
    "l": "the relay is a service of its own",
    "v": "addresses are not tested, see smtprelay explain",
    "t": "addresses are not tested, see smtprelay explain",
}
# Options without a value, and those with one, that have no effect: loops, verbosity, body types and the like are the
# relay's work. -A, -d and -E have their value in the same word.
_IGNORED = frozenset("GUmnv")
_IGNORED_WITH_VALUE = frozenset("BLOXehp")
_IGNORED_REST = frozenset("AEd")
# Exim's options that begin with two letters and have the next word as their value: origin of a message from a filter.
_ORIGIN = re.compile(r"oM(?:aa|ai|as|[aimrst])|o[AP]")
# An address, which may be in angle brackets behind a name. A blank in it would make the From field another one.
_SENDER = re.compile(r"[^<>]*<(?P<bracketed>[^<>\s]*)>|(?P<bare>[^<>\s]*)")
_RUN = re.compile(r"(?:I(?P<id>.+)|R(?P<domain>.+))?", re.DOTALL)
_NOTIFY = re.compile(r"never|(?:(?:success|failure|delay)(?:,(?!$)|$))+", re.IGNORECASE)
_RET = {"full": "FULL", "hdrs": "HDRS"}
# RFC 3461 section 4: xtext, of at most 100 characters.
_NOT_XTEXT = re.compile(r"[^!-*,-<>-~]")
_MAX_ENVELOPE_ID = 100


def read_command_line(arguments: Sequence[str]) -> CommandLine:
    """Parse a command line. Raises SendmailError with EX_USAGE for an option that is unknown or wrong."""
    command_line = CommandLine()
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "--":
            command_line.recipients += words
            break
        if word == "-" or not word.startswith("-"):
            command_line.recipients.append(word)
        else:
            _read_word(word, words, command_line)
    return command_line


def usage_error(words: str) -> SendmailError:
    """Return an error about the command line, on one line: programs pass on values that strangers gave them."""
    return SendmailError(os.EX_USAGE, f"sendmail: {printable(words)}")


def _read_word(word: str, words: list[str], command_line: CommandLine) -> None:
    """Parse the letters of one word; the values of its last one may be the next of `words`."""
    if _ORIGIN.fullmatch(word[1:]):
        del words[:1]
        return
    at = 1
    while at < len(word):
        letter, rest = word[at], word[at + 1 :]
        at += 1
        if letter == "t":
            command_line.from_header = True
        elif letter == "i":
            command_line.dots = True
        elif letter == "I":
            command_line.mode = SendmailMode.ALIASES
        elif letter not in _IGNORED:
            _read_value(word, letter, rest, words, command_line)
            return


def _read_value(word: str, letter: str, rest: str, words: list[str], command_line: CommandLine) -> None:
    """Parse an option whose value is the rest of its word, or the next word."""
    if letter in _IGNORED_REST:
        return
    if letter == "q":
        _read_run(word, rest, command_line)
        return
    read = _READERS.get(letter)
    if read is None and letter not in _IGNORED_WITH_VALUE:
        raise usage_error(f"{word} is not supported: use -t, -i, -f, -F, -N, -R, -V, -bs, -bp, -q, and addresses")
    if not rest and not words:
        raise usage_error(f"{word} requires a value")
    value = rest or words.pop(0)
    if read is not None:
        read(value, command_line)


def _read_run(word: str, rest: str, command_line: CommandLine) -> None:
    run = _RUN.fullmatch(rest)
    if run is None:
        raise usage_error(f"{word} is not supported: the relay tries its queue itself; use -q, -qI ID or -qR DOMAIN")
    command_line.mode = SendmailMode.RUN
    command_line.run_id, command_line.run_domain = run["id"] or "", run["domain"] or ""


def _read_mode(value: str, command_line: CommandLine) -> None:
    if value not in _MODES:
        raise usage_error(f"-b{value} is not supported: {_UNSUPPORTED_MODES.get(value, 'use -bm, -bs, -bp or -bi')}")
    command_line.mode = _MODES[value]


def _read_mode_of_delivery(value: str, command_line: CommandLine) -> None:
    # Other values select modes of delivery and of errors.
    command_line.dots |= value == "i"


def _read_sender(value: str, command_line: CommandLine) -> None:
    found = _SENDER.fullmatch(value.strip())
    address = "" if found is None else found["bracketed"] or found["bare"] or ""
    if found is None or (address and not is_sendable(address)):
        raise usage_error(f"-f {value}: not an address")
    command_line.sender = address


def _read_full_name(value: str, command_line: CommandLine) -> None:
    command_line.full_name = value


def _read_notify(value: str, command_line: CommandLine) -> None:
    if not _NOTIFY.fullmatch(value):
        raise usage_error(f"-N {value}: use never, or success, failure and delay with commas")
    command_line.notify = value.upper()


def _read_return(value: str, command_line: CommandLine) -> None:
    if value.lower() not in _RET:
        raise usage_error(f"-R {value}: use full or hdrs")
    command_line.ret = _RET[value.lower()]


def _read_envelope_id(value: str, command_line: CommandLine) -> None:
    command_line.envelope_id = _xtext(value)


def _xtext(text: str) -> str:
    """Return an envelope id as xtext (RFC 3461 section 4)."""
    octets = text.encode("utf-8", "surrogateescape").decode("latin-1")
    encoded = _NOT_XTEXT.sub(lambda match: f"+{ord(match[0]):02X}", octets)
    if len(encoded) > _MAX_ENVELOPE_ID:
        raise usage_error(f"-V: an envelope id has at most {_MAX_ENVELOPE_ID} characters")
    return encoded


_READERS: dict[str, Callable[[str, CommandLine], None]] = {
    "b": _read_mode,
    "o": _read_mode_of_delivery,
    "f": _read_sender,
    "r": _read_sender,
    "F": _read_full_name,
    "N": _read_notify,
    "R": _read_return,
    "V": _read_envelope_id,
}
