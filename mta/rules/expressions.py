"""Regular expressions that match any whole text in linear time.

Python's matcher tries the ways in which a text can be divided among repetitions one after another, so that a stranger
could choose a text that takes it hours. Here the expression becomes an automaton without empty moves (Glushkov), whose
set of states is followed through the text. The language is Python's, without the parts that no automaton has: groups
that begin with `(?` other than `(?:`, text of a group, word boundaries, and possessive repetitions. Case does not
matter, and `.` is any character.
"""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mta.smtp.address import printable

#: The characters of an expression.
MAX_EXPRESSION = 200
#: The states of its automaton, one for each character that is not repeated.
MAX_STATES = 200

# Sets of states and characters whose successors are kept.
_MAX_KEPT = 500
_FLAGS = re.IGNORECASE | re.DOTALL
_TOKEN = re.compile(
    r"""(?P<unusable>\\[0-9AbB]|\(\?(?!:)|(?:[*+?]|\{(?:[0-9]+(?:,[0-9]*)?|,[0-9]*)\})\+)
      | (?P<open>\((?:\?:)?)
      | (?P<close>\))
      | (?P<branch>\|)
      | (?P<begin>\^)
      | (?P<end>\$|\\Z)
      | (?P<repeat>(?:[*+?]|\{(?:(?P<low>[0-9]+)(?P<more>,(?P<high>[0-9]*))?|,(?P<most>[0-9]*))\})\??)
      | (?P<atom>\[\^?\]?(?>(?:\\.|[^\]\\])*)\]|\\x..|\\u.{4}|\\U.{8}|\\N\{[^}]*\}|\\.|.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Atom:
    """One character: a letter, an escape or a class, as it is written."""

    text: str


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    branches: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Repetition:
    """From `low` to `high` times; without limit if `high` is None."""

    node: "_Node"
    low: int
    high: int | None


_Node = _Atom | _Sequence | _Choice | _Repetition


class Expression:
    """A regular expression. Raises ValueError with words for its author."""

    __slots__ = ("_accepting", "_atoms", "_follow", "_kept_atoms", "_kept_sets", "text")

    def __init__(self, text: str) -> None:
        if len(text) > MAX_EXPRESSION:
            raise ValueError(f"a regular expression has at most {MAX_EXPRESSION} characters")
        _check_syntax(text)
        node = _ExpressionParser(text).parse()
        if _size(node) > MAX_STATES:
            raise ValueError(f"{text!r} is too large: write it with fewer or smaller numbers in {{}}")
        self.text = text
        # State 0 is the beginning, and each other state stands behind an atom. Sets of states are bits of a number.
        automaton = _Automaton(node)
        self._atoms = automaton.atoms
        self._follow = automaton.follow
        self._accepting = automaton.accepting
        self._kept_atoms: dict[str, int] = {}
        self._kept_sets: dict[int, int] = {}

    def matches(self, text: str) -> bool:
        """Return whether the whole text matches."""
        atoms, sets = self._kept_atoms, self._kept_sets
        states = 1
        for char in text:
            reached = sets.get(states)
            if reached is None:
                reached = self._successors(states)
            fitting = atoms.get(char)
            if fitting is None:
                fitting = self._behind(char)
            states = reached & fitting
            if not states:
                return False
        return bool(states & self._accepting)

    def _successors(self, states: int) -> int:
        """Return the states that may come behind one of these, and keep the answer."""
        reached = 0
        for state in _states(states):
            reached |= self._follow[state]
        if len(self._kept_sets) >= _MAX_KEPT:
            self._kept_sets.clear()
        self._kept_sets[states] = reached
        return reached

    def _behind(self, char: str) -> int:
        """Return the states that stand behind an atom which matches the character, and keep the answer."""
        fitting = 0
        for atom, states in self._atoms.items():
            if atom.match(char):
                fitting |= states
        if len(self._kept_atoms) >= _MAX_KEPT:
            self._kept_atoms.clear()
        self._kept_atoms[char] = fitting
        return fitting

    def __reduce__(self) -> tuple[type["Expression"], tuple[str]]:
        """Pickle the text alone, for another process."""
        return Expression, (self.text,)

    def __eq__(self, other: object) -> bool:
        """Whether another expression has the same text."""
        return isinstance(other, Expression) and self.text == other.text

    def __hash__(self) -> int:
        """Return the hash of the text."""
        return hash(self.text)

    def __repr__(self) -> str:
        """Return the text in a call."""
        return f"Expression({self.text!r})"


def _check_syntax(text: str) -> None:
    """Raise ValueError if Python cannot compile a text, or would warn of it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(text, _FLAGS)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise ValueError(f"{text!r} is not a regular expression: {printable(str(error))}") from None


class _ExpressionParser:
    """Reads the structure of an expression that Python can compile."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_TOKEN.finditer(text))
        self._next = 0

    def parse(self) -> _Node:
        """Return the whole expression. `^` and `$` may stand at the ends of its branches, where they say no more."""
        return self._choice(top=True)

    def _choice(self, *, top: bool) -> _Node:
        branches = [self._sequence(top=top)]
        while self._kind() == "branch":
            self._next += 1
            branches.append(self._sequence(top=top))
        return _Choice(tuple(branches))

    def _sequence(self, *, top: bool) -> _Node:
        parts: list[_Node] = []
        if top and self._kind() == "begin":
            self._next += 1
        while (kind := self._kind()) not in ("", "branch", "close"):
            token = self._tokens[self._next]
            self._next += 1
            if kind == "open":
                parts.append(self._choice(top=False))
                self._next += 1
            elif kind == "repeat":
                parts[-1] = _Repetition(parts[-1], *_bounds(token))
            elif kind == "atom":
                parts.append(_Atom(token[0]))
            elif kind != "end" or not top or self._kind() not in ("", "branch"):
                raise ValueError(f"{self._text!r}: {token[0]} cannot be used here, because the whole text must match")
        return _Sequence(tuple(parts))

    def _kind(self) -> str:
        """Return the kind of the next token, "" at the end."""
        if self._next == len(self._tokens):
            return ""
        token = self._tokens[self._next]
        if token["unusable"] is not None:
            raise ValueError(f"{self._text!r}: {token[0]} cannot be used in a rule")
        return token.lastgroup or ""


def _bounds(token: re.Match[str]) -> tuple[int, int | None]:
    """Return how often a repetition repeats, at least and at most."""
    sign = token["repeat"][0]
    if sign != "{":
        return int(sign == "+"), 1 if sign == "?" else None
    low = int(token["low"] or 0)
    high = token["high"] if token["low"] else token["most"]
    if token["low"] and token["more"] is None:
        return low, low
    return low, int(high) if high else None


def _size(node: _Node) -> int:
    """Return a bound of the number of states, and of the steps that it takes to add them."""
    if isinstance(node, _Atom):
        return 1
    if isinstance(node, _Sequence):
        return sum(map(_size, node.parts))
    if isinstance(node, _Choice):
        return sum(map(_size, node.branches))
    return max(_size(node.node), 1) * max(node.low if node.high is None else node.high, 1)


@dataclass(frozen=True, slots=True)
class _Fragment:
    """A part of the automaton: the states that may come first and last in it, and whether it may be empty."""

    first: int
    last: int
    empty: bool


_EMPTY = _Fragment(0, 0, empty=True)


class _Automaton:
    """The states of an expression. State 0 is its beginning, each other state stands behind one atom."""

    def __init__(self, node: _Node) -> None:
        #: The states behind each atom.
        self.atoms: dict[re.Pattern[str], int] = {}
        #: The states that may follow each state.
        self.follow = [0]
        whole = self._fragment(node)
        self.follow[0] = whole.first
        #: The states in which a text may end.
        self.accepting = whole.last | int(whole.empty)

    def _fragment(self, node: _Node) -> _Fragment:
        if isinstance(node, _Atom):
            return self._atom(node.text)
        if isinstance(node, _Sequence):
            found = _EMPTY
            for part in node.parts:
                found = self._joined(found, self._fragment(part))
            return found
        if isinstance(node, _Choice):
            return _any_of([self._fragment(branch) for branch in node.branches])
        return self._repeated(node)

    def _atom(self, text: str) -> _Fragment:
        state = 1 << len(self.follow)
        self.follow.append(0)
        pattern = re.compile(text, _FLAGS)
        self.atoms[pattern] = self.atoms.get(pattern, 0) | state
        return _Fragment(state, state, empty=False)

    def _joined(self, one: _Fragment, two: _Fragment) -> _Fragment:
        self._connect(one.last, two.first)
        first = one.first | two.first if one.empty else one.first
        last = one.last | two.last if two.empty else two.last
        return _Fragment(first, last, one.empty and two.empty)

    def _repeated(self, node: _Repetition) -> _Fragment:
        found = _EMPTY
        copies = max(node.low, 1) if node.high is None else node.high
        for number in range(copies):
            copy = self._fragment(node.node)
            if number >= node.low:
                copy = replace(copy, empty=True)
            if node.high is None and number == copies - 1:
                self._connect(copy.last, copy.first)
            found = self._joined(found, copy)
        return found

    def _connect(self, before: int, behind: int) -> None:
        for state in _states(before):
            self.follow[state] |= behind


def _any_of(fragments: list[_Fragment]) -> _Fragment:
    first = last = 0
    for fragment in fragments:
        first |= fragment.first
        last |= fragment.last
    return _Fragment(first, last, any(fragment.empty for fragment in fragments))


def _states(states: int) -> Iterator[int]:
    """Yield the numbers of the bits that are set."""
    while states:
        lowest = states & -states
        yield lowest.bit_length() - 1
        states ^= lowest
