"""Builds the webhook of a relay: its spool, with the events that an earlier process could not write, and its sender."""

import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from mta.config.readers.events import EventsTarget
from mta.daemon.parts.context import RelayContext
from mta.dns.resolver import DnsResolver
from mta.event_log.lines import json_members
from mta.events.missing import MARGIN, WrittenEvents, missing_events
from mta.events.records import Event, read_record
from mta.events.spool import FOLDER, Spool
from mta.events.stream import EventStream
from mta.events.webhook import Receiver, Webhook
from mta.https.interface import HttpsError, HttpsRequester
from mta.queue.disk.queue_dir import FILE_NAME, worker_home, worker_numbers
from mta.queue.interface import QueueError
from mta.queue.sqlite.operator.changes import changes_since
from mta.routing.private_addresses import is_private

if TYPE_CHECKING:
    from mta.https.client import HttpsClient

# Events that are written at a time at a start.
_AT_A_TIME = 5000


def event_stream(context: RelayContext, target: EventsTarget, resolver: DnsResolver) -> EventStream | None:
    """Return the stream to the receiver; None if its spool cannot be used, which the log tells.

    It is called before the queue changes, and blocks.
    """
    settings, event_log = context.settings, context.event_log
    try:
        spool = _open_spool(context)
    except (OSError, QueueError) as error:
        event_log.trouble(f"no events are sent to EVENTS_URL, because their spool in QUEUE_DIR cannot be used: {error}")
        return None
    webhook = Webhook(
        Receiver(target.url, target.secret),
        _LateClient(context, target, resolver).get,
        relay=settings.mailname,
        worker=_worker_number(context),
        wall_clock=time.time,
    )
    stream = EventStream(
        spool,
        webhook.send,
        run=context.in_thread,
        clock=context.reactor,
        flush=event_log.flush,
        trouble=event_log.trouble,
        notice=event_log.notice,
    )
    event_log.render_by(stream.recording)
    return stream


class _LateClient:
    """The client for the receiver, imported for the first batch, because Twisted's HTTP client is large."""

    def __init__(self, context: RelayContext, target: EventsTarget, resolver: DnsResolver) -> None:
        self._context = context
        self._target = target
        self._resolver = resolver
        self._client: HttpsClient | None = None

    async def get(self) -> HttpsRequester:
        """Return the client. Raises HttpsError if it cannot be imported."""
        if self._client is None:
            # In a thread, so that mail goes on. The stream sends one batch after the other.
            try:
                self._client = await self._context.in_thread(self._new_client)
            except (ImportError, OSError) as error:
                # It may pass: a process without free descriptors can import no module.
                raise HttpsError(f"the HTTP client cannot be imported: {error}") from None
        return self._client

    def _new_client(self) -> "HttpsClient":
        from mta.https.client import HttpsClient, HttpsOptions  # noqa: PLC0415

        plain = self._target.url.lower().startswith("http://")
        options = HttpsOptions(
            ipv6=self._context.settings.ipv6,
            search=True,
            refuses=_is_public if plain else None,
            plain=plain,
            # A batch that arrives twice is known by its numbers.
            keep=True,
        )
        return HttpsClient(self._context.reactor, self._resolver, options)


def _open_spool(context: RelayContext) -> Spool:
    """Return the spool, with the events that were missing, and those of workers that no longer run."""
    now = time.time()
    own = Spool(context.home, now=now)
    left = [] if _worker_number(context) != 1 else _homes_left(context.settings.queue_dir, context.settings.workers)
    others = [Spool(home, now=now) for home in left]
    # A shared queue has the changes of all relays, of which this one has sent no events.
    lost = [] if context.settings.shared_queue else _missing(context.home, [own, *others])
    for home, spool in zip(left, others, strict=True):
        _move(spool, own)
        spool.remove()
        with suppress(OSError):
            home.rmdir()
    for start in range(0, len(lost), _AT_A_TIME):
        own.append([json_members(*event) for event in lost[start : start + _AT_A_TIME]])
    return own


def _homes_left(directory: Path, workers: int) -> list[Path]:
    homes = (worker_home(directory, number) for number in worker_numbers(directory) if number > workers)
    return [home for home in homes if (home / FOLDER).is_dir()]


def _missing(home: Path, spools: Sequence[Spool]) -> list[Event]:
    """Return the events that killed processes could not write."""
    killed = [spool.since for spool in spools if spool.was_killed]
    if not killed:
        return []
    since = min(killed) - MARGIN
    written = WrittenEvents(chain.from_iterable(spool.written_since(since) for spool in spools))
    changes = changes_since(home / FILE_NAME, since)
    return missing_events(changes.entries, changes.submitted, written, since)


def _move(spool: Spool, to: Spool) -> None:
    """Move the events that wait in a spool to another one."""
    while (batch := spool.next_batch()) is not None:
        to.append([json_members(*read_record(line)) for line in batch.records])
        spool.received(batch)


def _worker_number(context: RelayContext) -> int:
    return 1 if context.home == context.settings.queue_dir else int(context.home.name.rpartition("-")[2])


def _is_public(address: str) -> bool:
    return not is_private(address)
