"""The files of large bodies around the transactions of their messages, for the reactor's thread."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mta.message.body import FileBody
from mta.queue.disk.files import PART, remove
from mta.queue.disk.writer import Writer
from mta.queue.interface import Claim, NewMail, QueueError, QueueId
from mta.queue.postgres.errors import DatabaseAway, OutcomeUnknown
from mta.queue.postgres.lanes.gathering import PATIENCE, PAUSE
from mta.queue.postgres.mail import chunks
from mta.queue.postgres.serial_session import SerialSession
from mta.queue.sql.commit_delay import CallLater

_log = Logger()


class LargeBodies:
    """Stores bodies before their messages are added, and fetches those of claims, one at a time each.

    Both have a connection of their own, so that no other message waits for a large one.
    """

    def __init__(
        self,
        directory: Path,
        storing: SerialSession,
        fetching: SerialSession,
        *,
        seconds: Callable[[], float],
        call_later: CallLater | None = None,
    ) -> None:
        """The files are in the directory, which must exist. `seconds` is a clock for the patience of clients.

        Without `call_later` a body is offered to a database that does not answer once only.
        """
        self._directory = directory
        self._storing = storing
        self._fetching = fetching
        self._seconds = seconds
        self._call_later = call_later

    def writer(self, id: QueueId) -> Writer:
        """Return a writer for the body of a message that is to be added under this id."""
        return Writer(self._directory, id + PART)

    def body(self, id: QueueId, size: int) -> FileBody:
        """Return the body of a claim, whose file `fetch` makes."""
        return FileBody(self._directory / id, size)

    async def store(self, mails: Iterable[NewMail], node: Callable[[], int]) -> None:
        """Store the large bodies of messages that this node is to add. Raises BodyLost and QueueError.

        While the database does not answer, it is offered a body again for as long as clients are kept waiting.
        """
        deadline = self._seconds() + PATIENCE
        for mail in mails:
            if isinstance(mail.body, FileBody):
                await self._store(mail.id, mail.body, node, deadline)

    async def _store(self, id: QueueId, body: FileBody, node: Callable[[], int], deadline: float) -> None:
        while True:
            try:
                return await self._storing.do(partial(chunks.store, id=id, body=body, node=node()))
            except (OutcomeUnknown, DatabaseAway):
                if self._call_later is None or self._seconds() >= deadline:
                    raise
                paused: Deferred[None] = Deferred()
                self._call_later(PAUSE, partial(paused.callback, None))
                await paused

    async def fetch(self, claims: Sequence[Claim]) -> None:
        """Fetch the large bodies of claims. A body that cannot be had has no file, which fails its delivery."""
        for claim in claims:
            if isinstance(claim.body, FileBody):
                try:
                    await self._fetching.do(partial(chunks.fetch, id=claim.id, body=claim.body))
                except QueueError as error:
                    _log.warn("message {id} cannot be fetched for delivery: {error}", id=claim.id, error=error)

    def remove(self, id: QueueId) -> None:
        """Remove the files of a message that is not in work any more."""
        for name in (id, id + PART):
            remove(self._directory / name)

    async def close(self) -> None:
        """Close the connections after all earlier work."""
        await self._storing.close()
        await self._fetching.close()
