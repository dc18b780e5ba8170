"""The search: its conditions in a URL, and the messages that were found. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from mta.admin.views.text import Badge, message_badge
from mta.queue.ids import arrival_of
from mta.queue.interface import Entry, Query, QueueId, Status
from mta.queue.search.conditions import Conditions
from mta.queue.search.reading import OPTIONS

#: Messages of one part of the list.
PAGE_SIZE = 50
#: The states among which the form lets choose.
STATES = ("waiting", "held", "delivered", "failed", "removed")
_BEFORE = "before"
# Texts that a URL may have for each condition.
_SHOWN_RECIPIENTS = 2


@dataclass(frozen=True, slots=True)
class Field:
    """A condition in the form of the search."""

    name: str
    label: str
    hint: str = ""


#: The conditions behind the one for words, in the order of the form.
FIELDS = (
    Field("from", "From", "shop@example.com or *@example.com"),
    Field("to", "To", "anna@example.org"),
    Field("domain", "Recipient's domain", "example.org"),
    Field("subject", "Subject contains"),
    Field("reply", "Last reply contains", "greylisted"),
    Field("host", "Host that answered last", "mx.example.org"),
    Field("since", "Arrived since (UTC)", "2h, yesterday, 10:00"),
    Field("until", "Arrived before (UTC)", "1h, 2026-11-22"),
    Field("older", "Older than", "30m, 2h, 1d"),
    Field("larger", "Larger than", "500, 10K, 2M"),
    Field("client", "Client's address", "192.0.2.1"),
    Field("login", "Login"),
    Field("message-id", "Message-ID"),
    Field("id", "Id, or its beginning"),
)


def conditions_in(arguments: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return the words of the conditions in the arguments of a URL, without empty ones and in one order."""
    found = {}
    for name in OPTIONS:
        texts = tuple(text.strip() for text in arguments.get(name, ()) if text.strip())
        if texts:
            found[name] = texts
    return found


def url_of(words: Mapping[str, Sequence[str]], path: str = "/messages", **more: str) -> str:
    """Return the URL of a search."""
    pairs = [(name, text) for name, texts in words.items() for text in texts]
    text = urlencode([*pairs, *more.items()])
    return f"{path}?{text}" if text else path


def search_query(conditions: Conditions, before: str) -> Query:
    """Return the question for one part of the list, and for one message more, which tells whether there is another."""
    return Query(
        finished=True,
        limit=PAGE_SIZE + 1,
        conditions=conditions,
        newest_first=True,
        before=QueueId(before) if before else None,
    )


@dataclass(frozen=True, slots=True)
class Row:
    """A message in the list."""

    id: str
    created: float
    sender: str
    subject: str
    size: int
    badge: Badge
    #: The first recipients, and the number of the others.
    recipients: tuple[str, ...]
    more: int
    #: The reply of a recipient that waits or has failed; "" without one.
    reply: str


@dataclass(frozen=True, slots=True)
class Results:
    """One part of the list of messages that were found, newest first."""

    words: Mapping[str, Sequence[str]]
    rows: tuple[Row, ...]
    #: The URLs of the older part and of the first part; "" without one.
    older: str
    newest: str
    #: Whether conditions beyond a word are set, so that their form is open.
    detailed: bool

    @property
    def word(self) -> str:
        """The text of the field for words."""
        return " ".join(self.words.get("word", ()))

    def value(self, name: str) -> str:
        """Return the text of a field."""
        return " ".join(self.words.get(name, ()))


def results(words: Mapping[str, Sequence[str]], found: Sequence[Entry], before: str) -> Results:
    """Return the list of these messages, one more than a part has if there is another."""
    shown = found[:PAGE_SIZE]
    older = url_of(words, before=shown[-1].id) if len(found) > PAGE_SIZE else ""
    detailed = bool(words.keys() - {"word", "status"})
    return Results(words, tuple(map(row, shown)), older, url_of(words) if before else "", detailed)


def row(entry: Entry) -> Row:
    """Return the line about a message."""
    addresses = [each.address for each in entry.recipients]
    return Row(
        entry.id,
        arrival_of(entry.id, entry.created),
        entry.sender,
        entry.subject,
        entry.size,
        message_badge(entry),
        tuple(addresses[:_SHOWN_RECIPIENTS]),
        max(0, len(addresses) - _SHOWN_RECIPIENTS),
        next(_replies(entry), ""),
    )


def _replies(entry: Entry) -> Iterator[str]:
    for status in (Status.FAILED, Status.WAITING):
        for each in entry.recipients:
            if each.status is status and each.reply:
                yield each.reply
