"""The command `smtprelay explain`."""

import json
import re
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import click
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mta.cli.environment import current_environment, env_file_option
from mta.cli.errors import CommandError, command_errors
from mta.cli.explain.acl_stage import decide_acl
from mta.cli.explain.parts import DecidingParts, Sources, deciding_parts
from mta.cli.explain.render import as_lines, as_object
from mta.cli.explain.retry_stage import decide_retry
from mta.cli.explain.rewrite_stage import decide_rewrite
from mta.cli.explain.route_stage import decide_route
from mta.cli.explain.transport_stage import asks_for_unknown_hosts, decide_transport
from mta.cli.explain.trust import Lookups
from mta.cli.explain.values import Explanation, MailVerdict, Question
from mta.config.settings import Settings, read_settings
from mta.config.sources.exim import read_size
from mta.daemon.parts.lookups import trust_lookup
from mta.dns.answers import Resolver
from mta.dns.resolver import make_resolver
from mta.inbound.networks import client_address
from mta.rules.conditions import HeaderCondition, OverCondition, SizeCondition
from mta.users.users import Users
from mta.users.users_file import User

#: Makes the decisions with a resolver.
Work = Callable[[Resolver], Coroutine[Any, Any, Explanation]]
#: Runs such work with a resolver of these settings.
Runner = Callable[[Settings, Work], Explanation]

# RFC 5322 section 2.2, on one line.
_FIELD = re.compile(r"[!-9;-~]+:[^\r\n]*")


class MistakeError(CommandError):
    """The settings, the rules or the arguments are wrong."""

    exit_code = 2


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
@click.option("--from", "sender", required=True, metavar="ADDRESS", help="The sender of the envelope; <> for none.")
@click.option(
    "--to", "recipients", required=True, multiple=True, metavar="ADDRESS", help="A recipient; may be repeated."
)
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
def explain(dns: bool, as_json: bool, **described: Any) -> None:
    """Explain the decisions on a message.

    No message is sent. The exit status is 0 if the mail would go on, 1 if it would be refused or returned for a
    recipient, and 2 for a mistake in the settings, the rules or the arguments.
    """
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
    sources = Sources(settings.rules, _user(settings, question.login))

    async def decide() -> Explanation:
        return await _decide(question, deciding_parts(settings, sources, _warn))

    async def look_up_and_decide(resolver: Resolver) -> Explanation:
        names = (*settings.trusted.names, *(settings.rules.host_names if settings.rules else ()))
        lookups = await _look_up(resolver, dict.fromkeys(names))
        found = replace(sources, resolver=resolver, lookups=lookups)
        return await _decide(question, deciding_parts(settings, found, _warn))

    if not dns:
        return _at_once(Deferred.fromCoroutine(decide()))
    runner: Runner = click.get_current_context().obj or run_in_reactor
    return runner(settings, look_up_and_decide)


async def _decide(question: Question, relay: DecidingParts) -> Explanation:
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


async def _look_up(resolver: Resolver, names: Iterable[str]) -> Lookups:
    """Return the addresses of host names, without those whose look-up failed."""
    look_up = trust_lookup(resolver)
    found = {name: (await look_up(name)) for name in names}
    return {name: each.found for name, each in found.items() if each.found is not None}


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


def _user(settings: Settings, login: str) -> User | None:
    """Return the user of a login, None without a login. Raises CommandError if there is no such user."""
    if not login:
        return None
    users = Users(text=settings.auth_users, mailname=settings.mailname, notice=_warn) if settings.auth_users else None
    found = None if users is None else users.find(login)
    if found is None:
        raise CommandError(f"there is no user {login} in {settings.auth_users_file or 'AUTH_USERS'}")
    return found


def _warn(line: str) -> None:
    click.echo(f"notice: {line}", err=True)


def run_in_reactor(settings: Settings, work: Work) -> Explanation:
    """Run work in the reactor, which can run once in a process."""
    from twisted.internet import reactor as chosen  # noqa: PLC0415

    reactor: Any = chosen
    results: list[Explanation | Failure] = []

    def begin() -> None:
        resolver = make_resolver(reactor, settings.dns_servers or None, notice=_warn)
        Deferred.fromCoroutine(work(resolver)).addBoth(results.append).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    return _only(results)


def _at_once(work: "Deferred[Explanation]") -> Explanation:
    """Return the result of work that looks nothing up, so that it does not wait."""
    results: list[Explanation | Failure] = []
    work.addBoth(results.append)
    return _only(results)


def _only(results: list[Explanation | Failure]) -> Explanation:
    if not results:
        # Interrupted from the terminal.
        raise click.Abort
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    assert isinstance(result, Explanation)
    return result
