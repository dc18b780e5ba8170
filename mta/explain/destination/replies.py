"""The last replies of a destination, of the recipients and their recorded attempts. Pure."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from mta.delivery.replies.meanings import meaning_of
from mta.explain.destination.page import LastReply
from mta.queue.interface import Entry, RecipientState, Status

#: Replies that are told.
MAX_REPLIES = 8


def last_replies(entries: Iterable[Entry], is_meant: Callable[[RecipientState], bool]) -> tuple[LastReply, ...]:
    """Return the last replies to recipients that are meant, newest first; equal ones of a host are told once."""
    latest: dict[tuple[str, str, Status], LastReply] = {}
    for each in _all(entries, is_meant):
        key = each.host, each.reply, each.status
        known = latest.get(key)
        if known is None:
            latest[key] = each
        else:
            latest[key] = replace(known, time=max(known.time, each.time), recipients=known.recipients + 1)
    newest = sorted(latest.values(), key=lambda each: (-each.time, each.host, each.reply))[:MAX_REPLIES]
    return tuple(
        each if each.status is Status.DELIVERED else replace(each, meaning=meaning_of(each.reply)) for each in newest
    )


def _all(entries: Iterable[Entry], is_meant: Callable[[RecipientState], bool]) -> Iterator[LastReply]:
    """Yield each attempt, and the end of each recipient whose attempts have no record."""
    for entry in entries:
        for state in filter(is_meant, entry.recipients):
            made = state.attempts_made
            for each in made:
                at_end = each is made[-1] and each.reply == state.reply
                yield LastReply(each.time, each.host, each.reply, state.status if at_end else Status.WAITING, 1, None)
            if state.reply and state.host and not (made and made[-1].reply == state.reply):
                yield LastReply(state.finished or entry.created, state.host, state.reply, state.status, 1, None)
