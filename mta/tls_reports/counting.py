"""Counts the TLS sessions of a process by day, and keeps the counts in its file."""

from collections.abc import Callable

from twisted.internet.defer import Deferred, gatherResults

from mta.blocking import RunBlocking
from mta.dns.answers import Resolver
from mta.tls_reports.day_file import DAY, DayFiles, as_text
from mta.tls_reports.tally import MAX_DOMAINS, CountedPolicy, FailedSession, Tally
from mta.tls_reports.targets import wanted_targets

#: Domains whose record is looked up at a time.
LOOKED_UP = 100


class SessionCounter:
    """Counts sessions. Call `load` at the start, then `save` now and then: a kill loses the sessions since.

    Sessions are counted for domains that want reports. Call `look_up` to find out which do not.
    """

    def __init__(
        self,
        files: DayFiles,
        resolver: Resolver,
        run: RunBlocking,
        wall_clock: Callable[[], float],
        trouble: Callable[[str], object],
    ) -> None:
        self._files = files
        self._resolver = resolver
        self._run = run
        self._wall_clock = wall_clock
        self._trouble = trouble
        self._begin = self.today()
        self._tally = Tally()
        self._changed = self._loaded = False
        # Domains that were not looked up today, and those that want no report.
        self._unknown: dict[str, None] = {}
        self._unwanted: set[str] = set()

    def today(self) -> int:
        """Return the first second of this day, in UTC."""
        return int(self._wall_clock() // DAY) * DAY

    def count(self, domain: str, policy: CountedPolicy, failure: FailedSession | None) -> None:
        """Count a session with an MX host of a domain; `failure` is None if it succeeded."""
        if domain in self._unwanted:
            return
        if domain not in self._tally.domains and len(self._unknown) < MAX_DOMAINS:
            self._unknown[domain] = None
        self._tally.count(domain, policy, failure)
        self._changed = True

    async def load(self) -> None:
        """Go on with the counts of this day that an earlier process has left. Never fails."""
        try:
            self._tally.add(await self._run(lambda: self._files.read(self._begin)))
        except (OSError, ValueError) as error:
            self._trouble(f"the TLS sessions of this day cannot be read, and are counted anew: {error}")
        self._loaded = True

    async def save(self) -> None:
        """Write the counts if there are new ones and the earlier ones are loaded. Never fails."""
        if not self._loaded:
            return
        begin, tally, changed = self._begin, self._tally, self._changed
        self._changed = False
        if begin != self.today():
            self._begin, self._tally = self.today(), Tally()
            self._unwanted.clear()
            self._unknown.clear()
        if not changed:
            return
        text = as_text(tally)
        try:
            await self._run(lambda: self._files.write(begin, text))
        except OSError as error:
            self._changed = tally is self._tally
            self._trouble(f"the TLS sessions for reports cannot be kept, and may be lost: {error.strerror}")

    async def look_up(self) -> None:
        """Find out whether domains that were seen first want reports, and forget the sessions of those that do not."""
        domains = list(self._unknown)[:LOOKED_UP]
        for domain in domains:
            del self._unknown[domain]
        await gatherResults([Deferred.fromCoroutine(self._look_at(domain)) for domain in domains], consumeErrors=True)

    async def _look_at(self, domain: str) -> None:
        if await wanted_targets(self._resolver, domain) is None:
            self._unwanted.add(domain)
            self._tally.drop(domain)
            self._changed = True
