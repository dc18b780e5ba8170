"""Ids of messages as an operator gives them: whole, or abbreviated while they are unique."""

from collections.abc import Sequence

from mta.admin.state import RelayState
from mta.cli.errors import CommandError
from mta.cli.results import answer
from mta.queue.ids import prefix_range, to_number
from mta.queue.interface import Query, QueueId
from mta.queue.search.conditions import Conditions

#: The length of a whole id.
_WHOLE = 13


def checked(ids: Sequence[str]) -> list[QueueId]:
    """Return whole ids, each once. Raises CommandError if one is malformed."""
    try:
        for id in ids:
            to_number(QueueId(id))
    except ValueError as error:
        raise CommandError(str(error)) from None
    return [QueueId(id) for id in dict.fromkeys(ids)]


def resolved(state: RelayState, ids: Sequence[str]) -> list[QueueId]:
    """Return the whole ids for ids that may be abbreviated, each once. Raises CommandError.

    A whole id need not be that of a message; an abbreviation must be that of exactly one, waiting or in the history.
    """
    return list(dict.fromkeys(_resolved(state, id) for id in ids))


def _resolved(state: RelayState, id: str) -> QueueId:
    if len(id) >= _WHOLE:
        return checked([id])[0]
    if not id or prefix_range(id.lower()) is None:
        raise CommandError(f"not a queue id: {id!r}")
    found = answer(state.find(Query(finished=True, limit=2, conditions=Conditions(ids=(id,)))))
    if len(found) == 1:
        return found[0].id
    if found:
        raise CommandError(f"the ids of several messages begin with {id}: give more of it")
    raise CommandError(f"no message's id begins with {id}")
