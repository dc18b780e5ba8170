"""`smtprelay queue cat|export|import`: messages as they are in the queue, and as files that another queue can take."""

import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import click

from mta.admin.operators import operator_name
from mta.admin.state import Order
from mta.cli.environment import current_environment, is_shared
from mta.cli.errors import CommandError, command_errors
from mta.cli.queue.ids import resolved
from mta.cli.results import answer, result
from mta.cli.state.opening import queue_directory, relay_state
from mta.config.readers.domains import read_mailname
from mta.config.setting import SettingsReader
from mta.message import headers, recognition
from mta.message.body import MAX_MEMORY_BODY, FileBody, MemoryBody
from mta.message.envelope import Envelope, Origin, Recipient
from mta.queue.ids import IdSource
from mta.queue.interface import Action, Description, NewMail, Query, QueueId, Status
from mta.smtp.address import Address, AddressError, parse_address

#: Octets of a message that `queue import` takes.
MAX_IMPORT = 256 * 1024 * 1024
_FROM, _TO = "Return-Path", "Envelope-To"


def content(id: str, *, header: bool) -> bytes:
    """Return a queued message as it will be sent, or its header with the blank line. Raises CommandError."""
    with relay_state() as state:
        (wanted,) = resolved(state, [id])
        octets = answer(state.content(wanted))
    if octets is None:
        raise CommandError(f"no message {id} is in the queue")
    return octets.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if header else octets


@click.command("cat")
@click.option("--headers", "header", is_flag=True, help="Print the header only.")
@click.argument("id")
def cat(header: bool, id: str) -> None:
    """Print a waiting message as it will be sent. Delivered messages are not kept."""
    click.echo(content(id, header=header), nl=False)


@click.command("export")
@click.argument("id")
def export(id: str) -> None:
    """Print a waiting message with its sender and its waiting recipients, for `queue import`.

    They are in the fields Return-Path and Envelope-To, which other programs know too.
    """
    with relay_state() as state:
        (wanted,) = resolved(state, [id])
        entries = answer(state.find(Query(ids=[wanted])))
        octets = answer(state.content(wanted))
    if octets is None or not entries:
        raise CommandError(f"no message {id} is in the queue")
    waiting = [each.address for each in entries[0].recipients if each.status is Status.WAITING]
    fields = [f"{_FROM}: <{entries[0].sender}>\r\n", *(f"{_TO}: {address}\r\n" for address in waiting)]
    click.echo("".join(fields).encode() + octets, nl=False)


@click.command("import")
@click.option("--from", "sender", help="The sender, <> for the null sender, in place of the field Return-Path.")
@click.option("--to", "recipients", multiple=True, help="A recipient, in place of Envelope-To; may be repeated.")
@click.option("--hold", is_flag=True, help="Hold the message until it is released.")
@click.argument("file", type=click.File("rb"))
def import_(sender: str | None, recipients: tuple[str, ...], hold: bool, file: BinaryIO) -> None:
    """Add a message from a file, - for standard input, to the queue, and print its id."""
    octets = file.read(MAX_IMPORT + 1)
    if len(octets) > MAX_IMPORT:
        raise CommandError(f"the message is larger than {MAX_IMPORT >> 20} MiB")
    octets = b"\r\n".join(octets.replace(b"\r\n", b"\n").split(b"\n"))
    block = octets[: headers.header_end(octets, ended=True)]
    envelope_to = recipients or [text.decode(errors="replace") for text in headers.values(block, _TO)]
    if not envelope_to:
        raise CommandError(f"the message has no recipient: give --to, or a field {_TO}")
    envelope_from = sender if sender is not None else _only(block)
    with command_errors():
        click.echo(_add(octets, block, _sender(envelope_from), [_address(text) for text in envelope_to], hold=hold))


def _only(block: bytes) -> str:
    found = headers.values(block, _FROM)
    if not found:
        raise CommandError(f"the message has no sender: give --from, or a field {_FROM}")
    return found[0].decode(errors="replace")


def _sender(text: str) -> Address | None:
    return None if text.strip() in {"", "<>"} else _address(text)


def _address(text: str) -> Address:
    try:
        return parse_address(text.strip().removeprefix("<").removesuffix(">"))
    except AddressError as error:
        raise CommandError(f"{text!r} is not an address: {error}") from None


def _add(octets: bytes, block: bytes, sender: Address | None, recipients: Sequence[Address], *, hold: bool) -> QueueId:
    """Add a message to the first queue, or to the shared one. Raises QueueError and SettingsError."""
    environ, now = current_environment(), time.time()
    name = read_mailname(SettingsReader(environ), socket.gethostname)
    found = headers.scan(block)
    envelope = Envelope(sender, tuple(map(Recipient, recipients)), Origin("", name, "local"))
    id = IdSource().new(now)
    received = headers.received_field(envelope.origin, name, id, envelope.recipients, now=now)
    content = received + headers.strip(block, found) + octets[len(block) :]
    body = MemoryBody(content)
    mail = NewMail(id, envelope, body, hold, Description(*recognition.texts(found)))
    if is_shared(environ):
        _add_to_shared(environ, mail, body, now)
        return id
    _add_to_own(environ, mail, body, now)
    if not hold:
        # The message is due already; a relay that runs looks for it at once.
        with relay_state() as state:
            answer(state.order(Order(Action.RETRY, (id,), operator_name(os.environ))))
    return id


def _add_to_own(environ: Mapping[str, str], mail: NewMail, body: MemoryBody, now: float) -> None:
    # The other commands of this module need neither SQLite nor Twisted.
    from mta.blocking import run_inline  # noqa: PLC0415
    from mta.queue.sqlite.queue import open_queue  # noqa: PLC0415

    queue = open_queue(queue_directory(environ), run=run_inline, now=now, create=False, recover=False)
    try:
        # A large body is a file.
        writer = queue.writer(mail.id)
        writer.write(body.data)
        result(queue.add(replace(mail, body=writer.finish()), now))
    finally:
        result(queue.close())


def _add_to_shared(environ: Mapping[str, str], mail: NewMail, body: MemoryBody, now: float) -> None:
    from mta.blocking import run_inline  # noqa: PLC0415
    from mta.cli.state.shared import shared_server  # noqa: PLC0415
    from mta.queue.postgres.operators_queue import OperatorsQueue  # noqa: PLC0415

    queue = OperatorsQueue(shared_server(environ), run_inline)
    try:
        if body.size <= MAX_MEMORY_BODY:
            result(queue.add_due(mail, now))
            return
        with TemporaryDirectory(prefix="smtprelay-") as folder:
            path = Path(folder) / mail.id
            path.write_bytes(body.data)
            result(queue.add_due(replace(mail, body=FileBody(path, body.size)), now))
    except OSError as error:
        raise CommandError(f"a large message needs a temporary file: {error}") from error
    finally:
        result(queue.close())


COMMANDS = (cat, export, import_)
