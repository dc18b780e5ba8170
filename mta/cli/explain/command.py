"""The command `smtprelay explain`."""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from mta.cli.environment import current_environment, env_file_option
from mta.cli.errors import CommandError, command_errors
from mta.cli.explain.acl_stage import decide_acl
from mta.cli.explain.message.command import explain_message
from mta.cli.explain.parts import DecidingParts
from mta.cli.explain.render import as_lines, as_object
from mta.cli.explain.retry_stage import decide_retry
from mta.cli.explain.rewrite_stage import decide_rewrite
from mta.cli.explain.route_stage import decide_route
from mta.cli.explain.running import MistakeError, decided, user_of
from mta.cli.explain.transport_stage import asks_for_unknown_hosts, decide_transport
from mta.cli.explain.values import Explanation, MailVerdict, Question
from mta.config.settings import Settings, read_settings
from mta.config.sources.exim import read_size
from mta.inbound.networks import client_address
from mta.rules.conditions import HeaderCondition, OverCondition, SizeCondition

# RFC 5322 section 2.2, on one line.
_DESCRIBING = {"sender", "recipients", "client", "login", "helo", "tls", "header", "size"}
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
@click.option(
    "--header", multiple=True, metavar="FIELD", callback=_header, help="A field, 'Subject: words'. Repeatable."
)
@click.option("--size", metavar="SIZE", callback=_size, help="The size that the client announces, such as 20M.")
@click.option("--dns", is_flag=True, help="Look names up in the DNS.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("id", required=False)
def explain(id: str | None, dns: bool, as_json: bool, **described: Any) -> None:
    """Explain a message by its ID, or one that is only described.

    An ID names a message of the queue or its history, and may be shortened while it is unique; --from and --to describe
    another message. Nothing is sent or changed. The exit status is 0. For a message that is described it is 1 if the
    mail would be refused or returned for a recipient, and in any case 2 for a mistake in the settings, the rules or the
    arguments.
    """
    if id is not None:
        _check_alone(click.get_current_context())
        explain_message(id, dns=dns, as_json=as_json)
        return
    if described["sender"] is None or not described["recipients"]:
        raise click.UsageError("give the ID of a message, or describe one by --from and --to")
    question = Question(**described)
    with _mistakes():
        settings = read_settings(current_environment())
        explanation = _explained(settings, question, dns=dns)
    if as_json:
        click.echo(json.dumps(as_object(explanation), indent=1))
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
    user = user_of(settings, question.login)
    return decided(settings, user, lambda relay: decide(question, relay), dns=dns)


async def decide(question: Question, relay: DecidingParts) -> Explanation:
    """Return the decisions on a message by the parts of a relay."""
    acl, rewritten = decide_rewrite(await decide_acl(question, relay), relay.book)
    envelope = acl.envelope
    addresses = [each.address for each in envelope.recipients] if envelope else []
    routes = [await decide_route(address, envelope, relay) for address in addresses] if envelope else []
    carried = [decide_transport(*each, relay) for each in zip(addresses, routes, strict=True)]
    hints = [*_hold_hint(acl.decisions), *_hints(question, relay)]
    if asks_for_unknown_hosts(routes, relay):
        hints.append("[[transport]] rules ask for host, and MX hosts are not looked up; --dns looks them up")
    return Explanation(
        acl.decisions,
        rewritten,
        tuple(routes),
        tuple(each for each in carried if each is not None),
        decide_retry(acl, relay),
        tuple(hints),
    )


def _hold_hint(decisions: Iterable[MailVerdict]) -> Iterator[str]:
    """Yield a remark if a rule holds the message because of some of its recipients, which concerns all of them."""
    decisions = list(decisions)
    held = [each for each in decisions if each.held and each.recipient]
    others = [each for each in decisions if each.recipient and each.reply is None and not each.held]
    if held and others and not any(each.reply is not None and not each.recipient for each in decisions):
        yield f"{held[0].rule} holds the whole message, so it waits for all its recipients"


def _hints(question: Question, relay: DecidingParts) -> Iterator[str]:
    """Yield remarks about facts that decide and are not known."""
    if not relay.dns and not question.login and relay.trust(question.client).verdict is None:
        yield "a host name in RELAY_NETWORKS decides; --dns looks it up"
    if relay.book is None:
        return
    if relay.book.host_names and not relay.dns:
        yield f"rules ask for the addresses of {', '.join(relay.book.host_names)}; --dns looks them up"
    conditions = [each for rule in relay.book.rules for each in rule.all_conditions]
    fields = dict.fromkeys(each.key for each in conditions if isinstance(each, HeaderCondition))
    if fields and not question.header:
        yield f"rules ask for {', '.join(fields)}, and the message has no header; give it by --header"
    if any(isinstance(each, OverCondition) for each in conditions):
        yield "rules limit rates (over), and here no mail was sent before; the running relay counts"
    if any(isinstance(each, SizeCondition) for each in conditions) and not question.size:
        yield "rules ask for larger, and the message has no size; give it by --size"
