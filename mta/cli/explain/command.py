"""The command `smtprelay explain`."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from mta.cli.environment import current_environment, env_file_option
from mta.cli.errors import CommandError, command_errors
from mta.cli.explain.destination.command import is_destination, print_destination
from mta.cli.explain.message.command import print_message
from mta.cli.explain.render import as_lines
from mta.cli.explain.running import MistakeError, explained
from mta.config.settings import Settings, read_settings
from mta.config.sources.exim import read_size
from mta.explain.mail import decide
from mta.explain.objects import explanation_object
from mta.explain.present import PresentRelay, UnknownUser
from mta.explain.values import Explanation, Question
from mta.inbound.networks import client_address

# RFC 5322 section 2.2, on one line.
_DESCRIBING = {"sender", "recipients", "client", "login", "helo", "tls", "requiretls", "header", "size"}
_FIELD = re.compile(r"[!-9;-~]+:[^\r\n]*")


def _client(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
    address = client_address(text)
    if address is None:
        raise click.BadParameter(f"{text!r} is not an IP address")
    return str(address)


def _size(_context: click.Context, _parameter: click.Parameter, text: str | None) -> int:
    try:
        return 0 if text is None else read_size(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _header(_context: click.Context, _parameter: click.Parameter, fields: tuple[str, ...]) -> bytes:
    """Return the header block of fields, each of which is one line here."""
    for field in fields:
        if not _FIELD.fullmatch(field):
            raise click.BadParameter(f"{field!r} is not a field such as 'Subject: words'")
    return "".join(f"{field}\r\n" for field in fields).encode("utf-8", "surrogateescape")


@click.command("explain")
@env_file_option
@click.option("--from", "sender", metavar="ADDRESS", help="The sender of the envelope; <> for none.")
@click.option("--to", "recipients", multiple=True, metavar="ADDRESS", help="A recipient; may be repeated.")
@click.option("--client", default="127.0.0.1", show_default=True, metavar="IP", callback=_client, help="The client.")
@click.option("--login", default="", metavar="USER", help="The user that has logged in.")
@click.option("--helo", default="", metavar="NAME", help="The name that the client gives in EHLO.")
@click.option("--tls", is_flag=True, help="The session is encrypted.")
@click.option("--requiretls", is_flag=True, help="The client demands REQUIRETLS (RFC 8689), which takes --tls.")
@click.option(
    "--header", multiple=True, metavar="FIELD", callback=_header, help="A field, 'Subject: words'. Repeatable."
)
@click.option("--size", metavar="SIZE", callback=_size, help="The size that the client announces, such as 20M.")
@click.option("--dns", is_flag=True, help="Look names up in the DNS.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("id", required=False, metavar="[ID|DESTINATION]")
def explain(id: str | None, dns: bool, as_json: bool, **described: Any) -> None:
    """Explain a message, a destination, or mail that is described.

    An ID names a message of the queue or its history, and may be shortened while it is unique. A DESTINATION is a
    domain, an address of it, a host, or a smarthost by its name; its names are looked up. --from and --to describe
    another message. Nothing is sent or changed. The exit status is 0. For a message that is described it is 1 if the
    mail would be refused or returned for a recipient, and in any case 2 for a mistake in the settings, the rules or the
    arguments.
    """
    if id is not None:
        _check_alone(click.get_current_context())
        if is_destination(id):
            print_destination(id, as_json=as_json)
        else:
            print_message(id, dns=dns, as_json=as_json)
        return
    if described["sender"] is None or not described["recipients"]:
        raise click.UsageError("give the ID of a message or a DESTINATION, or describe a message by --from and --to")
    question = Question(**described)
    with _mistakes():
        settings = read_settings(current_environment())
        explanation = _explained(settings, question, dns=dns)
    if as_json:
        click.echo(json.dumps(explanation_object(explanation), indent=1))
    else:
        for line in as_lines(explanation):
            click.echo(line)
    raise click.exceptions.Exit(0 if explanation.goes_on else 1)


def _check_alone(context: click.Context) -> None:
    """Raise UsageError if a message is described besides its id."""
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
        if given and name in _DESCRIBING:
            raise click.UsageError(f"{parameter.opts[0]} describes a message, so no ID fits with it")


@contextmanager
def _mistakes() -> Iterator[None]:
    """Turn errors of settings, rules and files into a CommandError with the exit status of a mistake."""
    try:
        with command_errors():
            yield
    except CommandError as error:
        raise MistakeError(*error.message.splitlines()) from None


def _explained(settings: Settings, question: Question, *, dns: bool) -> Explanation:
    """Return the decisions on a message. Raises CommandError if there is no such user."""

    async def explain(relay: PresentRelay) -> Explanation:
        return await decide(question, await relay.parts(question.login))

    try:
        return explained(settings, explain, dns=dns)
    except UnknownUser as error:
        raise CommandError(str(error)) from None
