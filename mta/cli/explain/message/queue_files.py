"""The queue files, and the words of a running relay, as the part of `RelayState` that explanations ask."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from mta.admin.state import About, RelayState
from mta.cli.queue.opening import opened, queue_directory, waits_for
from mta.daemon import control
from mta.queue.disk.queue_dir import homes
from mta.queue.interface import DomainShape, Entry, Query, QueueId
from mta.queue.search.conditions import Conditions
from mta.queue.worker_queues.combined import OperatorQueue


@contextmanager
def opened_state(environ: Mapping[str, str]) -> Iterator[RelayState]:
    """Open the queue files for the questions of explanations, which are answered at once. Raises CommandError."""
    with opened() as queues:
        yield cast(RelayState, _QueueFiles(queues, queue_directory(environ)))


class _QueueFiles:
    """Answers by the queue files, and asks the relay why a message waits."""

    def __init__(self, queues: OperatorQueue, directory: Path) -> None:
        self._queues = queues
        self._directory = directory

    async def about(self) -> About:
        """Return only whether a relay runs, as a start at 0."""
        running = any(control.is_running(home) for home in homes(self._directory))
        return About("", "", 0.0 if running else None, 1, str(self._directory))

    async def find(self, query: Query) -> list[Entry]:
        """Return messages in the order that the query asks for."""
        return await self._queues.find(query)

    async def count(self, conditions: Conditions, *, finished: bool = False) -> int:
        """Return the number of messages that meet conditions."""
        return await self._queues.count(conditions, finished=finished)

    async def domains(self) -> list[DomainShape]:
        """Return the waiting recipients by domain."""
        return await self._queues.domains(time.time())

    async def content(self, id: QueueId) -> bytes | None:
        """Return the octets of a waiting message, or None."""
        return await self._queues.content(id)

    async def waits_for(self, id: QueueId) -> str:
        """Return the reason for which a message waits, as the relay tells it."""
        found = await self._queues.find(Query(ids=(id,)))
        return waits_for(self._directory, found[0]) if found else ""
