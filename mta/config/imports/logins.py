"""Makes `[smarthost.NAME]` tables of the files of passwords: Exim's passwd.client and Postfix's sasl_passwd.

A password is never printed. Each gets a file of its own, and the table names it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath

from mta.config.imports.blocks import Block, CannotImportError, LeftOut, Section
from mta.config.imports.hosts import Nexthop, read_nexthop
from mta.config.imports.routes import first_of_each
from mta.config.imports.tables import TableLine, lsearch_table, postfix_table
from mta.smtp.address import is_deceptive

PASSWD_CLIENT, SASL_PASSWD = "passwd.client", "sasl_passwd"
#: The directory of password files whose contents are not written.
USUAL_SECRETS = PurePath("/run/secrets")

# With a number behind it, a name still has the 40 characters that a table may have.
_MAX_NAME = 36
_NOT_IN_NAME = re.compile(r"[^a-z0-9]+")
# Names of the smarthost of the settings.
_RESERVED = ("default", "smarthost")


@dataclass(frozen=True, slots=True)
class Secret:
    """A password and the name of its file."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Login:
    """A login of a file of passwords; `key` is the host, next hop or sender that it stands for."""

    line: int
    key: str
    user: str = field(repr=False)
    password: str = field(repr=False)


class ImportedSmarthosts:
    """The tables [smarthost.NAME] that were made, each with a name of its own, and the files of their passwords."""

    def __init__(self, directory: PurePath = USUAL_SECRETS, *, written: bool = False) -> None:
        """`directory` has the files of passwords; `written` tells whether the command writes them."""
        self.secrets: list[Secret] = []
        self._directory = directory
        self._written = written
        self._names: set[str] = set(_RESERVED)

    def add(
        self, file: str, login: Login, hosts: tuple[str, ...], *comments: str, words: str = ""
    ) -> tuple[str, Block]:
        """Return the name and the table for a login at these hosts. `words` become the name, or the login's key."""
        name = self._free_name(words or login.key)
        self.secrets.append(Secret(name, login.password))
        path = self._directory / name
        where = f"its password is in {path}" if self._written else f"put its password into {path}"
        comment = f"{file}:{login.line}; {where}, which the relay's user must be able to read."
        entries = (("hosts", hosts), ("user", login.user), ("password_file", str(path)))
        return name, Block(f"[smarthost.{name}]", entries, (comment, *comments))

    def secret_of(self, login: Login, words: str) -> PurePath:
        """Return the path of a password file for a login that is no table."""
        name = self._free_name(words)
        self.secrets.append(Secret(name, login.password))
        return self._directory / name

    def _free_name(self, words: str) -> str:
        base = _NOT_IN_NAME.sub("-", words.lower()).strip("-")[:_MAX_NAME].strip("-") or "smarthost"
        name, number = base, 2
        while name in self._names:
            name, number = f"{base}-{number}", number + 1
        self._names.add(name)
        return name


def read_logins(section: Section, lines: Iterator[TableLine]) -> Iterator[Login]:
    """Yield the logins `user:password` of a table, of which the first for a key counts. Others are left out.

    The reasons name no part of a line but its key, because the rest may be a password.
    """
    for line in first_of_each(section, lines, secret=True):
        user, colon, password = line.value.partition(":")
        if not line.value or not colon or not user.strip() or not password:
            section.left_out.append(LeftOut(line.number, "the line is no host or sender with user:password behind it"))
        elif is_deceptive(user) or is_deceptive(password) or len(line.value) > 1000:
            section.left_out.append(LeftOut(line.number, "the login is too long, or has a character without a shape"))
        else:
            yield Login(line.number, line.key, user, password)


def import_passwd_client(text: str, smarthosts: ImportedSmarthosts) -> Section:
    """Return a table for each host of passwd.client, to which Exim sends the login by the name of its address."""
    section = Section(PASSWD_CLIENT)
    for login in read_logins(section, lsearch_table(text)):
        if "*" in login.key or login.key.startswith("^"):
            path = smarthosts.secret_of(login, f"smarthost {login.key}")
            section.left_out.append(LeftOut(login.line, _as_settings(login, path)))
            continue
        try:
            hop = read_nexthop(f"[{login.key}]")
        except CannotImportError:
            section.left_out.append(LeftOut(login.line, "the line does not begin with a host"))
            continue
        section.blocks.append(smarthosts.add(PASSWD_CLIENT, login, (hop.place,), *_unused(hop))[1])
    return section


def _as_settings(login: Login, path: PurePath) -> str:
    aliases = f" and SMARTHOST_ALIASES={login.key}" if not login.key.startswith("^") and login.key != "*" else ""
    return (
        f"it concerns no single host; for the smarthost of all mail set SMARTHOST_USER to its user,"
        f" SMARTHOST_PASSWORD_FILE={path}{aliases}"
    )


def _unused(hop: Nexthop) -> Iterator[str]:
    port = f" and SMARTHOST_PORT={hop.port}" if hop.has_port else ""
    if not port:
        yield f"The line names no port; correct it in hosts if it is not {hop.port}."
    yield (
        f"No rule here uses it. If all mail goes through this host, SMARTHOST_ADDRESS={hop.host}{port} with"
        " SMARTHOST_USER and SMARTHOST_PASSWORD_FILE do the same."
    )


class SaslPasswords:
    """The logins of sasl_passwd, each of which becomes a table when a route uses it, or at the end."""

    def __init__(self, text: str, smarthosts: ImportedSmarthosts) -> None:
        self.section = Section(SASL_PASSWD)
        self._smarthosts = smarthosts
        self._logins = {login.key: login for login in read_logins(self.section, postfix_table(text))}
        self._made: dict[tuple[str, tuple[str, ...]], tuple[str, Block]] = {}
        # The keys that are addresses, by their domains.
        self._senders: dict[str, list[str]] = {}
        for key in self._logins:
            local, at, domain = key.rpartition("@")
            if local:
                self._senders.setdefault(at + domain, []).append(key)

    def smarthost(self, hops: tuple[Nexthop, ...], sender: str = "") -> str:
        """Return the name of the table for these hosts, or "" if Postfix has no login for them.

        With a `sender`, an address or `@domain`, its own login comes first, as Postfix's
        smtp_sender_dependent_authentication has it. Raises CannotImportError if the hosts have different logins.
        """
        found = self._logins.get(sender) or self._logins.get(f"@{sender.rpartition('@')[2]}")
        if found is None:
            logins = {self._logins.get(hop.host) or self._logins.get(hop.text) for hop in hops}
            if len(logins) > 1:
                raise CannotImportError("its hosts have different logins, and a table has one")
            (found,) = logins
        if found is None:
            return ""
        places = tuple(hop.place for hop in hops)
        if (found.key, places) not in self._made:
            words = sender if "@" in found.key else hops[0].host
            self._made[found.key, places] = self._smarthosts.add(SASL_PASSWD, found, places, words=words)
        return self._made[found.key, places][0]

    def senders_of(self, key: str) -> list[str]:
        """Return the addresses with a login of their own that belong to a key `@domain`, in order; none for others."""
        return self._senders.get(key, [])

    def finish(self) -> Section:
        """Return the section: the tables in the order of their lines, and those that no route uses."""
        used = {key for key, _ in self._made}
        for login in self._logins.values():
            if login.key not in used:
                self._add_unused(login)
        made = sorted(self._made.items(), key=lambda each: (self._logins[each[0][0]].line, each[1][0]))
        self.section.blocks += [block for _, (_, block) in made]
        return self.section

    def _add_unused(self, login: Login) -> None:
        if "@" in login.key:
            reason = f"no line of sender_relay gives a host for {login.key}"
            self.section.left_out.append(LeftOut(login.line, reason))
            return
        try:
            hop = read_nexthop(login.key)
        except CannotImportError as error:
            self.section.left_out.append(LeftOut(login.line, str(error)))
            return
        made = self._smarthosts.add(SASL_PASSWD, login, (hop.place,), *_unused(hop), words=hop.host)
        self._made[login.key, (hop.place,)] = made
