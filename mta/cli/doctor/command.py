"""`smtprelay doctor`: checks whether mail can arrive, and sends no mail."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import click

from mta.admin.doctor_file import keep_run
from mta.admin.state import DoctorRun
from mta.admin.wire.findings import run_object
from mta.cli.doctor.domain_facts import check_domains, signing_domains
from mta.cli.doctor.relay_facts import relay_facts
from mta.cli.doctor.remote import RemoteTrials, Runner, only_by_smarthost, remote_trials, smarthosts_of
from mta.cli.doctor.render import as_lines
from mta.cli.environment import current_environment
from mta.cli.errors import command_errors
from mta.cli.results import run_in_reactor
from mta.config.settings import Settings, read_settings
from mta.doctor.block_lists import USUAL_LISTS, BlockListFacts, check_block_lists
from mta.doctor.drivers.dns_questions import DnsQuestions, system_servers
from mta.doctor.drivers.host_facts import host_facts
from mta.doctor.drivers.name_server_facts import name_server_facts, search_list
from mta.doctor.drivers.outgoing import outgoing_addresses, split_public
from mta.doctor.findings import Finding, exit_status, failure, skipped
from mta.doctor.host import check_host
from mta.doctor.identity import IdentityFacts, check_identity
from mta.doctor.lookups import is_address
from mta.doctor.name_servers import check_name_servers
from mta.doctor.published_records import check_destination, check_own_domain
from mta.doctor.relay import check_relay
from mta.doctor.remote_hosts import check_mx_hosts, check_smarthosts
from mta.queue.interface import QueueError
from mta.smtp.address import AddressError, parse_domain

_THREADS = 16
#: Domains of one run.
MAX_DOMAINS = 20


def _domains(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    if len(texts) > MAX_DOMAINS:
        raise click.BadParameter(f"at most {MAX_DOMAINS} domains can be checked at once")
    try:
        return tuple(dict.fromkeys(parse_domain(text) for text in texts))
    except AddressError as error:
        raise click.BadParameter(str(error)) from None


def _addresses(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        if not is_address(text):
            raise click.BadParameter(f"{text!r} is not an IP address")
    return texts


def _lists(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    return () if texts == ("none",) else _domains(_context, _parameter, texts) or USUAL_LISTS


@dataclass(frozen=True, slots=True)
class DoctorRequest:
    """The arguments of the command."""

    domains: tuple[str, ...]
    destinations: tuple[str, ...]
    addresses: tuple[str, ...]
    lists: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """The relay and the domains to check."""

    settings: Settings
    environ: Mapping[str, str]
    #: The public addresses from which mail leaves, and those that the network translates.
    addresses: tuple[str, ...]
    private: tuple[str, ...]


@click.command()
@click.argument("domains", nargs=-1, metavar="[DOMAIN]...", callback=_domains)
@click.option("--to", "destinations", multiple=True, callback=_domains, help="A domain whose MX hosts are tried.")
@click.option(
    "--address", "addresses", multiple=True, callback=_addresses, help="A public address that mail leaves from."
)
@click.option(
    "--block-list",
    "lists",
    multiple=True,
    callback=_lists,
    help=f"A DNS block list to ask about the addresses, or none. [default: {', '.join(USUAL_LISTS)}]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool, **asked: tuple[str, ...]) -> None:
    """Check whether mail can arrive, and send no mail.

    DOMAINs are those of senders. Each line is ok, a warning, a failure, or skipped; below it stand the remedy and DNS
    records to add. The exit status is 0, 1 if there are warnings, and 2 for failures or mistakes in the settings. The
    findings are kept in QUEUE_DIR for the operator's page.
    """
    settings, findings = _findings(DoctorRequest(**asked))
    run = DoctorRun(time.time(), tuple(findings))
    if settings is not None:
        keep_run(settings.queue_dir, run)
    if as_json:
        click.echo(json.dumps(run_object(run), indent=1))
    else:
        for line in as_lines(findings):
            click.echo(line)
    raise click.exceptions.Exit(exit_status(findings))


def _findings(asked: DoctorRequest) -> tuple[Settings | None, list[Finding]]:
    """Return the settings, unless they have mistakes, and the findings."""
    try:
        with command_errors():
            environ = current_environment()
            settings = read_settings(environ)
    except click.ClickException as error:
        return None, [failure("relay/settings", line, "correct it") for line in error.message.splitlines()]
    public, private = split_public(outgoing_addresses(ipv6=settings.ipv6))
    subject = Subject(settings, environ, asked.addresses or public, () if asked.addresses else private)
    named = asked.domains or signing_domains(settings)[:MAX_DOMAINS]
    runner: Runner = click.get_current_context().obj or run_in_reactor
    trials = RemoteTrials()
    with ThreadPoolExecutor(_THREADS) as pool:
        local = [pool.submit(section_findings, section) for section in _sections(subject, asked, named)]
        if smarthosts_of(settings) or asked.destinations or named:
            trials = runner(remote_trials(settings, asked.destinations, named, _ignore))
        identity, host, relay, domains, *others = [_result(future) for future in local]
    remote = list(remote_findings(settings, asked.destinations, trials))
    records = [each for domain in named for each in check_own_domain(trials.published[domain])]
    return settings, [
        *identity,
        *remote,
        *host,
        *relay,
        *domains,
        *records,
        *(each for some in others for each in some),
    ]


def remote_findings(settings: Settings, destinations: Sequence[str], trials: RemoteTrials) -> Iterator[Finding]:
    """Yield findings about smarthosts and, if mail goes to MX hosts, about those of destinations and their records."""
    by_smarthost = only_by_smarthost(settings)
    yield from check_smarthosts(trials.smarthosts)
    yield from check_mx_hosts(trials.mx_hosts, by_smarthost=by_smarthost)
    for domain in () if by_smarthost else destinations:
        yield from check_destination(trials.published[domain], trials.followed)


def _sections(subject: Subject, asked: DoctorRequest, named: Sequence[str]) -> list[Callable[[], Iterable[Finding]]]:
    """Return the checks that need no reactor, which run in parallel; identity comes first."""
    settings = subject.settings
    look_up = DnsQuestions(settings.dns_servers)
    by_smarthost = only_by_smarthost(settings)
    identity = IdentityFacts(settings.mailname, subject.addresses, subject.private, by_smarthost)
    own = not settings.dns_servers
    servers = settings.dns_servers or system_servers()
    questions = [(settings.mailname, "A"), *((domain, "MX") for domain in named[:3])]
    block_lists = BlockListFacts(asked.lists, subject.addresses, [address for address, _ in servers], by_smarthost)
    return [
        lambda: check_identity(identity, look_up),
        lambda: check_host(host_facts(settings.queue_dir)),
        lambda: check_relay(relay_facts(settings, subject.environ)),
        lambda: check_domains(settings, named, subject.addresses, look_up, by_smarthost=by_smarthost),
        lambda: check_name_servers(name_server_facts(servers, questions, search_list() if own else (), look_up)),
        lambda: check_block_lists(block_lists, look_up),
    ]


def section_findings(section: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Return the findings of a section, or one that says why its facts cannot be had."""
    try:
        return list(section())
    except (OSError, QueueError) as error:
        return [skipped("doctor/facts", f"some checks could not be made: {error}", "run this as the relay's user")]


def _result(future: "Future[list[Finding]]") -> list[Finding]:
    return future.result()


def _ignore(_line: str) -> None:
    """Take a notice of a part of the relay; its trouble is a finding anyway."""
