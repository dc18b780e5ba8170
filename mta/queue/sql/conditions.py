"""An operator's conditions as terms of SQL, with the meaning that `matching` gives them, for the engines of the queue.

A statement is put together from constant parts. Texts of the operator are values of `?` and never a part of it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mta.queue.entries import Query
from mta.queue.ids import LEAST_RELEASE, MOST_RELEASE, first_number, prefix_range, to_number
from mta.queue.search.conditions import Conditions, State
from mta.queue.search.matching import LOWER, NULL_SENDER

_ESCAPED = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_", "*": "%"})
_SENDER = (
    "(coalesce(m.sender_local, '')"
    " || CASE coalesce(m.sender_domain, '') WHEN '' THEN '' ELSE '@' || m.sender_domain END)"
)
_ADDRESS = "(r.local || CASE r.domain WHEN '' THEN '' ELSE '@' || r.domain END)"
# The rule of `mta.queue.ids.release_of`.
_RELEASED = "NOT (m.created > ? AND m.created = round(m.created) AND m.created - (m.id >> 10) / 1e6 BETWEEN ? AND ?)"
_UNFINISHED = frozenset({State.WAITING, State.HELD})
_MOST_OCTETS = (1 << 63) - 1

Value = str | int | float | list[int] | None
Part = tuple[str, tuple[Value, ...]]


@dataclass(frozen=True, slots=True)
class SearchTables:
    """The parts of a search that depend on the engine and its tables. A message is `m`, one of its recipients `r`."""

    #: A comparison of the text `{}` with a pattern, in which ASCII letters match in either case. Has one `?`.
    like: str
    #: The FROM and the WHERE by which a subquery has the recipients of `m`.
    recipients: str
    #: The conditions that a recipient in each state meets.
    states: Mapping[State, str]
    #: The number of a message.
    id: str = "m.id"

    def one_recipient(self, term: str) -> str:
        """Return the condition that one recipient of the message meets a term."""
        return f"EXISTS (SELECT 1 FROM {self.recipients} AND {term})"  # noqa: S608 (constant parts)


@dataclass(slots=True)
class Where:
    """The terms of a WHERE clause, and the values for their `?` in the same order."""

    tables: SearchTables
    terms: list[str] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The terms, which a message must all meet."""
        return " AND ".join(self.terms) or "TRUE"

    def add(self, term: str, *values: Value) -> None:
        """Add a term with its values."""
        self.terms.append(term)
        self.values += values

    def add_like(self, text: str, pattern: str, *, part: bool = False) -> None:
        """Add the condition that a text, or a `part` of it, has the form of a pattern, unless that is empty."""
        if pattern:
            self.add(self.tables.like.format(text), like(pattern, part=part))

    def add_conditions(self, wanted: Conditions) -> None:
        """Add an operator's conditions."""
        if wanted.since is not None:
            self.add(f"{self.tables.id} >= ?", first_number(wanted.since))
        if wanted.until is not None:
            self.add(f"{self.tables.id} < ?", first_number(wanted.until))
        if wanted.released is not None:
            self.add(_RELEASED, wanted.released, LEAST_RELEASE, MOST_RELEASE)
        if wanted.larger is not None:
            self.add("m.size > ?", min(wanted.larger, _MOST_OCTETS))
        if wanted.ids:
            self._add_any(_id(each) for each in wanted.ids)
        if wanted.sender:
            self._add_sender(wanted.sender)
        self.add_like("m.message_id", wanted.message_id)
        self.add_like("m.client", wanted.client)
        self.add_like("m.login", wanted.login)
        self.add_like("m.subject", wanted.subject, part=True)
        self._add_recipient(wanted)
        for word in wanted.words:
            self._add_any(self._word(word))

    def add_cursors(self, query: Query) -> None:
        """Add the bounds of a part of a list."""
        if query.before is not None:
            self.add(f"{self.tables.id} < ?", to_number(query.before))
        if query.after is not None:
            self.add(f"{self.tables.id} > ?", to_number(query.after))

    def _add_any(self, parts: Iterable[Part]) -> None:
        terms, values = zip(*parts, strict=True)
        self.add(f"({' OR '.join(terms)})", *(value for some in values for value in some))

    def _add_sender(self, pattern: str) -> None:
        if pattern == NULL_SENDER:
            self.add("m.sender_local IS NULL")
            return
        whole, bracketed = like(pattern), like(f"<{pattern}>", part=True)
        compare = self.tables.like.format
        author = compare("m.author")
        self._add_any(((compare(_SENDER), (whole,)), (author, (whole,)), (author, (bracketed,))))

    def _add_recipient(self, wanted: Conditions) -> None:
        """Add the conditions that one recipient must meet."""
        one = Where(self.tables)
        if wanted.states:
            one.add(f"({' OR '.join(self.tables.states[state] for state in wanted.states)})")
        domain = exact_domain(wanted)
        if domain is not None:
            # Half the time of the comparison of whole addresses.
            one.add("r.domain = ?", domain)
        one.add_like(_ADDRESS, wanted.recipient)
        one.add_like("r.domain", wanted.domain)
        one.add_like("r.host", wanted.host, part=True)
        one.add_like("r.reply", wanted.reply, part=True)
        if one.terms:
            self.add(self.tables.one_recipient(one.text), *one.values)

    def _word(self, word: str) -> Iterator[Part]:
        yield _id(word)
        part = (like(word, part=True),)
        compare = self.tables.like.format
        for text in (_SENDER, "m.author", "m.message_id"):
            yield compare(text), part
        yield self.tables.one_recipient(compare(_ADDRESS)), part


def exact_domain(wanted: Conditions) -> str | None:
    """Return the domain of the recipient if the conditions name it without a `*`."""
    if "@" not in wanted.recipient:
        return None
    return _as_stored(wanted.recipient.rpartition("@")[2])


def whole_domain(wanted: Conditions) -> str | None:
    """Return the domain of a recipient if the conditions name it without a `*`."""
    return _as_stored(wanted.domain) if wanted.domain else None


def _as_stored(domain: str) -> str | None:
    """Return a domain as addresses have it, in lower case but for `IPv6:`; None if it is a pattern."""
    return None if "*" in domain else domain.translate(LOWER).replace("[ipv6:", "[IPv6:", 1)


def only_waiting(wanted: Conditions, *, finished: bool) -> bool:
    """Whether no message in the history can be meant; `finished` tells whether the history is wanted."""
    return not finished or bool(wanted.states and _UNFINISHED.issuperset(wanted.states))


def like(pattern: str, *, part: bool = False) -> str:
    """Return the pattern of LIKE for a pattern with `*`, or for texts of which it is a `part`."""
    text = pattern.translate(_ESCAPED)
    return f"%{text}%" if part else text


def _id(prefix: str) -> Part:
    numbers = prefix_range(prefix.lower())
    return ("FALSE", ()) if numbers is None else ("m.id BETWEEN ? AND ?", numbers)
