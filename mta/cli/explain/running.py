"""Runs the work of `smtprelay explain`: at once without look-ups, or in the reactor with a resolver."""

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any, TypeVar

import click
from twisted.internet.defer import Deferred

from mta.cli.errors import CommandError
from mta.cli.explain.parts import DecidingParts, Sources, deciding_parts
from mta.cli.explain.trust import Lookups
from mta.cli.results import result, run_in_reactor
from mta.config.settings import Settings
from mta.daemon.parts.lookups import trust_lookup
from mta.dns.answers import Resolver
from mta.dns.resolver import make_resolver
from mta.users.users import Users
from mta.users.users_file import User

T = TypeVar("T")

#: Makes decisions with a resolver.
Work = Callable[[Resolver], Coroutine[Any, Any, Any]]
#: Runs such work with a resolver of these settings.
Runner = Callable[[Settings, Work], Any]


class MistakeError(CommandError):
    """The settings, the rules or the arguments are wrong."""

    exit_code = 2


def decided(
    settings: Settings, login: User | None, decide: Callable[[DecidingParts], Coroutine[Any, Any, T]], *, dns: bool
) -> T:
    """Return the result of decisions made with the deciding parts of these settings, with look-ups if `dns`."""
    sources = Sources(settings.rules, login)

    async def look_up_and_decide(resolver: Resolver) -> T:
        names = (*settings.trusted.names, *(settings.rules.host_names if settings.rules else ()))
        lookups = await _look_up(resolver, dict.fromkeys(names))
        return await decide(deciding_parts(settings, replace(sources, resolver=resolver, lookups=lookups), warn))

    if not dns:
        return result(Deferred.fromCoroutine(decide(deciding_parts(settings, sources, warn))))
    runner: Runner = click.get_current_context().obj or run_with_resolver
    found: T = runner(settings, look_up_and_decide)
    return found


async def _look_up(resolver: Resolver, names: Iterable[str]) -> Lookups:
    """Return the addresses of host names, without those whose look-up failed."""
    look_up = trust_lookup(resolver)
    found = {name: (await look_up(name)) for name in names}
    return {name: each.found for name, each in found.items() if each.found is not None}


def user_of(settings: Settings, login: str) -> User | None:
    """Return the user of a login, None without a login. Raises CommandError if there is no such user."""
    if not login:
        return None
    users = Users(text=settings.auth_users, mailname=settings.mailname, notice=warn) if settings.auth_users else None
    found = None if users is None else users.find(login)
    if found is None:
        raise CommandError(f"there is no user {login} in {settings.auth_users_file or 'AUTH_USERS'}")
    return found


def warn(line: str) -> None:
    """Print a notice."""
    click.echo(f"notice: {line}", err=True)


def run_with_resolver(settings: Settings, work: Work) -> Any:
    """Run work in the reactor with a resolver of these settings."""
    return run_in_reactor(lambda reactor: work(make_resolver(reactor, settings.dns_servers or None, notice=warn)))
