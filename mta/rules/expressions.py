"""Regular expressions of rules, which take a bounded time on any text.

Python's matcher tries the ways in which a text may be divided among the repetitions and branches of an expression one
after another. A stranger may choose the text, so the number of these ways is bounded when the expression is read.
"""

import re
from math import comb

#: The characters of an expression.
MAX_EXPRESSION = 200
# The ways in which a text may be divided. A text that needs all of them takes about 50 ms.
_MAX_WAYS = 4_000_000
_MAX_BOUND = 1000

_TOKEN = re.compile(
    r"""(?P<class>\[\^?\]?(?:\\.|[^\]\\])*+\])
      | (?P<reference>\\[1-9])
      | (?P<escape>\\.)
      | (?P<special>\(\?(?!:))
      | (?P<branch>\|)
      | (?P<repetition>\)?(?:[*+]|\{(?:[0-9]+,?[0-9]*|,[0-9]+)\})[?+]?)
      | (?P<option>\?[?+]?)""",
    re.VERBOSE | re.DOTALL,
)
_BOUNDS = re.compile(r"\{([0-9]*)(,?)([0-9]*)\}")


def read_expression(text: str, longest: int) -> re.Pattern[str]:
    """Compile `^` and a regular expression that is to match the whole of a text of up to `longest` characters.

    Case is ignored. Raises ValueError if it is no regular expression, or could take long.
    """
    if len(text) > MAX_EXPRESSION:
        raise ValueError(f"a regular expression has at most {MAX_EXPRESSION} characters")
    _check_effort(text, longest)
    try:
        return re.compile(text, re.IGNORECASE | re.DOTALL)
    except (re.error, OverflowError) as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None


def _check_effort(text: str, longest: int) -> None:
    ways, unbounded = 1, 0
    for token in _TOKEN.finditer(text):
        kind, found = token.lastgroup, token[0]
        if kind == "special":
            raise ValueError(f"{text!r}: of the groups that begin with (? only (?: may be used")
        if kind == "reference":
            raise ValueError(f"{text!r}: {found} cannot be used, which stands for the text of a group")
        if kind == "repetition":
            if found.startswith(")"):
                raise ValueError(f"{text!r} repeats a group, which can take for ever: write it without {found[1:]}")
            spread = _spread(text, found)
            ways, unbounded = (ways, unbounded + 1) if spread is None else (ways * spread, unbounded)
        elif kind in ("branch", "option"):
            ways *= 2
    # So many ways divide a text among repetitions, one behind the other.
    if ways * comb(longest + unbounded, unbounded) > _MAX_WAYS:
        raise ValueError(f"{text!r} can take very long: use fewer of * + {{}} ? and |, or several patterns")


def _spread(text: str, repetition: str) -> int | None:
    """Return the lengths that a repetition may have; None if their number depends on the text."""
    bounds = _BOUNDS.search(repetition)
    if bounds is None:
        return None
    low, high = int(bounds[1] or 0), int(bounds[3] or 0) if bounds[2] else int(bounds[1])
    if max(low, high) > _MAX_BOUND:
        raise ValueError(f"{text!r} repeats more than {_MAX_BOUND} times")
    return None if bounds[2] and not bounds[3] else max(high - low + 1, 1)
