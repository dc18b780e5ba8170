"""The aliases file, which maps names to mailboxes and addresses, in the format of sendmail, Postfix and Exim.

    # a comment; a line that begins with a blank goes on with the line before
    postmaster: root
    root:       bob, admin@corp.example
    sales@a.example: "ann smith"@corp.example, carol
    nobody:     /dev/null

An alias cannot run a program, or name a file to read or write: such an alias is ignored, with a notice that says so.
The file is read again whenever it has changed.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mta.file_stamp import FileStamp, read_if_changed
from mta.smtp.address import Address, AddressError, parse_address, parse_domain

#: The largest number of recipients that an alias may expand to, and of aliases between a name and a recipient.
MAX_RECIPIENTS = 1000
MAX_DEPTH = 20

# A value ends at a comma or a line end that is not quoted.
_VALUE = re.compile(r'(?:"(?:\\.|[^"\\\n])*"|[^,\n"]|")+')
_KEY = re.compile(r'("(?:\\.|[^"\\])*"|[^\s:"#]+)[ \t]*:(.*)', re.DOTALL)
_QUOTED = re.compile(r'"((?:\\.|[^"\\])*)"')
_IN_BRACKETS = re.compile(r"[^<>]*<([^<>]*)>")
_ESCAPE = re.compile(r"\\(.)")
_BLACK_HOLES = frozenset({"/dev/null", ":blackhole:"})


@dataclass(frozen=True, slots=True)
class AliasTarget:
    """A value of an alias: an address, or a local name if its domain is "". With `final` it is not expanded further."""

    address: Address
    final: bool = False


@dataclass(frozen=True, slots=True)
class AliasEntry:
    """One entry of the file. Without targets its mail is dropped, or with `refused` (`:fail:`) rejected."""

    targets: tuple[AliasTarget, ...] = ()
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Expansion:
    """The recipients that replace an alias: local mailboxes and outside addresses, each once, in the file's order."""

    users: tuple[Address, ...] = ()
    outside: tuple[Address, ...] = ()
    #: Whether mail for the alias is rejected.
    refused: bool = False
    #: The reason if the alias cannot be expanded; the other fields are then meaningless.
    error: str = ""


@dataclass(frozen=True, slots=True)
class Aliases:
    """The content of an aliases file. The keys are `name` or `name@domain`, in lower case."""

    entries: Mapping[str, AliasEntry] = field(default_factory=dict)
    #: One line for the operator about each line that was not understood or is not supported.
    notices: tuple[str, ...] = ()

    def expand(self, local: str, domain: str, is_local: Callable[[str], bool]) -> Expansion | None:
        """Return the recipients that replace a local recipient, or None if it is not an alias.

        Local names are expanded in the same `domain`. A name among its own targets is the mailbox of that name, as in
        `bob: bob, bob@corp.example`.
        """
        key = self.key(local, domain)
        return None if key is None else self.expand_key(key, domain, is_local)

    def expand_key(self, key: str, domain: str, is_local: Callable[[str], bool]) -> Expansion:
        """Return the recipients that replace a recipient in this domain whose entry has this key."""
        return _Expanding(self, is_local).expand_key(key, domain)

    def key(self, local: str, domain: str) -> str | None:
        """Return the key of a recipient's entry, or None.

        An entry with the domain precedes one without, and one with the `+detail` of the recipient precedes one without.
        """
        if not self.entries:
            return None
        name = local.lower()
        base = name.partition("+")[0]
        for key in (f"{name}@{domain}", f"{base}@{domain}", name, base):
            if key in self.entries:
                return key
        return None


class _Expanding:
    """The state of one expansion."""

    def __init__(self, aliases: Aliases, is_local: Callable[[str], bool]) -> None:
        self._aliases = aliases
        self._is_local = is_local
        self._users: dict[tuple[str, str], Address] = {}
        self._outside: dict[Address, None] = {}
        self._seen: set[str] = set()
        self._refused = False
        self._error = ""

    def expand_key(self, key: str, domain: str) -> Expansion:
        self._add_entry(key, domain, ())
        if self._error:
            return Expansion(error=self._error)
        users, outside = tuple(self._users.values()), tuple(self._outside)
        return Expansion(users, outside, self._refused and not (users or outside))

    def _add_entry(self, key: str, domain: str, chain: tuple[str, ...]) -> None:
        """Collect the targets of an entry; `chain` holds the keys that led to it."""
        if len(chain) >= MAX_DEPTH:
            self._error = f"the alias {chain[0]} leads through more than {MAX_DEPTH} others"
            return
        self._seen.add(key)
        chain = (*chain, key)
        entry = self._aliases.entries[key]
        self._refused |= entry.refused
        for target in entry.targets:
            self._add_target(target, domain, chain)
            if len(self._users) + len(self._outside) > MAX_RECIPIENTS:
                self._error = f"the alias {chain[0]} stands for more than {MAX_RECIPIENTS} recipients"
            if self._error:
                return

    def _add_target(self, target: AliasTarget, domain: str, chain: tuple[str, ...]) -> None:
        address = target.address
        if address.domain and not self._is_local(address.domain):
            self._outside[address] = None
            return
        target_domain = address.domain or domain
        key = None if target.final else self._aliases.key(address.local, target_domain)
        if key is None or key in chain:
            self._users.setdefault((address.local.lower(), target_domain), Address(address.local, target_domain))
        elif key not in self._seen:
            self._add_entry(key, target_domain, chain)


def parse_aliases(text: str) -> Aliases:
    """Parse an aliases file. Never raises: an error drops one entry or one of its targets, and adds a notice."""
    parser = _Parser()
    for number, entry in _entries(text):
        parser.add_entry(number, entry)
    return Aliases(parser.entries, tuple(parser.notices))


def _entries(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number of the first line and the text of each entry; its lines stay separate."""
    began, lines = 0, list[str]()
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] in " \t" and lines:
            lines.append(line)
            continue
        if lines:
            yield began, "\n".join(lines)
        began, lines = number, [line]
    if lines:
        yield began, "\n".join(lines)


class _Parser:
    """Collects entries and notices."""

    def __init__(self) -> None:
        self.entries: dict[str, AliasEntry] = {}
        self.notices: list[str] = []

    def add_entry(self, number: int, text: str) -> None:
        match = _KEY.match(text.strip())
        key = _read_key(_unquoted(match[1])) if match else None
        if match is None or key is None:
            self._notice(number, f"{_start(text)} is not of the form `name: value, value`")
        elif key in self.entries:
            self._notice(number, f"{key} is there already; the first one counts")
        elif (alias := self._alias(number, key, match[2])) is not None:
            self.entries[key] = alias

    def _alias(self, number: int, key: str, values: str) -> AliasEntry | None:
        if values.strip().lower().startswith(":fail:"):
            return AliasEntry(refused=True)
        items = [item for found in _VALUE.findall(values) if (item := found.strip())]
        kept = [item for item in items if _unquoted(item).lower() not in _BLACK_HOLES]
        for item in kept:
            if (reason := _unsupported(_unquoted(item))) is not None:
                self._notice(number, f"{key} is ignored: {reason}")
                return None
        targets = [target for item in kept if (target := self._target(number, key, item)) is not None]
        if targets or (items and not kept):
            return AliasEntry(tuple(dict.fromkeys(targets)))
        if not items:
            self._notice(number, f"{key} has no value")
        return None

    def _target(self, number: int, key: str, item: str) -> AliasTarget | None:
        try:
            return _read_target(item)
        except AddressError as error:
            self._notice(number, f"{key}: {_start(item)} is left out: {error}")
            return None

    def _notice(self, number: int, text: str) -> None:
        self.notices.append(f"line {number}: {text}")


def _read_key(name: str) -> str | None:
    """Return a key in the form used for look-ups, or None if it cannot be a recipient."""
    local, at, domain = name.rpartition("@")
    if not at:
        return name.lower() or None
    try:
        return f"{local.lower()}@{parse_domain(domain)}" if local else None
    except AddressError:
        return None


def _unsupported(value: str) -> str | None:
    """Return why the relay does not do what a value asks for, or None if it does."""
    if value.startswith("|"):
        return "programs are not run; deliver to a mailbox instead"
    if value.startswith("/"):
        return "files are not written; deliver to a mailbox instead"
    if value.lower().startswith(":include:"):
        return "lists in other files are not read; write the addresses here"
    if value.startswith(":"):
        return f"{_start(value)} is not known"
    return None


def _read_target(item: str) -> AliasTarget:
    bracketed = _IN_BRACKETS.fullmatch(item)
    text = bracketed[1].strip() if bracketed else item
    final = text.startswith("\\")
    text = text.removeprefix("\\")
    if _QUOTED.fullmatch(text):
        name = _unquoted(text)
        # A value that is quoted as a whole may still be an address: "bob@a.example".
        text = name if "@" in name else text
    if "@" in text:
        return AliasTarget(parse_address(text), final)
    # A name has the grammar of a local part, so it is parsed with an arbitrary domain.
    return AliasTarget(Address(parse_address(f"{text}@localhost").local, ""), final)


def _unquoted(text: str) -> str:
    match = _QUOTED.fullmatch(text)
    return _ESCAPE.sub(r"\1", match[1]) if match else text


def _start(text: str) -> str:
    """Return the beginning of a text in quotes."""
    line = " ".join(text.split())
    return repr(line if len(line) <= 60 else line[:57] + "...")


#: The largest aliases file that is read, in octets.
MAX_OCTETS = 8 * 1024 * 1024


class AliasesFile:
    """The aliases of one file, kept up to date. While the file cannot be read, the last aliases stay in force."""

    def __init__(self, path: Path, notice: Callable[[str], None]) -> None:
        """Read the file; `notice` gets a line for each problem that the operator should fix, once for each change."""
        self._path = path
        self._notice = notice
        self._aliases = Aliases()
        self._stamp: FileStamp | None = None
        self._last_notice = ""
        self.current()

    def current(self) -> Aliases:
        """Return the current aliases. Costs a stat of the file, and reading it if it has changed."""
        try:
            changed = read_if_changed(self._path, self._stamp, MAX_OCTETS + 1)
            if changed is not None:
                octets, self._stamp = changed
                self._parse(octets)
            self._last_notice = ""
        except OSError as error:
            self._report(f"cannot read the aliases file {self._path}: {error.strerror}; going on with what it said")
        return self._aliases

    def reload(self) -> None:
        """Read the file again, changed or not, and report its problems again."""
        self._stamp, self._last_notice = None, ""
        self.current()

    def _parse(self, octets: bytes) -> None:
        if len(octets) > MAX_OCTETS:
            self._notice(f"the aliases file {self._path} has more than {MAX_OCTETS >> 20} MiB and is not read")
            return
        self._aliases = parse_aliases(octets.decode(errors="replace"))
        for notice in self._aliases.notices:
            self._notice(f"aliases file {self._path}, {notice}")

    def _report(self, text: str) -> None:
        if text != self._last_notice:
            self._last_notice = text
            self._notice(text)
