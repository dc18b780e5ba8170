"""The relay as its present settings and rules make it, for explanations of the decisions that it would make now."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mta.blocking import RunBlocking, run_inline
from mta.config.settings import Settings
from mta.daemon.parts.lookups import trust_lookup
from mta.dns.answers import Resolver
from mta.explain.demands.facts import DemandSource
from mta.explain.parts import DecidingParts, Sources, deciding_parts
from mta.explain.trust import Lookups
from mta.rules.book import RuleBook
from mta.users.users import Users, UsersError
from mta.users.users_file import User


class UnknownUser(Exception):
    """There is no such user; the text names the setting."""


def _ignore(_line: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class PresentRelay:
    """The settings and rules in force at the time of one question, and the ways to look further."""

    settings: Settings
    book: RuleBook | None
    #: Without one, no name is looked up.
    resolver: Resolver | None = None
    #: Reads the files that the settings name.
    run: RunBlocking = run_inline
    #: Gets a line for each problem in these files.
    notice: Callable[[str], None] = _ignore
    #: The demands on MX hosts; None if they are not looked at.
    demands: DemandSource | None = None

    async def parts(self, login: str = "") -> DecidingParts:
        """Return the deciding parts, for a client that has logged in as `login` unless that is "".

        Raises UnknownUser.
        """
        names = (*self.settings.trusted.names, *(self.book.host_names if self.book else ()))
        lookups = {} if self.resolver is None else await _look_up(self.resolver, dict.fromkeys(names))
        return await self.run(lambda: self._parts(login, lookups))

    def _parts(self, login: str, lookups: Lookups) -> DecidingParts:
        user = self._user(login) if login else None
        return deciding_parts(
            self.settings, Sources(self.book, user, self.resolver, lookups, self.demands), self.notice
        )

    def _user(self, login: str) -> User:
        settings = self.settings
        place = settings.auth_users_file or "AUTH_USERS"
        if not settings.auth_users and settings.auth_users_file is None:
            raise UnknownUser(f"there is no user {login} in {place}")
        try:
            users = Users(
                text=settings.auth_users, path=settings.auth_users_file, mailname=settings.mailname, notice=self.notice
            )
        except UsersError as error:
            raise UnknownUser("; ".join(error.mistakes)) from None
        if (found := users.find(login)) is None:
            raise UnknownUser(f"there is no user {login} in {place}")
        return found


async def _look_up(resolver: Resolver, names: Iterable[str]) -> Lookups:
    """Return the addresses of host names, without those whose look-up failed."""
    look_up = trust_lookup(resolver)
    found = {name: (await look_up(name)) for name in names}
    return {name: each.found for name, each in found.items() if each.found is not None}
