"""Prints the page about one message for a reader."""

from collections.abc import Iterator, Sequence

from mta.admin.wire.fields import time_text
from mta.cli.explain.layout import ahead, block, line, said, span
from mta.cli.queue.render import count
from mta.explain.message.page import MessagePage, RecipientPart
from mta.explain.words import carried_words, retry_lines, route_words
from mta.queue.ids import arrival_of, release_of
from mta.queue.interface import AttemptRecord

#: Recipients, and attempts of each, that the lines show; JSON has all.
MAX_RECIPIENTS = 20
MAX_ATTEMPTS = 10


def as_lines(page: MessagePage) -> Iterator[str]:
    """Yield the lines for a reader."""
    entry = page.entry
    yield line("message", f"{entry.id}, from <{entry.sender}>, {entry.size} octets")
    for name, text in (("subject", entry.subject), ("from", entry.author), ("message-id", entry.message_id)):
        if text:
            yield line(name, text)
    arrival = arrival_of(entry.id, entry.created)
    yield line("accepted", f"{time_text(arrival)}, {span(page.now - arrival)} ago")
    if (release := release_of(entry.id, entry.created)) is not None:
        yield line("release", f"{time_text(release)}, as its client wants it")
    yield line("submitted", page.submitted)
    if page.allowed:
        yield line("allowed", f"by the present settings and rules: {page.allowed}")
    yield line("state", page.state)
    if page.held:
        yield line("held", page.held)
    for part in page.recipients[:MAX_RECIPIENTS]:
        yield ""
        yield from _recipient_lines(part, page)
    if len(page.recipients) > MAX_RECIPIENTS:
        yield f"and {len(page.recipients) - MAX_RECIPIENTS} more recipients (--json lists them)"
    if page.reports or page.choices:
        yield ""
    yield from block("report", page.reports)
    width = max((len(each.command) for each in page.choices), default=0)
    yield from block("you may", (f"{each.command:{width}}  {each.effect}" for each in page.choices))
    for note in page.notes:
        yield f"note: {note}"


def _recipient_lines(part: RecipientPart, page: MessagePage) -> Iterator[str]:
    state = part.state
    tries = f", {count(state.attempts, 'attempt')}" if state.attempts else ", not tried"
    done = "" if state.finished is None else f" at {time_text(state.finished)}"
    yield line("recipient", f"<{state.address}> {state.status.value}{done}{tries}")
    if part.route is not None:
        yield line("route", route_words(part.route))
        yield from block("tls", part.route.demands)
    if part.transport is not None:
        yield line("transport", carried_words(part.transport))
    *earlier, last = state.attempts_made or (None,)
    if last is not None and last.reply != state.reply:
        # The last attempt has no record, or the reply is the relay's own words about all of them.
        earlier, last = [*earlier, last], None
    yield from block("earlier", _attempt_lines([each for each in earlier if each is not None]))
    if state.reply:
        at = "" if last is None else f"{time_text(last.time)} "
        yield line("reply", at + said(state.host, state.reply))
    if part.meaning is not None:
        yield line("meaning", part.meaning.meaning)
        yield line("remedy", part.meaning.remedy)
        yield line("source", part.meaning.source)
    if part.advice:
        yield line("from here", part.advice)
    if state.signed_by:
        yield line("dkim", state.signed_by)
    if part.next is not None:
        when = part.next.time
        at = "" if when is None else f"{time_text(when)}{ahead(when - page.now)}: "
        yield line("next", f"{at}{part.next.words}")
    yield from block("retry", retry_lines(part.retry))
    if part.others:
        yield line("others", f"{count(part.others, 'more message')} waiting for this domain")
    if part.gives_up is not None:
        report = "with a report to the sender" if page.entry.sender else "without a report, because it has no sender"
        yield line("gives up", f"{time_text(part.gives_up)}, {report}")


def _attempt_lines(attempts: Sequence[AttemptRecord]) -> Iterator[str]:
    """Yield the last of these attempts, each with its time, host and reply."""
    if len(attempts) > MAX_ATTEMPTS:
        yield f"{len(attempts) - MAX_ATTEMPTS} more before (--json lists them)"
    for each in attempts[-MAX_ATTEMPTS:]:
        yield f"{time_text(each.time)} {said(each.host, each.reply)}"
