"""`smtprelay test-mail`: sends one message through the running relay, and follows it to its end."""

import re
import smtplib
import time
from collections.abc import Iterator, Mapping
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, localtime, make_msgid
from threading import Event

import click

from mta.cli.doctor.following import end_of, next_attempt, progress
from mta.cli.environment import current_environment, relay_address
from mta.cli.errors import CommandError, command_errors
from mta.cli.exim.submission import RelayClient, RelayPort
from mta.cli.results import answer
from mta.cli.state.opening import relay_state
from mta.config.setting import SettingsReader
from mta.config.settings import Settings, read_settings
from mta.queue.interface import Entry, Query, QueueId
from mta.smtp.address import AddressError, parse_address

# Seconds between two looks at the queue.
_INTERVAL = 0.25
_QUEUED = re.compile(rb"queued as ([0-9A-Za-z]+)")


def _address(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    try:
        return None if text is None else str(parse_address(text))
    except AddressError as error:
        raise click.BadParameter(str(error)) from None


@click.command("test-mail")
@click.argument("recipient", metavar="TO", callback=_address)
@click.option("--from", "sender", callback=_address, help="The sender. [default: postmaster@MAILNAME]")
@click.option(
    "--wait", "patience", type=click.IntRange(1, 86400), default=300, show_default=True, help="Seconds to follow it."
)
def test_mail(recipient: str, sender: str | None, patience: int) -> None:
    """Send a test message, and follow it to its end.

    The message goes through the running relay, as any other. The exit status is 0 if it was delivered, 1 if it failed
    or was refused, and 2 if it still waits at the end of --wait, with the reason.
    """
    with command_errors():
        environ = current_environment()
        settings = read_settings(environ)
    sender = sender or f"postmaster@{settings.mailname}"
    id = _submit(settings, environ, sender, message(sender, recipient, settings.mailname))
    click.echo(f"{id} accepted from {sender} for {recipient}")
    status = _follow(id, patience)
    raise click.exceptions.Exit(status)


def message(sender: str, recipient: str, name: str) -> EmailMessage:
    """Return the test message of the relay with this name."""
    mail = EmailMessage(SMTP)
    mail["From"], mail["To"] = sender, recipient
    mail["Subject"] = f"Test of the mail relay {name}"
    mail["Date"], mail["Message-ID"] = format_datetime(localtime()), make_msgid(domain=name)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(
        f"This is a test message of the mail relay {name}, sent by its operator.\n"
        "Its header shows the way that it took, and the results of SPF, DKIM and DMARC.\n"
    )
    return mail


def _submit(settings: Settings, environ: Mapping[str, str], sender: str, mail: EmailMessage) -> QueueId:
    """Hand a message to the relay by SMTP; return its id. Raises CommandError."""
    host, port = relay_address(SettingsReader(environ))
    recipient = str(mail["To"])
    try:
        with RelayClient(RelayPort(host, port, settings.proxy_networks)) as client:
            client.ehlo_or_helo_if_needed()
            for code, text in _commands(client, sender, recipient):
                if code >= 400:  # noqa: PLR2004  a refusal
                    raise CommandError(f"refused: {code} {text.decode('utf-8', 'replace')}")
            code, text = client.data(mail.as_bytes())
    except smtplib.SMTPResponseException as error:
        words = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        raise CommandError(f"refused: {error.smtp_code} {words}") from None
    except (OSError, smtplib.SMTPException) as error:
        raise CommandError(f"the relay on port {port} cannot be reached: {error}") from None
    found = _QUEUED.search(text)
    if found is None:
        raise CommandError(f"refused: {code} {text.decode('utf-8', 'replace')}")
    return QueueId(found[1].decode())


def _commands(client: smtplib.SMTP, sender: str, recipient: str) -> Iterator[tuple[int, bytes]]:
    """Send the commands before the data, and yield the reply to each."""
    utf8 = [] if f"{sender}{recipient}".isascii() else ["SMTPUTF8"]
    yield client.mail(sender, utf8)
    yield client.rcpt(recipient)


def _follow(id: QueueId, patience: float) -> int:
    """Print the progress of a message until it is finished or the time is over; return the exit status."""
    told: list[str] = []
    pause, end = Event(), time.monotonic() + patience
    while True:
        entry = _find(id)
        if entry is not None:
            lines = list(progress(entry))
            for line in lines[len(told) :]:
                click.echo(line)
            told = lines
            status = end_of(entry)
            if status is not None:
                return status
        if time.monotonic() >= end:
            break
        pause.wait(_INTERVAL)
    due = "" if entry is None else next_attempt(entry)
    when = f", next attempt at {due}" if due else ""
    with relay_state() as state:
        reason = answer(state.waits_for(id))
    click.echo(f"{id} still waits{reason and f': {reason}'}{when}; `smtprelay explain {id}` tells more")
    return 2


def _find(id: QueueId) -> Entry | None:
    with relay_state() as state:
        found = answer(state.find(Query(ids=(id,), finished=True, details=True)))
    return found[0] if found else None
