"""The fetches of policies that run: one for a domain at a time, failures remembered, results kept and told."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mta.event_log.log import EventLog
from mta.message.dates import timestamp
from mta.sts.fetching import FetchFault, PolicyFetchError
from mta.sts.https_port import CLOSED_SECONDS, MOST_FAILURES, HttpsPort
from mta.sts.kept import KeptPolicies, KeptPolicy
from mta.sts.policy import StsMode, StsPolicy
from mta.sts.waiting import follow

#: Seconds until a fetch is tried again after a failure. For renewals the time doubles, up to the longest.
RETRY, LONGEST_RETRY = 300.0, 6 * 3600.0
#: Fetches that run at a time.
MAX_FETCHES = 200
#: Seconds after which a failure that lasts is told again.
TELL_AGAIN = 86_400.0

# Domains whose failures are remembered.
_MAX_FAILURES = 10_000
_KIND = "sts"
_log = Logger()


class Fetcher(Protocol):
    """Fetches policies."""

    async def fetch(self, domain: str, patience: float) -> StsPolicy:
        """Return the policy that a domain publishes, within `patience` seconds. Raises PolicyFetchError."""


@dataclass(frozen=True, slots=True)
class FetchParts:
    """The dependencies of PolicyFetches."""

    fetcher: Fetcher
    clock: IReactorTime
    #: Returns seconds since 1970.
    wall_clock: Callable[[], float]
    event_log: EventLog


@dataclass(slots=True)
class _Failure:
    """The failures of a domain since its policy was fetched last. Times are monotonic."""

    #: When the last fetch failed, and the wait until the next renewal.
    at: float = float("-inf")
    wait: float = 0.0
    told: float = float("-inf")
    #: The fault of the last fetch, and its reason.
    fault: FetchFault = FetchFault.FETCH
    reason: str = ""


class PolicyFetches:
    """Fetches policies into KeptPolicies."""

    def __init__(self, parts: FetchParts, kept: KeptPolicies) -> None:
        self._parts = parts
        self._kept = kept
        self._running: dict[str, Deferred[None]] = {}
        self._failures: OrderedDict[str, _Failure] = OrderedDict()
        self._port = HttpsPort()
        self._places = DeferredSemaphore(MAX_FETCHES)

    @property
    def mail_waits(self) -> bool:
        """Whether mail is to wait for a fetch now: not if port 443 seems closed."""
        return not self._port.seems_closed(self._parts.clock.seconds())

    def may_fetch(self, domain: str) -> bool:
        """Whether the last failure of a domain is long enough ago for mail."""
        failure = self._failures.get(domain)
        return failure is None or self._parts.clock.seconds() >= failure.at + RETRY

    def may_renew(self, domain: str) -> bool:
        """Whether no fetch runs for a domain, and its last failure is long enough ago for a renewal."""
        failure = self._failures.get(domain)
        recent = failure is not None and self._parts.clock.seconds() < failure.at + failure.wait
        return domain not in self._running and not recent

    def fetch(self, domain: str, id: str, patience: float, *, renewal: bool = False) -> "Deferred[None]":
        """Fetch the policy of a domain that publishes this id, or join the fetch that runs. The result never fails."""
        if domain not in self._running:
            running = Deferred.fromCoroutine(self._fetch(domain, id, patience, renewal=renewal))
            if running.called:
                return running
            self._running[domain] = running
            running.addBoth(self._end, domain)
        return follow(self._running[domain])

    def tell(self, domain: str, reason: str) -> None:
        """Tell once why there is no policy of a domain that says that it has one."""
        failure = self._failure(domain)
        now = self._parts.clock.seconds()
        if now >= failure.told + TELL_AGAIN:
            failure.told = now
            kept = self._kept.get(domain, self._parts.wall_clock())
            effect = (
                "mail goes as without a policy" if kept is None else f"the last one holds to {timestamp(kept.until)}"
            )
            self._parts.event_log.policy_failed(domain, f"{reason}; {effect}")

    def fault(self, domain: str) -> tuple[FetchFault, str] | None:
        """Return the fault and the reason of the last fetch for a domain; None if it succeeded."""
        failure = self._failures.get(domain)
        return None if failure is None or not failure.reason else (failure.fault, failure.reason)

    def forget(self, domain: str) -> None:
        """Forget the old failures of a domain, because it says that it has no policy."""
        if self.may_fetch(domain):
            self._failures.pop(domain, None)

    def forget_failures(self) -> None:
        """Let each domain be asked again at once, because an operator may have removed a cause."""
        for failure in self._failures.values():
            failure.at = float("-inf")
        self._port.connected()

    def stop(self) -> None:
        """End the fetches that run."""
        for running in list(self._running.values()):
            running.cancel()

    def _end(self, _: object, domain: str) -> None:
        del self._running[domain]

    async def _fetch(self, domain: str, id: str, patience: float, *, renewal: bool) -> None:
        try:
            await self._places.acquire()
        except CancelledError:
            return
        try:
            policy = await self._parts.fetcher.fetch(domain, patience)
        except CancelledError:
            pass
        except PolicyFetchError as error:
            self._note(domain, reached=error.reached)
            self._fail(domain, str(error), error.fault, renewal=renewal)
        except Exception:  # noqa: BLE001  a bug here must not cause a request for each mail
            _log.failure("the policy of {domain} was not fetched", domain=domain)
            self._fail(domain, "an error of the relay, which the log shows", FetchFault.FETCH, renewal=renewal)
        else:
            self._note(domain, reached=True)
            self._keep(domain, id, policy)
        finally:
            self._places.release()

    def _keep(self, domain: str, id: str, policy: StsPolicy) -> None:
        self._failures.pop(domain, None)
        now = self._parts.wall_clock()
        before = self._kept.get(domain, now)
        kept = KeptPolicy(policy, id, now, now if before is None else before.used)
        self._kept.put(domain, kept)
        if before is None:
            is_news = policy.mode is not StsMode.NONE
        else:
            is_news = (policy.mode, policy.mx) != (before.policy.mode, before.policy.mx)
        if is_news:
            self._parts.event_log.policy(domain, _KIND, policy.mode.value, policy.mx, kept.until)

    def _fail(self, domain: str, reason: str, fault: FetchFault, *, renewal: bool) -> None:
        failure = self._failure(domain)
        failure.fault, failure.reason = fault, reason
        failure.at = self._parts.clock.seconds()
        failure.wait = min(2 * failure.wait, LONGEST_RETRY) if renewal and failure.wait else RETRY
        self.tell(domain, reason)

    def _failure(self, domain: str) -> _Failure:
        failure = self._failures.setdefault(domain, _Failure())
        self._failures.move_to_end(domain)
        if len(self._failures) > _MAX_FAILURES:
            self._failures.popitem(last=False)
        return failure

    def _note(self, domain: str, *, reached: bool | None) -> None:
        """Note whether a policy host took a connection."""
        if reached:
            self._port.connected()
        elif reached is False and self._port.failed(domain, self._parts.clock.seconds()):
            self._parts.event_log.notice(
                f"{MOST_FAILURES} policy hosts in a row took no connection: port 443 to the Internet seems to be closed"
                f" for this host; MTA-STS needs it. No mail waits for policies for {CLOSED_SECONDS / 60:g} minutes, and"
                " policies that are not known yet do not hold. Open the port, or set MTA_STS=off"
            )
