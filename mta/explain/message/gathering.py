"""Gathers the facts about one message: from the relay or its queue files, and by the present settings and rules."""

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace

from twisted.internet.defer import Deferred, gatherResults

from mta.admin.state import RelayState
from mta.explain.acl_stage import Verdicts, decide_acl
from mta.explain.message.facts import MessageFacts, Neighbours, PresentDecisions
from mta.explain.message.page import MessageNotFound
from mta.explain.parts import DecidingParts
from mta.explain.present import PresentRelay, UnknownUser
from mta.explain.retry_stage import decide_retry
from mta.explain.route_stage import decide_route
from mta.explain.transport_stage import decide_transport
from mta.explain.values import MailVerdict, Question
from mta.message.envelope import Envelope, Origin, Recipient
from mta.queue.interface import Entry, Query, RecipientState, Status
from mta.queue.search.conditions import Conditions, State
from mta.rules.conditions import HeaderCondition
from mta.rules.facts import Facts
from mta.smtp.address import Address, AddressError, parse_address
from mta.smtp.parameters import TlsDemand

#: Recipients whose routes are told, domains whose other mail is looked at, and messages that are looked at there.
MAX_RECIPIENTS = 100
MAX_DOMAINS = 5
_LOOKED_AT = 20
_NAMED = 5


async def gather(id: str, state: RelayState, present: PresentRelay | None, now: float) -> MessageFacts:
    """Return the facts about the message whose id begins so. Without `present` they have no decisions.

    Raises MessageNotFound, and StateError as `state` does.
    """
    entry = _only(id, await state.find(_query(id)))
    waits = any(each.status is Status.WAITING for each in entry.recipients)
    running = waits and (await state.about()).started is not None
    facts = MessageFacts(
        entry,
        now,
        None,
        reports=tuple(await state.find(Query(ids=entry.reports, finished=True))) if entry.reports else (),
        neighbours=tuple([each async for each in _neighbours(entry, state)]),
        running=running,
        waits_for=await state.waits_for(entry.id) if running else "",
    )
    return facts if present is None else replace(facts, stages=await _decisions(entry, state, present))


def _query(id: str) -> Query:
    conditions = Conditions(ids=(id.lower(),))
    return Query(conditions=conditions, finished=True, details=True, newest_first=True, limit=_NAMED + 1)


def _only(id: str, found: list[Entry]) -> Entry:
    if not found:
        raise MessageNotFound(f"no message {id} is in the queue or its history")
    if len(found) > 1:
        more = ", ..." if len(found) > _NAMED else ""
        raise MessageNotFound(f"several ids begin with {id}: {', '.join(each.id for each in found[:_NAMED])}{more}")
    return found[0]


async def _neighbours(entry: Entry, state: RelayState) -> AsyncIterator[Neighbours]:
    """Yield the other mail that waits for the domains of waiting recipients."""
    waiting = (each.address for each in entry.recipients if each.status is Status.WAITING)
    domains = dict.fromkeys(address.rpartition("@")[2].lower() for address in waiting)
    for domain in filter(None, list(domains)[:MAX_DOMAINS]):
        wanted = Conditions(domain=domain, states=(State.WAITING,))
        number = await state.count(wanted) - (not entry.held)
        if number > 0:
            others = await state.find(Query(conditions=wanted, limit=_LOOKED_AT))
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


async def _decisions(entry: Entry, state: RelayState, present: PresentRelay) -> PresentDecisions:
    """Return the decisions on a message that the relay would make now."""
    gone: tuple[str, ...] = ()
    try:
        relay = await present.parts(entry.login)
    except UnknownUser as error:
        relay, gone = await present.parts(), (f"{error}, so the present settings would not let it log in",)
    # About mail of the relay itself, and of a user that is gone, acceptance cannot be asked.
    acl = await _acceptance(entry, state, relay) if entry.client and not gone else ()
    decided = await _ways(entry, relay)
    return replace(decided, acl=acl, hints=(*decided.hints, *_rewriting_hint(entry, relay), *gone))


def _rewriting_hint(entry: Entry, relay: DecidingParts) -> Iterator[str]:
    """Yield a remark if rules may have changed a client's message, because the queue has it as they left it."""
    if entry.client and relay.book is not None and relay.book.rewrite is not None:
        yield "[[rewrite]] rules are in force; the log event accepted names those that have changed this message"


async def _acceptance(entry: Entry, state: RelayState, relay: DecidingParts) -> tuple[MailVerdict, ...]:
    header = (await state.content(entry.id) or b"").partition(b"\r\n\r\n")[0] + b"\r\n" if _asks_header(relay) else b""
    question = Question(
        entry.sender,
        tuple(each.address for each in entry.recipients[:MAX_RECIPIENTS]),
        entry.client,
        entry.login,
        tls=bool(entry.tls),
        header=header,
        size=entry.size,
    )
    return (await decide_acl(question, relay)).decisions


def _asks_header(relay: DecidingParts) -> bool:
    """Return whether the header has a say in acceptance, because a large message is not read without need."""
    if relay.user is not None and relay.user.senders is not None:
        return True
    rules = () if relay.book is None else relay.book.rules
    return any(isinstance(each, HeaderCondition) for rule in rules for each in rule.all_conditions)


async def _ways(entry: Entry, relay: DecidingParts) -> PresentDecisions:
    """Return the decisions on routes, transport and retries for recipients that wait or have failed."""
    sender = address_of(entry.sender)
    asked = [each for each in entry.recipients if each.status in (Status.WAITING, Status.FAILED)][:MAX_RECIPIENTS]
    ways = [(each, state.way) for state in asked if (each := address_of(state.address)) is not None]
    addresses = [address for address, _ in ways]
    envelope = envelope_of(entry, addresses, relay)
    # At the same time, because each may wait for the DNS.
    deciding = [Deferred.fromCoroutine(decide_route(each, envelope, relay, ordered=way)) for each, way in ways]
    routes = await gatherResults(deciding, consumeErrors=True)
    carried = [decide_transport(*each, relay) for each in zip(addresses, routes, strict=True)]
    terms = Verdicts((), tuple(addresses), Facts("", trusted=False, sender=sender))
    hints = () if relay.dns or not routes else ("names were not looked up; --dns looks for the hosts of each route",)
    return PresentDecisions(
        (), tuple(routes), tuple(each for each in carried if each is not None), decide_retry(terms, relay), hints
    )


def envelope_of(entry: Entry, addresses: Iterable[Address], relay: DecidingParts) -> Envelope:
    """Return the envelope of a message for some of its recipients, as far as the queue tells it."""
    demand = TlsDemand(entry.tls_demand) if entry.tls_demand else None
    recipients = tuple(map(Recipient, addresses))
    return Envelope(address_of(entry.sender), recipients, _origin_of(entry, relay), tls_demand=demand)


def _origin_of(entry: Entry, relay: DecidingParts) -> Origin:
    if not entry.client:
        return Origin.of_relay(relay.settings.mailname)
    return Origin(entry.client, "", "ESMTPA" if entry.login else "ESMTP", entry.login)


def address_of(text: str) -> Address | None:
    """Return an address of the queue, or None if it is the null sender or older than the present syntax."""
    try:
        return parse_address(text, loose=True)
    except AddressError:
        return None
