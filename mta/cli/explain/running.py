"""Runs the work of `smtprelay explain`: at once without look-ups, or in the reactor with a resolver."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click
from twisted.internet.defer import Deferred

from mta.cli.errors import CommandError
from mta.cli.results import result, run_in_reactor
from mta.config.settings import Settings
from mta.dns.answers import Resolver
from mta.dns.resolver import make_resolver
from mta.explain.present import PresentRelay

T = TypeVar("T")

#: Makes decisions with a resolver.
Work = Callable[[Resolver], Coroutine[Any, Any, Any]]
#: Runs such work with a resolver of these settings.
Runner = Callable[[Settings, Work], Any]


class MistakeError(CommandError):
    """The settings, the rules or the arguments are wrong."""

    exit_code = 2


def explained(settings: Settings, explain: Callable[[PresentRelay], Coroutine[Any, Any, T]], *, dns: bool) -> T:
    """Return the result of an explanation by the relay of these settings, with look-ups if `dns`."""

    def with_resolver(resolver: Resolver | None) -> Coroutine[Any, Any, T]:
        return explain(PresentRelay(settings, settings.rules, resolver, notice=warn))

    if not dns:
        return result(Deferred.fromCoroutine(with_resolver(None)))
    runner: Runner = click.get_current_context().obj or run_with_resolver
    found: T = runner(settings, with_resolver)
    return found


def warn(line: str) -> None:
    """Print a notice."""
    click.echo(f"notice: {line}", err=True)


def run_with_resolver(settings: Settings, work: Work) -> Any:
    """Run work in the reactor with a resolver of these settings."""
    return run_in_reactor(lambda reactor: work(make_resolver(reactor, settings.dns_servers or None, notice=warn)))
