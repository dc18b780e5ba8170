"""Gathers the facts about one message: from the queues of all workers, the running relay, and the present settings."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from mta.cli.errors import CommandError
from mta.cli.explain.acl_stage import Verdicts, decide_acl
from mta.cli.explain.message.facts import MessageFacts, Neighbours, PresentDecisions
from mta.cli.explain.parts import DecidingParts
from mta.cli.explain.retry_stage import decide_retry
from mta.cli.explain.route_stage import decide_route
from mta.cli.explain.running import MistakeError, decided, user_of
from mta.cli.explain.transport_stage import decide_transport
from mta.cli.explain.values import Question
from mta.cli.queue.command import queue
from mta.cli.queue.opening import opened, queue_directory, waits_for
from mta.cli.results import result
from mta.config.setting import SettingsError
from mta.config.settings import read_settings
from mta.daemon import control
from mta.message.envelope import Envelope, Origin, Recipient
from mta.queue.disk.queue_dir import homes
from mta.queue.interface import Entry, Query, RecipientState, Status
from mta.queue.search.conditions import Conditions, State
from mta.queue.worker_queues.combined import OperatorQueue
from mta.rules.facts import Facts
from mta.smtp.address import Address, AddressError, parse_address

#: Recipients whose routes are told, domains whose other mail is looked at, and messages that are looked at there.
MAX_RECIPIENTS = 100
MAX_DOMAINS = 5
_LOOKED_AT = 20
_NAMED = 5


def gather(id: str, environ: Mapping[str, str], *, dns: bool) -> MessageFacts:
    """Return the facts about the message whose id begins so. Raises CommandError, MistakeError if there is none."""
    now = time.time()
    with opened() as queues:
        entry = _only(id, result(queues.find(_query(id))))
        reports = result(queues.find(Query(ids=entry.reports, finished=True))) if entry.reports else []
        neighbours = tuple(_neighbours(entry, queues))
        content = result(queues.content(entry.id)) or b""
    running, waits_for = _asked(entry, queue_directory(environ))
    facts = MessageFacts(
        entry,
        now,
        None,
        reports=tuple(reports),
        neighbours=neighbours,
        running=running,
        waits_for=waits_for,
        commands=frozenset(queue.commands),
    )
    return _with_stages(facts, content.partition(b"\r\n\r\n")[0] + b"\r\n", environ, dns=dns)


def _query(id: str) -> Query:
    conditions = Conditions(ids=(id.lower(),))
    return Query(conditions=conditions, finished=True, details=True, newest_first=True, limit=_NAMED + 1)


def _only(id: str, found: list[Entry]) -> Entry:
    if not found:
        raise MistakeError(f"no message {id} is in the queue or its history")
    if len(found) > 1:
        more = ", ..." if len(found) > _NAMED else ""
        raise MistakeError(f"several ids begin with {id}: {', '.join(each.id for each in found[:_NAMED])}{more}")
    return found[0]


def _neighbours(entry: Entry, queues: OperatorQueue) -> Iterator[Neighbours]:
    """Yield the other mail that waits for the domains of waiting recipients."""
    waiting = (each.address for each in entry.recipients if each.status is Status.WAITING)
    domains = dict.fromkeys(address.rpartition("@")[2].lower() for address in waiting)
    for domain in filter(None, list(domains)[:MAX_DOMAINS]):
        wanted = Conditions(domain=domain, states=(State.WAITING,))
        number = result(queues.count(wanted)) - (not entry.held)
        if number > 0:
            others = result(queues.find(Query(conditions=wanted, limit=_LOOKED_AT)))
            yield _with_reply(Neighbours(domain, number), (each for each in others if each.id != entry.id))


def _with_reply(neighbours: Neighbours, others: Iterable[Entry]) -> Neighbours:
    states = (state for each in others for state in each.recipients)
    tried = [each for each in states if each.reply and _is_for(each, neighbours.domain)]
    if not tried:
        return neighbours
    soonest = min(tried, key=lambda each: each.due or 0.0)
    return replace(neighbours, reply=soonest.reply, host=soonest.host, due=soonest.due)


def _is_for(state: RecipientState, domain: str) -> bool:
    return state.status is Status.WAITING and state.address.rpartition("@")[2].lower() == domain


def _asked(entry: Entry, directory: Path) -> tuple[bool, str]:
    """Return whether a relay runs, and the reason that it gives for the wait of the message."""
    if all(each.due is None for each in entry.recipients):
        return False, ""
    running = any(control.is_running(home) for home in homes(directory))
    return running, waits_for(directory, entry) if running else ""


def _with_stages(facts: MessageFacts, header: bytes, environ: Mapping[str, str], *, dns: bool) -> MessageFacts:
    """Return the facts with the decisions of the present settings, or with the mistakes in these."""
    entry = facts.entry
    try:
        settings = read_settings(environ)
    except SettingsError as error:
        return replace(facts, mistakes=tuple(error.mistakes))
    try:
        user, gone = user_of(settings, entry.login), ""
    except CommandError as error:
        user, gone = None, f"{error.message}, so the present settings would not let it log in"
    stages = decided(settings, user, lambda relay: _decide(entry, header, relay, known=not gone), dns=dns)
    return replace(facts, stages=replace(stages, hints=(*stages.hints, gone) if gone else stages.hints))


async def _decide(entry: Entry, header: bytes, relay: DecidingParts, *, known: bool) -> PresentDecisions:
    """Return the decisions on a message; about acceptance only if its client is another host and its login `known`."""
    sender = _address(entry.sender)
    asked = [each for each in entry.recipients if each.status in (Status.WAITING, Status.FAILED)][:MAX_RECIPIENTS]
    addresses = [each for each in map(_address, (state.address for state in asked)) if each is not None]
    question = Question(
        entry.sender,
        tuple(each.address for each in entry.recipients[:MAX_RECIPIENTS]),
        entry.client,
        entry.login,
        tls=bool(entry.tls),
        header=header,
        size=entry.size,
    )
    acl = (await decide_acl(question, relay)).decisions if entry.client and known else ()
    envelope = Envelope(sender, tuple(map(Recipient, addresses)), _origin(entry, relay))
    routes = [await decide_route(address, envelope, relay) for address in addresses]
    carried = [decide_transport(*each, relay) for each in zip(addresses, routes, strict=True)]
    terms = Verdicts((), tuple(addresses), Facts("", trusted=False, sender=sender))
    hints = () if relay.dns or not routes else ("names were not looked up; --dns looks for the hosts of each route",)
    return PresentDecisions(
        acl, tuple(routes), tuple(each for each in carried if each is not None), decide_retry(terms, relay), hints
    )


def _origin(entry: Entry, relay: DecidingParts) -> Origin:
    if not entry.client:
        return Origin.of_relay(relay.settings.mailname)
    return Origin(entry.client, "", "ESMTPA" if entry.login else "ESMTP", entry.login)


def _address(text: str) -> Address | None:
    try:
        return parse_address(text, loose=True)
    except AddressError:
        return None
