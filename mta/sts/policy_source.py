"""The policies of domains for mail that waits: known ones, and new ones that are fetched in time.

A policy counts until it ends, even if its domain shows no record or its policy host does not answer in the meantime,
because otherwise a stranger on the way could undo it. A domain whose policy cannot be fetched counts as one without.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mta.blocking import RunBlocking
from mta.dns.answers import Found, LookupFailed, Resolver, TxtAnswer
from mta.sts.fetches import RETRY, FetchParts, PolicyFetches
from mta.sts.fetching import FetchFault
from mta.sts.interface import PATIENCE
from mta.sts.kept import KeptPolicies, KeptPolicy
from mta.sts.policy import StsMode, StsPolicy
from mta.sts.policy_file import FILE_NAME, PolicyFile, PolicyFileDamaged
from mta.sts.record import RecordError, policy_id, record_name
from mta.sts.waiting import by_the_time, follow

#: Seconds for a fetch for which no mail waits, and such fetches that run at a time.
RENEWAL_PATIENCE, MAX_RENEWALS = 60.0, 4
#: Seconds between two calls of `work`.
WORK_INTERVAL = 10.0

# Seconds between two looks for policies that are to be dropped.
_DROP_INTERVAL = 3600.0
_log = Logger()


@dataclass(frozen=True, slots=True)
class PolicySourceParts:
    """The dependencies of a StsPolicySource."""

    resolver: Resolver
    fetching: FetchParts
    file: PolicyFile
    in_thread: RunBlocking


class StsPolicySource:
    """The PolicySource of a relay. Call `start`, then `work` every WORK_INTERVAL seconds, and `stop` at the end."""

    def __init__(self, parts: PolicySourceParts) -> None:
        self._parts = parts
        self._clock = parts.fetching.clock
        self._wall_clock: Callable[[], float] = parts.fetching.wall_clock
        self._kept = KeptPolicies()
        self._fetches = PolicyFetches(parts.fetching, self._kept)
        # When mail failed by the policy of a domain, in seconds since 1970.
        self._doubts: dict[str, float] = {}
        # When a policy was last fetched for that reason, by the monotonic clock.
        self._looked: dict[str, float] = {}
        self._renewing = 0
        # Not at the start, when the clock may not be right yet.
        self._next_drop = self._clock.seconds() + _DROP_INTERVAL
        self._loading: Deferred[None] | None = None
        self._file_failed = False

    def start(self) -> None:
        """Read the file of policies; mail that comes meanwhile waits for that."""
        reading = self._parts.in_thread(self._parts.file.read)
        self._loading = reading.addCallbacks(self._load, self._not_read)

    async def policy(self, domain: str) -> StsPolicy | None:
        """Return the policy in force for mail to a domain; see PolicySource."""
        try:
            await self._bring_up_to_date(domain, self._clock.seconds() + PATIENCE)
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001  a bug here must not stop mail
            _log.failure("the policy of {domain} was not looked up", domain=domain)
        now = self._wall_clock()
        self._kept.use(domain, now)
        kept = self._kept.get(domain, now)
        return None if kept is None or kept.policy.mode is StsMode.NONE else kept.policy

    def look_again(self, domain: str) -> None:
        """Have the next call of `policy` fetch the policy, because mail has failed by it; see PolicySource."""
        now = self._wall_clock()
        if self._kept.get(domain, now) is not None:
            self._doubts[domain] = now

    def reload(self) -> None:
        """Forget past failures, so that each policy host may be asked again at once."""
        self._fetches.forget_failures()
        self._looked.clear()

    def known(self, domain: str) -> KeptPolicy | None:
        """Return the policy at hand for a domain, which may be in mode `none`."""
        return self._kept.get(domain, self._wall_clock())

    def fault(self, domain: str) -> tuple[FetchFault, str] | None:
        """Return why the policy of a domain could not be fetched last, and the words for it; None if it could."""
        return self._fetches.fault(domain)

    def work(self) -> "Deferred[float | None]":
        """Drop old policies, begin to renew some, and write changes to the file."""
        now = self._wall_clock()
        if self._clock.seconds() >= self._next_drop:
            self._next_drop = self._clock.seconds() + _DROP_INTERVAL
            self._kept.drop_old(now)
            self._doubts = {domain: at for domain, at in self._doubts.items() if self._kept.get(domain, now)}
            self._looked = {domain: at for domain, at in self._looked.items() if domain in self._doubts}
        for domain in self._kept.take_renewable(now, MAX_RENEWALS - self._renewing):
            kept = self._kept.get(domain, now)
            if kept is not None and self._fetches.may_renew(domain):
                self._renewing += 1
                renewing = self._fetches.fetch(domain, kept.id, RENEWAL_PATIENCE, renewal=True)
                renewing.addBoth(self._renewed, domain, kept)
            elif kept is not None:
                self._kept.renew_at(domain, now + RETRY)
        return Deferred.fromCoroutine(self._save())

    def stop(self) -> "Deferred[None]":
        """End the fetches that run, and write changes to the file."""
        self._fetches.stop()
        return Deferred.fromCoroutine(self._save())

    async def _bring_up_to_date(self, domain: str, end: float) -> None:
        """Fetch the policy of a domain if that is needed, and wait for it until a time of the clock."""
        if self._loading is not None:
            await by_the_time(follow(self._loading), end, self._clock)
        published = await self._published(domain, end)
        id = self._id_to_fetch(domain, published) if self._fetches.may_fetch(domain) else None
        if id is None:
            return
        if self._fetches.mail_waits:
            fetching = self._fetches.fetch(domain, id, max(0.0, end - self._clock.seconds()))
            await by_the_time(fetching, end, self._clock)
        else:
            self._fetches.fetch(domain, id, RENEWAL_PATIENCE)

    def _id_to_fetch(self, domain: str, published: str | None) -> str | None:
        """Return the id of the policy that is to be fetched, or None if the one at hand will do."""
        now = self._wall_clock()
        kept = self._kept.get(domain, now)
        if kept is None or (published and published != kept.id):
            return published
        doubt = self._doubts.get(domain)
        if doubt is not None and kept.fetched >= doubt:
            del self._doubts[domain]
        elif doubt is not None and self._clock.seconds() >= self._looked.get(domain, float("-inf")) + RETRY:
            self._looked[domain] = self._clock.seconds()
            return kept.id
        return None

    async def _published(self, domain: str, end: float) -> str | None:
        """Return the id that a domain publishes; None if it has no record, or its answer is late."""
        name = record_name(domain)
        if not name:
            return None
        looking = Deferred.fromCoroutine(_awaited(self._parts.resolver.txt(name)))
        answer = await by_the_time(looking, end, self._clock)
        if answer is None or isinstance(answer, LookupFailed):
            return None
        try:
            id = policy_id(answer.records) if isinstance(answer, Found) else None
        except RecordError as error:
            self._fetches.tell(domain, f"{name}: {error}")
            return None
        if id is None:
            self._fetches.forget(domain)
        return id

    def _renewed(self, _: object, domain: str, before: KeptPolicy) -> None:
        self._renewing -= 1
        now = self._wall_clock()
        kept = self._kept.get(domain, now)
        # If the fetch failed, the policy has not been replaced.
        if kept is not None and kept.fetched == before.fetched:
            self._kept.renew_at(domain, now + RETRY)

    def _load(self, saved: Mapping[str, KeptPolicy]) -> None:
        self._kept.load(saved)

    def _not_read(self, failure: Failure) -> None:
        self._tell_of_file(failure.value, "read", "each policy of MTA-STS is fetched again when mail asks for it")

    async def _save(self) -> None:
        changes = self._kept.take_changes()
        if not changes:
            return
        try:
            await self._parts.in_thread(lambda: self._parts.file.write(changes))
        except OSError as error:
            self._kept.put_back(changes)
            if isinstance(error, PolicyFileDamaged):
                self._kept.change_all()
            if not self._file_failed:
                self._file_failed = True
                self._tell_of_file(error, "written", "policies of MTA-STS are in memory, and a restart forgets them")
        else:
            self._file_failed = False

    def _tell_of_file(self, error: BaseException | None, verb: str, effect: str) -> None:
        reason = f"cannot be {verb} ({error}): {effect}"
        if isinstance(error, PolicyFileDamaged):
            reason = f"was damaged ({error}) and is made anew: {effect} until then"
        self._parts.fetching.event_log.notice(f"the file {FILE_NAME} in QUEUE_DIR {reason}")


async def _awaited(answer: Awaitable[TxtAnswer]) -> TxtAnswer:
    return await answer
