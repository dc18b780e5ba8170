"""Takes QUEUE_DIR for one relay, whatever its workers: closed to others, locked, and without queues left over."""

import time

from mta.config.settings import Settings
from mta.daemon.mounts import is_container_volume, volatility_notice
from mta.event_log.log import EventLog
from mta.queue.disk.permissions import restrict_to_owner
from mta.queue.disk.queue_dir import Lock, homes, lock_relay
from mta.queue.worker_queues.merge import merge
from mta.queue.worker_queues.totals import totals
from mta.workers import STOP_SECONDS


def take_directory(settings: Settings, event_log: EventLog) -> Lock:
    """Lock QUEUE_DIR, and wait for workers of an earlier parent. Raises QueueError.

    Queues of surplus workers are merged. If the queue is shared, mail in a queue of QUEUE_DIR is only told.
    """
    directory = settings.queue_dir
    closed = restrict_to_owner(directory, container_volume=is_container_volume(directory))
    if closed is not None:
        event_log.notice(closed)
    lock = lock_relay(directory)
    place = volatility_notice(directory)
    if place is not None and settings.shared_queue is None:
        event_log.notice(place)
    for home in homes(directory):
        Lock(home, patience=STOP_SECONDS).release()
    if settings.shared_queue is not None:
        _tell_own_mail(settings, event_log)
        return lock
    for merged in merge(directory, settings.workers, time.time()):
        event_log.notice(str(merged))
    return lock


def _tell_own_mail(settings: Settings, event_log: EventLog) -> None:
    waiting = totals(settings.queue_dir).missing
    if waiting:
        event_log.trouble(
            f"{waiting} recipients wait in the queue of {settings.queue_dir}, which is not used while QUEUE_URL is set:"
            " stop the relay and move them, smtprelay queue move"
        )
