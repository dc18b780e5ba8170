"""The messages of a query, read in parts from real queue files."""

from pathlib import Path

import pytest

from mta.cli.state import opening
from mta.cli.state.opening import messages
from mta.cli.state.stopped import StoppedState
from mta.queue.interface import Entry, Query
from tests.cli.queue.test_orders import fill


class Parts(StoppedState):
    """Counts the messages that each question brings."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, lambda: "relay.test")
        self.sizes: list[int] = []

    async def find(self, query: Query) -> list[Entry]:
        found = await super().find(query)
        self.sizes.append(len(found))
        return found


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_long_list_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newest_first: bool) -> None:
    monkeypatch.setattr(opening, "PAGE", 3)
    ids = fill(tmp_path, 7)
    state = Parts(tmp_path)
    found = [entry.id for entry in messages(state, Query(newest_first=newest_first))]
    assert found == (ids[::-1] if newest_first else ids)
    assert state.sizes == [3, 3, 2]
    state.sizes.clear()
    assert len(list(messages(state, Query(limit=5, newest_first=newest_first)))) == 5
    assert state.sizes == [3, 2]
    state.close()
