"""Words for mistakes of TOML's syntax: the usual ones are recognized, the others keep the words of `tomllib`."""

import re

from mta.config.setting import MASK, shorten

_SHOWN = 60
# Characters in which the mistake is looked for.
_LOOKED_AT = 2000
_RULE_KINDS = ("acl", "rewrite", "router", "transport", "retry")
_HEADER_NAME = re.compile(r"[\s\[]*([A-Za-z_][\w.\-]*)")
_COLON = re.compile(r"[ \t]*([\w.\-\"']+)[ \t]*:[ \t]*(.*)", re.DOTALL)
_KEY = re.compile(r"[ \t]*([\w.\-\"']+)[ \t]*")
_POSITION = re.compile(r" \(at [^()]*\)$")
_VALUE = re.compile(r"[ \t]*([^=]*?)[ \t]*=[ \t]*(.*)", re.DOTALL)
_LINE = re.compile(r"\(at line ([0-9]+), ")
_BARE_VALUE = re.compile(r"[^\s\"'\[{#,][^\"'\[\]{}#,\n]*")
_STRING = re.compile(r"\"(?>(?:[^\"\\\n]|\\.)*)\"|'[^'\n]*+'")
_COMMENT = re.compile(r"#[^\n]*")
_SECRET = re.compile(
    r"""(?<![\w.\-"'])([\w.\-"']*(?:pass|pwd|secret|token)[\w.\-]*["']?[ \t]*+[=:]?[ \t]*+).*""",
    re.IGNORECASE | re.DOTALL,
)
_ODD_QUOTES = "\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb`"


class StatementError(ValueError):
    """A key has no value that is TOML. `lines_below` is the distance of the mistake from the line of the key."""

    def __init__(self, words: str, lines_below: int = 0) -> None:
        super().__init__(words)
        self.lines_below = lines_below


def no_header(source: str) -> str:
    """Return words for a line that begins with `[` and is not the header of a table."""
    name = _HEADER_NAME.match(source)
    first = name[1].partition(".")[0] if name else "acl"
    right = f"[[{first}]]" if first in _RULE_KINDS else f"[{name[1] if name else first}]"
    return f"{_shown(_without_secret(source[:_LOOKED_AT]))} begins no table; the line must be {right} alone"


def no_assignment(source: str) -> str:
    """Return words for a line that is no key with a value."""
    source = _without_secret(source[:_LOOKED_AT])
    if colon := _COLON.match(source):
        return f"{_shown(source)}: a key is followed by =, not by a colon; {colon[1]} = ..."
    key = _KEY.fullmatch(source.split("#", 1)[0].rstrip())
    if key:
        return f"{_shown(key[1])} has no value; {_shown(key[1])} = ..."
    return f"{_shown(source)} is no line of a rule; the form is key = value"


def of_statement(source: str, problem: str, *, is_open: bool) -> StatementError:
    """Return the error for a key whose value is not TOML.

    `problem` is the text of tomllib's error; `is_open` tells whether a bracket of the value is not closed.
    """
    match = _VALUE.match(_without_secret(source[:_LOOKED_AT]))
    key, value = (match[1], match[2]) if match else ("key", source)
    found = _LINE.search(problem)
    below = int(found[1]) - 1 if found and value.startswith("[") and not is_open else 0
    if below and MASK not in value:
        item = _shown(source.split("\n", below + 1)[below])
        return StatementError(f"{key}: {item}: {_of_array(key, is_open=False)}", below)
    return StatementError(_of_value(key, value, problem, is_open=is_open))


def _of_value(key: str, value: str, problem: str, *, is_open: bool) -> str:
    if MASK in value:
        return f'{key}: the value cannot be read; text stands in quotes, {key} = "..."'
    bare = _COMMENT.sub("", _STRING.sub("", value))
    shown = f"{key} = {_shown(value)}"
    if any(quote in bare for quote in _ODD_QUOTES):
        return f"{shown}: text stands in straight quotes, " + f'{key} = "..."'
    if word := _BARE_VALUE.match(value):
        return f"{shown}: {_of_bare_word(key, word[0].strip())}"
    if '"' in bare or "'" in bare:
        return f"{shown}: a closing quote is missing; text of one line stands in quotes"
    if "\\" in value and _is_about_escape(problem):
        return f"{shown}: in double quotes \\ begins an escape; use single quotes, {key} = '...'"
    if value.startswith("["):
        return f"{shown}: {_of_array(key, is_open=is_open)}"
    if not value.strip():
        return f'{key} has no value; {key} = "..."'
    words = _POSITION.sub("", problem)
    return f"{shown}: {words[:1].lower()}{words[1:]}; the form is key = value, one a line"


def _of_bare_word(key: str, word: str) -> str:
    lower = word.lower()
    if lower in {"true", "false"}:
        return f"{lower} is written in small letters and stands alone, {key} = {lower}"
    return f'text stands in quotes, {key} = "{_shown(word)}"'


def _of_array(key: str, *, is_open: bool) -> str:
    if is_open:
        return f'the array is not closed; {key} = ["..."]'
    return f'the items of an array are texts in quotes with commas between them, {key} = ["..."]'


def _without_secret(source: str) -> str:
    """Return a text with a mask in place of what follows a key that may have a password, as no mistake may show it."""
    return _SECRET.sub(rf'\1"{MASK}"', source, count=1)


def _is_about_escape(problem: str) -> bool:
    return "escape" in problem.lower() or "'\\'" in problem or "hex" in problem.lower()


def _shown(text: str) -> str:
    return shorten(text.strip().split("\n", 1)[0].rstrip(), _SHOWN)
