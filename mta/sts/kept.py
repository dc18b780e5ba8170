"""The policies that a relay keeps, and the rules by which they are used, renewed and dropped."""

import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush

from mta.sts.policy import StsPolicy

#: Policies that are kept; the one that has not been used for longest makes room for another.
MAX_DOMAINS = 10_000
#: Octets of memory that they may take together.
MAX_OCTETS = 32 * 1024 * 1024
#: Seconds after which a policy is fetched again, and after which one that no mail has used is dropped.
RENEWAL, UNUSED = 86_400.0, 180 * 86_400.0
#: The shortest time until then; a policy that lives no longer ends without.
FASTEST_RENEWAL = 3600.0
#: Seconds for which a policy is in force in any case, so that not each mail causes a request.
SHORTEST = 300.0

# The part of its time after which a policy is fetched again, for policies that live for less than two days.
_SHARE = 0.5
# Octets of memory of a policy besides its patterns, and of a pattern besides its text.
_POLICY_OCTETS, _PATTERN_OCTETS = 800, 150
# A use is written to the file if the last one that is there is older than this, in seconds.
_USE_STEP = 86_400.0
# Times in the heap that do not count, before it is made anew.
_SPARE_RENEWALS = 1000


@dataclass(frozen=True, slots=True)
class KeptPolicy:
    """A policy as it was fetched. Times are in seconds since 1970."""

    policy: StsPolicy
    #: The id that the domain published at the time.
    id: str
    fetched: float
    #: When mail last asked for it.
    used: float

    @property
    def until(self) -> float:
        """When it ends."""
        return self.fetched + max(self.policy.max_age, SHORTEST)

    def renewal(self, domain: str) -> float:
        """Return when it is fetched again: within a day, spread over the last quarter of it by the domain."""
        spread = 1 - zlib.crc32(domain.encode()) / 2**34
        return self.fetched + max(FASTEST_RENEWAL, spread * min(RENEWAL, self.policy.max_age * _SHARE))

    @property
    def octets(self) -> int:
        """The memory that it takes, roughly."""
        return _POLICY_OCTETS + sum(_PATTERN_OCTETS + len(pattern) for pattern in self.policy.mx)


class KeptPolicies:
    """Policies by domain, within bounds. `now` is in seconds since 1970."""

    def __init__(self) -> None:
        """Begin without policies."""
        # The policy used last is at the end.
        self._kept: OrderedDict[str, KeptPolicy] = OrderedDict()
        self._octets = 0
        # A heap of the times at which policies are to be fetched again, perhaps with times that no longer count.
        self._renewals: list[tuple[float, str]] = []
        # The changes since the last call of `take_changes`.
        self._changes: dict[str, KeptPolicy | None] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def load(self, saved: Mapping[str, KeptPolicy]) -> None:
        """Take policies of a file, unless a newer one is known."""
        for domain, kept in sorted(saved.items(), key=lambda item: item[1].used):
            if domain not in self._kept:
                self._put(domain, kept)

    def get(self, domain: str, now: float) -> KeptPolicy | None:
        """Return the policy in force for a domain, without a use of it."""
        kept = self._kept.get(domain)
        return kept if kept is not None and now < kept.until else None

    def use(self, domain: str, now: float) -> None:
        """Note that mail has asked for the policy of a domain."""
        kept = self._kept.get(domain)
        if kept is not None:
            self._kept.move_to_end(domain)
            if not kept.used <= now < kept.used + _USE_STEP:
                self._kept[domain] = self._changes[domain] = replace(kept, used=now)

    def put(self, domain: str, kept: KeptPolicy) -> None:
        """Keep a policy that was fetched."""
        self._changes[domain] = kept
        self._put(domain, kept)

    def drop_old(self, now: float) -> None:
        """Drop policies that have ended or were not used for long.

        Those that were fetched while the clock was ahead count as fetched now; otherwise they would be in force for
        longer than they say, and not be renewed.
        """
        for domain, kept in self._kept.items():
            if kept.fetched > now:
                self._kept[domain] = self._changes[domain] = replace(kept, fetched=now)
        old = [domain for domain, kept in self._kept.items() if now >= min(kept.until, kept.used + UNUSED)]
        for domain in old:
            self._drop(domain)
        # Times that were reckoned with a wrong clock are forgotten.
        self._reckon_renewals()

    def take_renewable(self, now: float, most: int) -> list[str]:
        """Return domains whose policies are to be fetched again; each comes once until `renew_at` or `put`."""
        found: list[str] = []
        while len(found) < most and self._renewals and self._renewals[0][0] <= now:
            _, domain = heappop(self._renewals)
            kept = self._kept.get(domain)
            if kept is not None and now >= kept.renewal(domain) and domain not in found:
                found.append(domain)
        return found

    def renew_at(self, domain: str, time: float) -> None:
        """Have `take_renewable` return a domain at this time, in seconds since 1970."""
        heappush(self._renewals, (time, domain))
        if len(self._renewals) > 2 * len(self._kept) + _SPARE_RENEWALS:
            self._reckon_renewals()

    def take_changes(self) -> Mapping[str, KeptPolicy | None]:
        """Return the policies that have changed since the last call, with None for those that were dropped."""
        changes, self._changes = self._changes, {}
        return changes

    def put_back(self, changes: Mapping[str, KeptPolicy | None]) -> None:
        """Have the next call of `take_changes` return these changes too, because they were not saved."""
        self._changes = {**changes, **self._changes}
        if len(self._changes) > 2 * MAX_DOMAINS:
            self.change_all()

    def change_all(self) -> None:
        """Have the next call of `take_changes` return all policies, because they are not saved."""
        self._changes = dict(self._kept)

    def _put(self, domain: str, kept: KeptPolicy) -> None:
        before = self._kept.pop(domain, None)
        self._kept[domain] = kept
        self._octets += kept.octets - (0 if before is None else before.octets)
        self.renew_at(domain, kept.renewal(domain))
        while len(self._kept) > MAX_DOMAINS or self._octets > MAX_OCTETS:
            self._drop(next(iter(self._kept)))

    def _reckon_renewals(self) -> None:
        self._renewals = [(kept.renewal(domain), domain) for domain, kept in self._kept.items()]
        heapify(self._renewals)

    def _drop(self, domain: str) -> None:
        self._octets -= self._kept.pop(domain).octets
        self._changes[domain] = None
