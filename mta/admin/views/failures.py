"""Failures by reason: replies that mean the same are counted together. Pure."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from mta.delivery.replies.common_replies import KnownReply
from mta.delivery.replies.meanings import meaning_of
from mta.queue.interface import Entry, Status

#: Reasons that are told; the others are added up.
MAX_REASONS = 8
# Parts of a reply that differ between replies for one reason: addresses, ids, numbers.
_VARIABLE = re.compile(r"<[^>]{0,300}>|\S{0,100}@\S{1,100}|\[[^\]]{0,100}\]|\b(?=\w{0,30}\d)\w{6,60}\b")
# In the meaning of a reply that is known by its code alone.
_ONLY_A_CODE = "in its words"


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason for which recipients failed."""

    count: int
    #: The usual meaning of the reply, or the reply itself if it is not a known one.
    text: str
    #: "" if it is not known.
    remedy: str
    #: The reply to the last of these recipients, and the host that gave it.
    reply: str
    host: str
    #: Some of their domains, most frequent first.
    domains: tuple[str, ...]


def failure_reasons(entries: Iterable[Entry], since: float) -> tuple[Reason, ...]:
    """Return why recipients failed since then, most frequent reason first. `entries` come newest first."""
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for host, reply, address in _failed(entries, since):
        groups.setdefault(_key(reply), []).append((host, reply, address))
    reasons = sorted((_reason(each) for each in groups.values()), key=lambda each: -each.count)
    if len(reasons) <= MAX_REASONS:
        return tuple(reasons)
    rest = reasons[MAX_REASONS - 1 :]
    others = Reason(sum(each.count for each in rest), f"{len(rest)} other reasons", "", "", "", ())
    return (*reasons[: MAX_REASONS - 1], others)


def _failed(entries: Iterable[Entry], since: float) -> Iterator[tuple[str, str, str]]:
    for entry in entries:
        for each in entry.recipients:
            if each.status is Status.FAILED and (each.finished or 0.0) >= since:
                yield each.host, each.reply, each.address


def _reason(failed: list[tuple[str, str, str]]) -> Reason:
    host, reply, _ = failed[0]
    found = known(reply)
    counts: dict[str, int] = {}
    for _, _, address in failed:
        domain = address.rpartition("@")[2].lower()
        counts[domain] = counts.get(domain, 0) + 1
    domains = sorted(counts, key=lambda each: (-counts[each], each))
    if found is None:
        return Reason(len(failed), reply or "no reply is recorded", "", reply, host, tuple(domains[:3]))
    return Reason(len(failed), found.meaning, found.remedy, reply, host, tuple(domains[:3]))


def _key(reply: str) -> str:
    found = known(reply)
    return _VARIABLE.sub("*", reply[:200].lower()) if found is None else found.meaning


@lru_cache(maxsize=512)
def known(reply: str) -> KnownReply | None:
    """Return the known meaning of a reply, None if only its code is known.

    It is kept, because a search takes milliseconds in the worst case.
    """
    found = meaning_of(reply)
    return None if found is None or _ONLY_A_CODE in found.meaning else found
