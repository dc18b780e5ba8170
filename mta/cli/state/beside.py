"""The queue files of a relay that may be running, which is notified of orders by its control socket."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from mta.admin.state import About
from mta.cli.state.stopped import StoppedState
from mta.daemon import control
from mta.queue.disk.queue_dir import homes
from mta.queue.interface import Action, QueueId


class BesideState(StoppedState):
    """A StoppedState that tells a running relay of changes, and asks it for the reason of a wait."""

    def _applied(self, home: Path, action: Action, ids: Sequence[QueueId]) -> None:
        super()._applied(home, action, ids)
        notify(home, action, ids)

    async def about(self) -> About:
        """Return the name and version; the start is not known, but None if no relay runs."""
        running = any(control.is_running(home) for home in homes(self._queue_dir))
        return replace(await super().about(), started=0.0 if running else None)

    async def waits_for(self, id: QueueId) -> str:
        """Return the reason that the relay or one of its workers tells; "" if none does."""
        return next(filter(None, (control.ask_wait(home, id) for home in homes(self._queue_dir))), "")


def notify(home: Path, action: Action, ids: Sequence[QueueId]) -> None:
    """Notify the relay of a home of a change. If that fails, say so, because the change is done."""
    try:
        control.notify_daemon(home, action, ids, control.operator_name(os.environ))
    except OSError as error:
        click.echo(
            f"smtprelay: done, but the running relay could not be notified ({error}); it will notice later", err=True
        )
