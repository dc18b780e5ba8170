"""Reads the tables [smarthost.NAME]: hosts with a login, which [[router]] rules of all files may name."""

import re
from collections.abc import Callable

from mta.config.rules.keys.key import SMARTHOST, RuleKey
from mta.config.rules.keys.table import find_key
from mta.config.rules.pattern_items import PatternItems
from mta.config.rules.rule_files import RuleSource
from mta.config.rules.rule_values import RuleValueError, ValueReader
from mta.config.rules.rule_words import no_smarthost, unknown_key
from mta.config.rules.stages.hosts import OpenHosts, text_of
from mta.config.rules.stages.secrets import RuleSecrets
from mta.config.rules.toml_tables import TableEntry, TomlTable
from mta.config.setting import shorten
from mta.config.smarthost import LAX_LOGIN
from mta.config.value_types import read_secret
from mta.routing.route import Credentials, Smarthost, TlsRule
from mta.rules.conditions import RulePlace
from mta.rules.transport import DEFAULT_SMARTHOST

#: The smarthosts of all files together.
MAX_SMARTHOSTS = 1000
# The names of the smarthost of the settings: in rules, and in the log.
_RESERVED = {DEFAULT_SMARTHOST, Smarthost((), TlsRule.VERIFY).name}
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,38}[A-Za-z0-9])?")
_USER, _PASSWORD = ("user", "user_file"), ("password_file", "password_env")


class Smarthosts:
    """The smarthosts with a name, while all files are read."""

    def __init__(self, items: PatternItems, secrets: RuleSecrets) -> None:
        self._items = items
        self._secrets = secrets
        #: By name; None for one that has mistakes.
        self.named: dict[str, Smarthost | None] = {}
        items.smarthosts = self.named

    def read(self, source: RuleSource, table: TomlTable) -> None:
        """Read a table whose name begins with `smarthost`, and tell of its mistakes."""
        name = ".".join(table.name[1:])
        if words := self._name_problem(table, name):
            self._items.tell(RulePlace(source.path, table.line), words)
        if not name or name in self.named:
            return
        if len(self.named) >= MAX_SMARTHOSTS:
            words = f"there are more than {MAX_SMARTHOSTS} smarthosts"
            self._items.tell(RulePlace(source.path, table.line), words)
            return
        self.named[name] = None
        found = _OpenSmarthost(self._secrets)
        complete = not table.damaged
        values = ValueReader(source.path, self._items)
        for entry in table.entries.values():
            try:
                found.add(entry, values)
            except RuleValueError as error:
                self._items.tell(RulePlace(source.path, entry.line), str(error))
                complete = False
        if not complete:
            return
        where = f"[{SMARTHOST}.{name}] in {RulePlace(source.name, table.line)}"
        try:
            made = found.finish(name, where)
        except RuleValueError as error:
            self._items.tell(RulePlace(source.path, table.line), f"[{SMARTHOST}.{shorten(name, 60)}] {error}")
            return
        self.named[name] = made
        if made.credentials is not None and made.tls in LAX_LOGIN:
            self._items.mistakes.notices.append(f"{where}: tls = {made.tls.value}: {LAX_LOGIN[made.tls]}")

    def find(self, name: str) -> Smarthost:
        """Return a smarthost; one that has mistakes has no hosts. Raises RuleValueError."""
        if name in self.named:
            return self.named[name] or Smarthost((), TlsRule.VERIFY, name=name)
        if name == DEFAULT_SMARTHOST:
            raise RuleValueError("the smarthost of the settings gets the mail for which no rule applies")
        raise RuleValueError(no_smarthost(name, self.named))

    def _name_problem(self, table: TomlTable, name: str) -> str:
        """Return words for the header of a table, or ""."""
        shown = shorten(name, 60)
        if not name:
            return f"a smarthost has a name, [{SMARTHOST}.office]"
        if name in _RESERVED:
            return f"{name} is the smarthost of the settings; give this one another name, [{SMARTHOST}.office]"
        if len(table.name) > 2 or not _NAME.fullmatch(name):
            return f"{shown}: the name of a smarthost has up to 40 letters, digits and dashes, [{SMARTHOST}.office]"
        if name in self.named:
            return f"there is another [{SMARTHOST}.{shown}]; each has a name of its own"
        if table.is_array:
            return f"[[{SMARTHOST}.{shown}]] would be several tables; write [{SMARTHOST}.{shown}]"
        return ""


class _OpenSmarthost:
    """One smarthost while its entries are read."""

    def __init__(self, secrets: RuleSecrets) -> None:
        self._secrets = secrets
        self._hosts = OpenHosts(secrets)
        #: By key, the parts of the login.
        self._login: dict[str, str] = {}

    def add(self, entry: TableEntry, values: ValueReader) -> None:
        """Add a part. Raises RuleValueError."""
        key, _ = find_key(entry.key, SMARTHOST)
        if key is None:
            raise RuleValueError(unknown_key(SMARTHOST, entry))
        try:
            if key.name in (*_USER, *_PASSWORD):
                self._login[key.name] = self._read_secret(key, text_of(key, entry))
            else:
                self._hosts.add(key, entry, values)
        except RuleValueError as error:
            raise RuleValueError(f"{entry.name}: {error}") from None

    def finish(self, name: str, where: str) -> Smarthost:
        """Return the smarthost. Raises RuleValueError with words that follow its name."""
        if not self._hosts.hosts and "hosts" not in self._hosts.given:
            raise RuleValueError('has no hosts; hosts = ["smtp.example.com:587"]')
        user, password = (self._part(*pair) for pair in (_USER, _PASSWORD))
        if not user and not password:
            return self._hosts.made(name, where)
        if not user or not password:
            missing, pair = ("password", _PASSWORD) if user else ("user", _USER)
            raise RuleValueError(f"has a login without a {missing}; {' or '.join(pair)} is missing")
        return self._hosts.made(name, where, Credentials(user, password, where))

    def _part(self, first: str, second: str) -> str:
        """Return the user or the password, "" if it is not given. Raises RuleValueError."""
        if first in self._login and second in self._login:
            raise RuleValueError(f"has both {first} and {second}; keep one of them")
        return self._login.get(first) or self._login.get(second, "")

    def _read_secret(self, key: RuleKey, text: str) -> str:
        """Return a part of the login by the value of its key. Raises RuleValueError."""
        read: dict[str, Callable[[str], str]] = {
            "user": read_secret,
            "password_env": self._secrets.from_variable,
        }
        try:
            return read.get(key.name, self._secrets.from_file)(text)
        except ValueError as error:
            raise RuleValueError(f"{error}; {key.name} = {key.example}") from None
