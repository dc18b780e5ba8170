"""A file of rules: any octets, compared with Python's own reader of TOML."""

import re
import tomllib
from collections.abc import Callable
from typing import Any

from mta.config.rules.mistakes import RuleMistakes
from mta.config.rules.rule_files import RuleSource
from mta.config.rules.rule_reader import read_book
from mta.config.rules.toml_tables import TomlTable, read_tables
from tests.fuzz.target import Growth, Tape, Target, is_line, sentences

_CANARY = "c4n4ry"
# A password without a word before it that tells it from other text, or in a text of several lines.
_UNPROTECTED = re.compile(rf"\"\"\"|'''|^(?!.*password).*{_CANARY}", re.MULTILINE)
_PATH = "/r/1.toml"
# Python's reader accepts these, and the relay's tells them as mistakes: escapes in keys, quotes in headers, and values
# or keys of many parts.
_UNUSUAL = re.compile(r"\\|\{|^[ \t]*\[.*[\"']|(?:\..*){5}|(?:\[[^\]]*){8}", re.MULTILINE)
# Mistakes between tables, which the reader of rules tells.
_OF_TABLES = re.compile("Cannot (?:declare|overwrite|mutate|append)|already|namespace")


def check(octets: bytes) -> None:
    """Read octets as a file of rules."""
    # The relay takes the first of several CRs before a LF as a part of the line's end, and Python does not.
    text = re.sub("\r+\n", "\r\n", octets.decode("utf-8", "replace"))
    tables, told = read_tables(text)
    last = text.count("\n") + 1
    assert all(1 <= each.line <= last for each in told)
    assert all(1 <= entry.line <= last for table in tables for entry in table.entries.values())
    _check_values(text, tables, told=bool(told))
    mistakes = RuleMistakes()
    for each in told:
        mistakes.add(_PATH, each.line, each.words)
    book = read_book([RuleSource(_PATH, "1.toml", tables, text)], mistakes)
    assert book is None or not mistakes, "rules with mistakes are in force"
    for line in mistakes.lines:
        assert is_line(line)
        assert line.startswith((f"{_PATH}:", "the rules have"))
        assert _CANARY not in line or _UNPROTECTED.search(text), "a password is shown"


def _check_values(text: str, tables: list[TomlTable], *, told: bool) -> None:
    """Demand the values that Python's reader finds, and mistakes where it finds one."""
    expected, problem = _read(text)
    if problem:
        assert told or _OF_TABLES.search(problem), f"not told: {problem}"
    elif told:
        assert _UNUSUAL.search(text.replace("\r\n", "\n")), "a mistake in valid TOML"
    else:
        # By its text, in which a number that is none equals itself.
        assert repr(_nested(tables)) == repr(_sorted(expected))


def _read(text: str) -> tuple[dict[str, Any], str]:
    """Return the values that Python's reader finds, or the words of its error."""
    try:
        return tomllib.loads(text), ""
    except (ValueError, RecursionError) as error:
        return {}, str(error)


def _nested(tables: list[TomlTable]) -> Any:
    root: dict[str, Any] = {}
    for table in tables:
        node = _below(root, table.name[:-1])
        if table.is_array:
            node.setdefault(table.name[-1], []).append({})
        for entry in table.entries.values():
            _below(_below(root, table.name), entry.key[:-1])[entry.key[-1]] = entry.value
        _below(root, table.name)
    return _sorted(root)


def _below(node: Any, name: tuple[str, ...]) -> Any:
    for part in name:
        node = node.setdefault(part, {})
        node = node[-1] if isinstance(node, list) else node
    return node


def _sorted(value: Any) -> Any:
    """Return a value with the keys of its tables in order."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value


# The two ways to an input


def read(tape: Tape) -> bytes:
    """Read a file: all octets there are."""
    return tape.rest()


_VOCABULARY = (
    *(b"[[acl]]\n", b"[lists]\n", b"[acl]\n", b"[[router]]\n", b"[smarthost.a]\n", b"[main]\n", b"[[acl]\n", b"["),
    *(b"]", b"{", b"}", b"\n", b"\n", b"\r\n", b"\r", b" ", b"#", b"=", b",", b".", b"\\", b'"', b"'", b'"""', b"'''"),
    *(b"name = ", b"sender = ", b"recipient = ", b"client = ", b"login = ", b"helo = ", b"tls = ", b"larger = "),
    *(b"unless.sender = ", b"header.Subject = ", b"accept = true\n", b"deny = 'no'\n", b"defer = ", b"hold = true\n"),
    *(b'"a.test"\n', b'["a.test", "<>"]\n', b"[\n'b@*',\n# x\n'+x',\n]\n", b"'trusted'\n", b"'10.0.0.0/8'\n", b"no\n"),
    *(
        b"'^a+@b'\n",
        b"'file:/nowhere'\n",
        b"true\n",
        b"5\n",
        b"'10M'\n",
        b"1e5\n",
        b"2020-01-01\n",
        b"{ a = 1 }\n",
        b"nan\n",
    ),
    *(b"x = ['a.test']\n", b"\xc3\xbc", b"\xff", b"\0", b"\\u00e9", b"hosts = ", b"PORT = ", b"a.b", b"\t", b"''\n"),
    *(b"password = c4n4ry\n", b"password: 'c4n4ry'\n", b"password_file = 'c4n4ry'\n", b"password_env = 'c4n4ry'\n"),
    *(b"password_file = ['c4n4ry']\n", b"user = 'u'\n", b"hosts = ['a.test:25', '[::1]']\n", b"smarthost = 'a'\n"),
    *(b"mx = true\n", b"mx = 'b.test'\n", b"discard = true\n", b"fail = '5.1.2 no'\n", b"tls = 'verify'\n"),
    *(b"[[transport]]\n", b"host = '*.test'\n", b"connections = 2\n", b"rate = ", b"rate_each = ", b"source = '::1'\n"),
    *(b"over = ", b"per = 'login'\n", b"'30 messages/minute'\n", b"['1 message / 5 seconds', '9recipients/day']\n"),
)
files = sentences(_VOCABULARY, 24)


def _shape(name: str, make: Callable[[int], bytes]) -> Growth[bytes]:
    return Growth(name, make, 1 << 15)


def _numbered(text: bytes, count: int) -> bytes:
    return b"".join(text % number for number in range(count))


GROWTH = (
    _shape("rules", lambda n: b"[[acl]]\nsender = ['a.test', 'b@c.test']\ndeny = 'no'\n" * (n // 64)),
    _shape(
        "ways", lambda n: b"".join(b"[[router]]\nsender = '%d.test'\nmx = true\n" % each for each in range(n // 40))
    ),
    _shape("carriages", lambda n: _numbered(b"[[transport]]\nrecipient = '%d.test'\nport = 26\n", n // 50)),
    _shape("rates", lambda n: _numbered(b"[[acl]]\nhelo = 'x'\nover = '%d messages/day'\nhold = true\n", n // 64)),
    _shape("smarthosts", lambda n: _numbered(b"[smarthost.a%d]\nhosts = 'a.test'\n", n // 40)),
    _shape("a long array", lambda n: b"[[acl]]\nsender = [\n" + b"'a.test',\n" * (n // 10) + b"]\ndeny = 'no'\n"),
    _shape("mistakes in an array", lambda n: b"[[acl]]\nsender = [\n" + b"'a b',\n" * (n // 7) + b"]\ndeny = 'no'\n"),
    _shape("keys", lambda n: b"[lists]\n" + b"".join(b"k%d = 'a'\n" % number for number in range(n // 12))),
    _shape("headers", lambda n: b"[[acl]]\n" * (n // 8)),
    _shape("brackets", lambda n: b"a = " + b"[" * n),
    _shape("arrays that are not closed", lambda n: b"a = [\n" * (n // 6)),
    _shape("inline tables", lambda n: b"a = " + b"{a=" * (n // 3)),
    _shape("parts of a key", lambda n: b"a." * (n // 2) + b"a = 1"),
    _shape("quotes", lambda n: b"a = " + b'"' * n),
    _shape("escapes", lambda n: b'a = "' + b"\\" * n),
    _shape("a text of many lines", lambda n: b'a = """' + b"x\n" * (n // 2)),
    _shape("blanks", lambda n: b"a" + b" " * n + b"b"),
    _shape("a long number", lambda n: b"a = " + b"1" * n),
    _shape("a long header", lambda n: b"[[" + b"a" * n),
)
TARGET = Target("rule-files", check, read, files, _VOCABULARY, GROWTH)
