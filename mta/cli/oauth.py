"""`smtprelay oauth`: gets a refresh token for Microsoft 365 or Gmail, on a host with or without a browser.

Secrets come from the settings or a prompt and are never an argument, because other users of the host can read the
arguments. The token itself is printed on standard output alone, or written to a file.
"""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from twisted.internet.interfaces import IReactorTime

from mta.blocking import fsync_path
from mta.cli.environment import current_environment
from mta.cli.errors import CommandError, command_errors
from mta.cli.results import run_in_reactor
from mta.config import table
from mta.config.setting import FILE_SUFFIX, MASK, Setting, SettingsReader
from mta.dns.resolver import make_resolver
from mta.https.client import HttpsClient, HttpsOptions
from mta.https.interface import HttpsRequester
from mta.oauth.authorize import (
    REDIRECT_URL,
    AuthorizeError,
    Consent,
    DeviceClient,
    DeviceCode,
    authorize_device,
    exchange_code,
)
from mta.oauth.providers import CLOUDS, Cloud

Command = TypeVar("Command", bound=Callable[..., Any])
#: A conversation with a provider that ends with a refresh token, or raises AuthorizeError.
Conversation = Callable[[HttpsRequester, IReactorTime], Awaitable[str]]
#: Runs a conversation to its end.
Runner = Callable[[SettingsReader, Conversation], str]


@click.group()
def oauth() -> None:
    """Get a refresh token for the login at a smarthost."""


def _write_option(command: Command) -> Command:
    return click.option(
        "--write",
        "path",
        type=click.Path(path_type=Path),
        help="Write the token to a file that only its owner can read, in place of printing it.",
    )(command)


@oauth.command("o365")
@click.option("--tenant", help=f"The tenant's id or domain. [default: {table.O365_TENANT.name}]")
@click.option("--client-id", help=f"The id of the application. [default: {table.O365_CLIENT_ID.name}]")
@click.option("--cloud", type=click.Choice([each.value for each in Cloud]), help="The cloud of the tenant.")
@_write_option
def o365(tenant: str | None, client_id: str | None, cloud: str | None, path: Path | None) -> None:
    """Get one from Microsoft 365: enter a code in any browser.

    Log in there as the mailbox that is to send. The application must allow public client flows.
    """
    reader = _reader()
    _check_place(path)
    hosts = CLOUDS[Cloud(cloud or reader.get(table.O365_CLOUD))]
    tenant = tenant or _needed(reader, table.O365_TENANT, "--tenant")
    client_id = client_id or _needed(reader, table.O365_CLIENT_ID, "--client-id")
    secret = _text(reader, table.O365_CLIENT_SECRET)
    _check(reader)
    try:
        urls = hosts.device_url(tenant), hosts.token_url(tenant)
    except ValueError as error:
        raise CommandError(str(error)) from None
    client = DeviceClient(*urls, client_id, secret, hosts.user_scope)
    token = _run(reader, lambda https, clock: authorize_device(https, clock, client, _show))
    _give_out(token, table.O365_REFRESH_TOKEN, path)


@oauth.command("gmail")
@_write_option
def gmail(path: Path | None) -> None:
    """Get one from Gmail: open an address, and paste the address at which the browser ends."""
    reader = _reader()
    _check_place(path)
    client_id = _text(reader, table.GMAIL_CLIENT_ID) or click.prompt("The client id", err=True)
    secret = _text(reader, table.GMAIL_CLIENT_SECRET) or click.prompt("The client secret", hide_input=True, err=True)
    _check(reader)
    consent = Consent(client_id.strip(), secret.strip(), _text(reader, table.GMAIL_USER))
    _tell(
        "Open this address in any browser, log in as the account that is to send, and agree:", "", consent.address, ""
    )
    _tell(
        f"The browser then cannot open an address that begins with {REDIRECT_URL}?: copy it from the browser's address"
        " bar."
    )
    pasted = click.prompt("The address", err=True)
    try:
        code = consent.code(pasted)
    except AuthorizeError as error:
        raise CommandError(str(error)) from None
    token = _run(reader, lambda https, _: exchange_code(https, consent, code))
    _give_out(token, table.GMAIL_REFRESH_TOKEN, path)


def _reader() -> SettingsReader:
    with command_errors():
        return SettingsReader(current_environment())


def _text(reader: SettingsReader, setting: Setting[str]) -> str:
    """Return a setting, or "" if it is unset or if a running relay has published it without its secret."""
    text = reader.get(setting)
    return "" if text == MASK else text


def _needed(reader: SettingsReader, setting: Setting[Any], option: str) -> str:
    text: str | None = reader.get(setting)
    if not text and not reader.is_mistaken(setting):
        raise CommandError(f"{setting.name} is not set: set it, or give {option}")
    return text or ""


def _check(reader: SettingsReader) -> None:
    with command_errors():
        reader.check()


def _show(code: DeviceCode) -> None:
    _tell(
        f"Open {code.address} in any browser, enter the code {code.user_code}, and log in as the mailbox that is to"
        " send.",
        f"The code is valid for {code.life / 60:.0f} minutes.",
    )


def _tell(*lines: str) -> None:
    for line in lines:
        click.echo(line, err=True)


def _run(reader: SettingsReader, conversation: Conversation) -> str:
    """Return the token of a conversation. The context of a test has another runner."""
    runner: Runner = click.get_current_context().obj or run_with_https
    try:
        return runner(reader, conversation)
    except AuthorizeError as error:
        raise CommandError(str(error)) from None


def run_with_https(reader: SettingsReader, conversation: Conversation) -> str:
    """Run a conversation in the reactor with a client of these settings. Raises AuthorizeError."""

    async def converse(reactor: Any) -> str:
        resolver = make_resolver(reactor, reader.get(table.DNS_SERVERS) or None)
        https = HttpsClient(reactor, resolver, HttpsOptions(ipv6=not reader.get(table.DISABLE_IPV6)))
        return await conversation(https, reactor)

    return run_in_reactor(converse)


def _give_out(token: str, setting: Setting[str], path: Path | None) -> None:
    if path is None:
        _tell("This is the refresh token. Keep it as secret as a password.")
        click.echo(f"{setting.name}={token}")
        return
    _write(path, token)
    _tell("The refresh token is in this file, which only its owner can read. The relay must be able to.")
    click.echo(f"{setting.name}{FILE_SUFFIX}={path}")


def _check_place(path: Path | None) -> None:
    """Raise CommandError if a file cannot be written, before there is a token that would be lost."""
    if path is not None and (path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK)):
        raise CommandError(f"{path} cannot be written: name a file in a folder that exists and that you may write to")


def _write(path: Path, token: str) -> None:
    """Replace a file by one that only its owner can read."""
    new = path.with_name(f"{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{token}\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        fsync_path(path.parent)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}; run the command again") from None
