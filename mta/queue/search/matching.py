"""The meaning of an operator's conditions, checked on a message; `mta.queue.sql.conditions` has the same as SQL.

Only ASCII letters match in either case, because SQLite knows no others.
"""

import re
import string
from collections.abc import Iterator
from dataclasses import replace

from mta.queue.entries import Action, Entry, RecipientState, Status
from mta.queue.ids import created, release_of
from mta.queue.search.conditions import Conditions, State

#: Makes ASCII letters lower case.
LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_OF_ORDERS = {Action.RETRY: (State.WAITING,), Action.RELEASE: (State.HELD,)}
#: The condition on the sender that the null sender meets.
NULL_SENDER = "<>"


def matches(conditions: Conditions, entry: Entry) -> bool:
    """Return whether a message meets all conditions."""
    return all(_checks(conditions, entry))


def _checks(wanted: Conditions, entry: Entry) -> Iterator[bool]:
    """Yield the result of each condition; those that are cheap to check come first."""
    when = created(entry.id)
    yield wanted.since is None or when >= wanted.since
    yield wanted.until is None or when < wanted.until
    yield wanted.released is None or (release_of(entry.id, entry.created) or 0.0) <= wanted.released
    yield wanted.larger is None or entry.size > wanted.larger
    yield not wanted.ids or any(entry.id.startswith(each.lower()) for each in wanted.ids)
    yield not wanted.sender or _is_from(wanted.sender, entry)
    yield not wanted.subject or fits(wanted.subject, entry.subject, part=True)
    yield not wanted.message_id or fits(wanted.message_id, entry.message_id)
    yield not wanted.client or fits(wanted.client, entry.client)
    yield not wanted.login or fits(wanted.login, entry.login)
    yield any(_is_wanted(wanted, each, held=entry.held) for each in entry.recipients)
    for word in wanted.words:
        yield _has_word(word, entry)


def _is_from(pattern: str, entry: Entry) -> bool:
    if pattern == NULL_SENDER:
        return not entry.sender
    return (
        fits(pattern, unquoted(entry.sender))
        or fits(pattern, entry.author)
        or fits(f"<{pattern}>", entry.author, part=True)
    )


def _is_wanted(wanted: Conditions, recipient: RecipientState, *, held: bool) -> bool:
    """Return whether one recipient meets the conditions on recipients."""
    address = unquoted(recipient.address)
    return (
        (not wanted.states or state_of(recipient, held=held) in wanted.states)
        and (not wanted.recipient or fits(wanted.recipient, address))
        and (not wanted.domain or fits(wanted.domain, address.rpartition("@")[2]))
        and (not wanted.host or fits(wanted.host, recipient.host, part=True))
        and (not wanted.reply or fits(wanted.reply, recipient.reply, part=True))
    )


def _has_word(word: str, entry: Entry) -> bool:
    texts = (unquoted(entry.sender), entry.author, entry.message_id)
    return (
        entry.id.startswith(word.lower())
        or any(fits(word, text, part=True) for text in texts)
        or any(fits(word, unquoted(each.address), part=True) for each in entry.recipients)
    )


def for_order(action: Action, wanted: Conditions) -> Conditions:
    """Return the conditions on the messages that an order is for.

    Unless they name a state, the recipient that meets them must wait; RETRY leaves held messages alone, and RELEASE
    takes only these.
    """
    return wanted if wanted.states else replace(wanted, states=_OF_ORDERS.get(action, (State.WAITING, State.HELD)))


def state_of(recipient: RecipientState, *, held: bool) -> State:
    """Return the state of a recipient; `held` says whether its message is held."""
    return State.HELD if held and recipient.status is Status.WAITING else State(recipient.status.value)


def fits(pattern: str, text: str, *, part: bool = False) -> bool:
    """Return whether a text, or a `part` of it, has the form of a pattern. The time is linear in both."""
    pieces = pattern.translate(LOWER).split("*")
    text = text.translate(LOWER)
    if part:
        pieces = ["", *pieces, ""]
    first, *others = pieces
    if not others:
        return text == first
    *middle, last = others
    if not text.startswith(first):
        return False
    place = len(first)
    for piece in middle:
        found = text.find(piece, place)
        if found < 0:
            return False
        place = found + len(piece)
    return len(text) - place >= len(last) and text.endswith(last)


def plain(address: str) -> str:
    """Return an address unquoted and in lower case, by which it is compared with that of an order."""
    return unquoted(address).translate(LOWER)


def unquoted(address: str) -> str:
    """Return an address whose local part is not quoted; a bare postmaster has no domain."""
    if not address.startswith('"'):
        return address
    local, _, domain = address.rpartition("@")
    return f"{_ESCAPED.sub(lambda found: found[1], local[1:-1])}@{domain}"
