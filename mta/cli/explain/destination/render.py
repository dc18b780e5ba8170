"""Prints the page about a destination for a reader."""

from collections.abc import Iterator

from mta.admin.wire.fields import time_text
from mta.cli.explain.layout import ahead, block, line, said, span
from mta.cli.queue.render import count
from mta.explain.destination.live import live_lines
from mta.explain.destination.mx_hosts import MxHost, MxHosts
from mta.explain.destination.page import DestinationPage, LastReply
from mta.explain.words import carried_words, route_words
from mta.queue.entries import AGE_BOUNDS
from mta.queue.interface import DomainShape

#: Domains of a host that the lines show; JSON has all that were looked at.
MAX_DOMAINS = 10


def as_lines(page: DestinationPage) -> Iterator[str]:
    """Yield the lines for a reader."""
    yield line("host" if page.route is None else "domain", page.name)
    if page.smarthost:
        yield line("smarthost", page.smarthost)
    if page.route is not None:
        yield line("route", route_words(page.route))
    if page.transport is not None:
        yield line("transport", carried_words(page.transport))
    if page.mx is not None:
        yield from block("mx", _mx_lines(page.mx))
    yield from block("policy", page.policy)
    yield from block("tls", page.tls)
    yield from _waiting_lines(page)
    yield from _live_lines(page)
    for each in page.replies:
        yield from _reply_lines(each)
    if page.next is not None:
        when = page.next.time
        at = "" if when is None else f"{time_text(when)}{ahead(when - page.now)}: "
        yield line("next", f"{at}{page.next.words}")
    if page.choices:
        yield ""
    width = max((len(each.command) for each in page.choices), default=0)
    yield from block("you may", (f"{each.command:{width}}  {each.effect}" for each in page.choices))
    for note in page.notes:
        yield f"note: {note}"


def _mx_lines(mx: MxHosts) -> Iterator[str]:
    if mx.problem:
        yield mx.problem
    if mx.implicit:
        yield "none, so the domain is its own host"
    yield from map(_mx_words, mx.hosts)


def _mx_words(host: MxHost) -> str:
    addresses = f" [{', '.join(host.addresses)}]" if host.addresses else ""
    return f"{host.preference} {host.name}{addresses}{host.left_out and f', left out: {host.left_out}'}"


def _waiting_lines(page: DestinationPage) -> Iterator[str]:
    if page.shape is not None:
        yield line("waiting", _shape_words(page.shape, page.now))
    elif not page.by_host:
        yield line("waiting", "nothing")
    domains = page.by_host[:MAX_DOMAINS]
    yield from block("mail for", (f"{each.domain}: {_shape_words(each, page.now)}" for each in domains))
    if len(page.by_host) > MAX_DOMAINS:
        yield line("", f"and {len(page.by_host) - MAX_DOMAINS} more domains (--json lists them)")


def _shape_words(shape: DomainShape, now: float) -> str:
    parts = [count(shape.waiting + shape.held, "recipient")]
    parts += [
        f"{number} {word}" for number, word in ((shape.held, "held"), (shape.in_delivery, "in delivery")) if number
    ]
    bounds = [f"up to {span(bound)}" for bound in AGE_BOUNDS] + [f"over {span(AGE_BOUNDS[-1])}"]
    ages = (f"{number} {bound}" for number, bound in zip(shape.ages, bounds, strict=True) if number)
    return f"{', '.join(parts)}; the oldest for {span(now - shape.oldest)} ({', '.join(ages)})"


def _live_lines(page: DestinationPage) -> Iterator[str]:
    for each in page.live:
        # A name of several hosts, or with rules, tells more than that of the page.
        named = f"{each.name}: " if len(page.live) > 1 or each.name != page.name else ""
        for name, text in live_lines(each):
            yield line(name, f"{named}{text}")
            named = ""


def _reply_lines(each: LastReply) -> Iterator[str]:
    number = f" ({each.status.value}, {count(each.recipients, 'time')})"
    yield line("reply", f"{time_text(each.time)} {said(each.host, each.reply)}{number}")
    if each.meaning is not None:
        yield line("meaning", each.meaning.meaning)
        yield line("remedy", each.meaning.remedy)
        yield line("source", each.meaning.source)
