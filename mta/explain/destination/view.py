"""Makes the page about a destination of the facts about it. Pure."""

from collections.abc import Iterator

from mta.config.summary import TLS_WORDS
from mta.explain.destination.choices import choices_for
from mta.explain.destination.facts import DestinationFacts, TlsFact
from mta.explain.destination.page import DestinationPage
from mta.explain.destination.replies import last_replies
from mta.explain.message.page import NextAttempt
from mta.queue.interface import RecipientState
from mta.routing.route import TlsRule


def page_of(facts: DestinationFacts) -> DestinationPage:
    """Return the page about a destination."""
    ways, smarthost = facts.ways, facts.smarthost
    return DestinationPage(
        facts.name,
        facts.now,
        facts.running,
        "" if smarthost is None else f"{smarthost.name} ({smarthost.place})",
        None if ways is None else ways.route,
        None if ways is None else ways.transport,
        None if ways is None else ways.mx,
        () if ways is None else tuple(map(_tls_words, ways.tls)),
        () if ways is None else ways.policy,
        facts.shape,
        facts.by_host,
        facts.live,
        last_replies(facts.entries, lambda state: _is_meant(state, facts)),
        _next(facts),
        choices_for(facts),
        tuple(_notes(facts)),
    )


def _tls_words(fact: TlsFact) -> str:
    if fact.demand and fact.rule is not TlsRule.VERIFY:
        return f"{', '.join(fact.hosts)}: {fact.demand}"
    begins = ", from the first byte" if fact.implicit else ""
    return f"{', '.join(fact.hosts)}: {TLS_WORDS[fact.rule]}{begins} ({fact.place or 'the default for MX hosts'})"


def _is_meant(state: RecipientState, facts: DestinationFacts) -> bool:
    """Return whether a recipient is one of the domain, or was last tried at the host."""
    return state.address.rpartition("@")[2].lower() == facts.name or facts.name in state.host.lower()


def _next(facts: DestinationFacts) -> NextAttempt | None:
    """Return when mail is tried next, or None if none waits."""
    waiting = [each for entry in facts.entries if not entry.held for each in entry.recipients]
    dues = [each.due for each in waiting if each.due is not None and _is_meant(each, facts)]
    if facts.shape is not None and facts.shape.held and not facts.shape.waiting:
        return NextAttempt(None, "none while all its mail is held")
    if not dues:
        running = any(
            entry.claimed and any(_is_meant(each, facts) for each in entry.recipients) for entry in facts.entries
        )
        return NextAttempt(None, "an attempt is running") if running else None
    if not facts.running:
        return NextAttempt(None, "as soon as a relay runs")
    probes = [each.blocked_until for each in facts.live if each.blocked_until is not None]
    if probes and len(probes) == len(facts.live):
        return NextAttempt(min(probes), "one probe for all its mail, because it is down")
    due = min(dues)
    return NextAttempt(due, "due now" if due <= facts.now else "the earliest message by its schedule")


def _notes(facts: DestinationFacts) -> Iterator[str]:
    yield from (f"the settings have a mistake, so the route is not told: {text}" for text in facts.mistakes)
    if not facts.running:
        yield "no relay is running on this queue, so connections, limits and probes are not known"
    elif not facts.live:
        yield "the running relay has not tried it lately, so it knows no limit of it"
    yield from facts.hints
