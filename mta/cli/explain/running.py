"""Runs the work of `smtprelay explain`: at once without look-ups, or in the reactor with a resolver."""

import json
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Protocol, TypeVar

import click
from twisted.internet.defer import Deferred

from mta.admin.state import RelayState
from mta.blocking import run_inline
from mta.cli.environment import current_environment
from mta.cli.errors import CommandError
from mta.cli.results import answer, result, run_in_reactor
from mta.cli.state.opening import relay_state
from mta.config.setting import SettingsError
from mta.config.settings import Settings, read_settings
from mta.dns.answers import Resolver
from mta.dns.resolver import make_resolver
from mta.explain.demands.facts import DemandSource
from mta.explain.present import PresentRelay

T = TypeVar("T")
PageT_co = TypeVar("PageT_co", covariant=True)


class Work(Protocol):
    """Makes decisions."""

    def __call__(self, resolver: Resolver, demands: DemandSource | None = None, /) -> Coroutine[Any, Any, Any]:
        """Return the result of the decisions with a resolver, and with the demands on MX hosts if they are given."""


#: Runs such work with a resolver of these settings.
Runner = Callable[[Settings, Work], Any]


class MistakeError(CommandError):
    """The settings, the rules or the arguments are wrong."""

    exit_code = 2


class Explain(Protocol[PageT_co]):
    """Explains a subject by the relay and the present settings; without settings, `mistakes` tells why."""

    def __call__(
        self, state: RelayState, present: PresentRelay | None, now: float, *, mistakes: tuple[str, ...] = ()
    ) -> Coroutine[Any, Any, PageT_co]:
        """Return the page about the subject at a time, wall-clock seconds."""


def page_of_command(explain: Explain[T], *, dns: bool) -> T:
    """Return the page of the current command. If its settings have mistakes, the page is made without them."""
    environ, now = current_environment(), time.time()
    with relay_state() as state:
        try:
            settings = read_settings(environ)
        except SettingsError as error:
            return answer(explain(state, None, now, mistakes=tuple(error.mistakes)))
        return explained(settings, lambda present: explain(state, present, now), dns=dns)


def print_page(lines: Iterable[str], page_object: Mapping[str, object], *, as_json: bool) -> None:
    """Print a page as its lines or as JSON."""
    if as_json:
        click.echo(json.dumps(page_object, indent=1))
        return
    for line in lines:
        click.echo(line)


def explained(settings: Settings, explain: Callable[[PresentRelay], Coroutine[Any, Any, T]], *, dns: bool) -> T:
    """Return the result of an explanation by the relay of these settings, with look-ups if `dns`."""

    def with_resolver(resolver: Resolver | None, demands: DemandSource | None = None) -> Coroutine[Any, Any, T]:
        return explain(PresentRelay(settings, settings.rules, resolver, notice=warn, demands=demands))

    if not dns:
        return result(Deferred.fromCoroutine(with_resolver(None)))
    runner: Runner = click.get_current_context().obj or run_with_resolver
    found: T = runner(settings, with_resolver)
    return found


def warn(line: str) -> None:
    """Print a notice."""
    click.echo(f"notice: {line}", err=True)


def run_with_resolver(settings: Settings, work: Work) -> Any:
    """Run work in the reactor with a resolver of these settings, and the demands on MX hosts unless all are off."""

    async def running(reactor: Any) -> Any:
        resolver = make_resolver(reactor, settings.dns_servers or None, notice=warn)
        if not settings.secure_delivery.used:
            return await work(resolver)
        # Imported if needed, because the HTTP client of Twisted is large.
        from mta.daemon.secure.shown_demands import ShownDemands  # noqa: PLC0415

        demands = ShownDemands(settings, reactor, resolver, run_inline)
        try:
            return await work(resolver, demands)
        finally:
            demands.close()

    return run_in_reactor(running)
