"""The messages that are due, as a claim with a deferral filter looks at them before it leases any."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from mta.queue.interface import DeferralFilter, DueMessage
from mta.queue.sql.values import read_due_envelope

#: Octets of bodies in rows at which a claim ends.
CLAIM_BYTES = 16 * 1024 * 1024
#: Messages that a claim looks at if the filter asks for envelopes.
LOOKED_AT_WHOLE = 100

# Row number, and the message for the filter; None for a message whose lease ran out, or of which a recipient is to go
# another way: these must be claimed.
Candidate = tuple[int, DueMessage | None]


@dataclass(frozen=True, slots=True)
class Selection:
    """The row numbers to claim, and pairs of a row number and its later due time."""

    claim: Sequence[int]
    deferred: Sequence[tuple[int, float]]


def select_due(due: Sequence[Candidate], limit: int, deferral_filter: DeferralFilter) -> Selection:
    """Divide due messages into those to claim, at most `limit`, and those that the filter defers."""
    claim: list[int] = []
    deferred: list[tuple[int, float]] = []
    for number, message in due:
        until = None if message is None else deferral_filter.until(message)
        if until is not None:
            deferred.append((number, until))
        elif len(claim) < limit:
            claim.append(number)
        else:
            break
    return Selection(claim, deferred)


def read_candidate(
    number: int, leased: int, created: float, delay_reported: int, domains: str | None, *parts: str | None
) -> Candidate:
    """Return the candidate of a row with these columns.

    `domains` is a JSON array, or None if the message must be claimed. `parts` are the columns of `read_due_envelope`,
    if they were asked for.
    """
    if leased or domains is None:
        return number, None
    envelope = read_due_envelope(parts) if parts else None
    return number, DueMessage(created, bool(delay_reported), _domains(domains), envelope, number)


@lru_cache(maxsize=4096)
def _domains(text: str) -> tuple[str, ...]:
    """Return the domains of a JSON array. It is cached, because most messages have one domain that many others have."""
    return tuple(json.loads(text))
