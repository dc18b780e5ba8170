"""The history of one message, as lines that only grow, and the exit status of its end."""

from collections.abc import Iterator

from mta.admin.wire.fields import time_text
from mta.queue.interface import Entry, RecipientState, Status


def progress(entry: Entry) -> Iterator[str]:
    """Yield a line for each attempt and end of each recipient, in order, so that later calls begin with the same lines.

    `entry` has its details. A message that a rule holds has a line too.
    """
    events: list[tuple[float, str]] = []
    if entry.held:
        when = entry.created if entry.held_since is None else entry.held_since
        events.append((when, f"{entry.id} held: `smtprelay queue release {entry.id}` lets it go"))
    for state in entry.recipients:
        events += _events(entry, state)
    yield from (line for _, line in sorted(events))


def end_of(entry: Entry) -> int | None:
    """Return 0 if all recipients have the message, 1 if one has failed or was removed, None if it still waits."""
    states = {state.status for state in entry.recipients}
    if Status.WAITING in states:
        return None
    return 0 if states <= {Status.DELIVERED} else 1


def _events(entry: Entry, state: RecipientState) -> Iterator[tuple[float, str]]:
    recipient = f"{entry.id} <{state.address}>"
    final = state.finished is not None and state.status is not Status.WAITING
    attempts = state.attempts_made[:-1] if final and state.status is Status.FAILED else state.attempts_made
    for attempt in attempts:
        if attempt.status.startswith("2."):
            continue
        yield attempt.time, f"{recipient} deferred{_at(attempt.host)}: {attempt.reply}"
    if final and state.finished is not None:
        signed = f" (DKIM {state.signed_by})" if state.signed_by and state.status is Status.DELIVERED else ""
        line = f"{recipient} {state.status.value}{_at(state.host)}: {state.reply}{signed}"
        yield state.finished, line


def _at(host: str) -> str:
    return f" by {host}" if host else ""


def next_attempt(entry: Entry) -> str:
    """Return the time of the next attempt as text; "" if there is none."""
    due = min((state.due for state in entry.recipients if state.due is not None), default=None)
    return "" if due is None or entry.held else time_text(due) or ""
