"""Numbers, sizes, durations and states as the page writes them. Pure."""

from dataclasses import dataclass

from mta.queue.interface import Entry, RecipientState, Status

_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))
_SIZES = ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB"))


def number(value: float) -> str:
    """Return a whole number in groups of three digits, as in `12,345`."""
    return f"{round(value):,}"


def counted(value: int, noun: str) -> str:
    """Return `1 message` or `1,234 messages`."""
    return f"{number(value)} {noun}{'' if value == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return about how long, in one or two units: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    seconds = max(0.0, seconds)
    for place, (size, name) in enumerate(_UNITS):
        if seconds >= size:
            whole = int(seconds // size)
            rest = _UNITS[place + 1 : place + 2]
            more = int(seconds % size // rest[0][0]) if rest and whole < 10 else 0
            return f"{whole} {name}" + (f" {more} {rest[0][1]}" if more else "")
    return f"{round(seconds)} s"


def size(octets: int) -> str:
    """Return about how many octets: `512 B`, `2.4 kB`, `17 MB`."""
    for unit, name in _SIZES:
        if octets >= unit:
            value = octets / unit
            return f"{value:.1f} {name}" if value < 10 else f"{value:.0f} {name}"
    return f"{octets} B"


@dataclass(frozen=True, slots=True)
class Badge:
    """The state of a message or a recipient: its name in a style sheet, and its words."""

    kind: str
    text: str


def recipient_badge(recipient: RecipientState, *, held: bool, claimed: bool) -> Badge:
    """Return the state of a recipient; a waiting one has the state of its message."""
    if recipient.status is not Status.WAITING:
        return Badge(recipient.status.value, recipient.status.value)
    if held:
        return Badge("held", "held")
    if claimed:
        return Badge("sending", "in delivery")
    return Badge("deferred", "deferred") if recipient.attempts else Badge("waiting", "waiting")


#: The order in which the states of recipients decide on the badge of their message.
_URGENT = ("failed", "held", "sending", "deferred", "waiting", "removed", "delivered")


def message_badge(entry: Entry) -> Badge:
    """Return the state of a message: the most urgent one of its recipients, with their number if they differ."""
    badges = [recipient_badge(each, held=entry.held, claimed=entry.claimed) for each in entry.recipients]
    kinds = {badge.kind for badge in badges}
    if not badges:
        return Badge("removed", "removed")
    badge = min(badges, key=lambda each: _URGENT.index(each.kind))
    if len(kinds) == 1:
        return badge
    same = sum(each.kind == badge.kind for each in badges)
    return Badge(badge.kind, f"{same} of {len(badges)} {badge.text}")
