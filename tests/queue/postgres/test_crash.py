"""Ends a relay before each step of an operation, compares the rows with the table of README.md; a peer goes on."""

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from twisted.internet.defer import Deferred

from harness.cutting_proxy import CuttingProxy, Moment
from mta.queue.ids import to_number
from mta.queue.interface import Action, Claim, NewMail, QueueError, QueueId, Settlement, Verdict
from mta.queue.postgres.membership.takeover import take_over
from mta.queue.postgres.queue import PostgresQueue
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server
from mta.queue.sql.marks import read_marks
from tests.length import choose
from tests.queue.messages import LATER, LEASE, NEVER, NOW, TOOK, mail
from tests.queue.postgres.alone import open_alone
from tests.queue.postgres.cluster import shared_cluster
from tests.queue.postgres.nodes import create_schema
from tests.queue.postgres.rows import end_lives, parts_without_a_message, read_rows

README = Path(__file__).parents[3] / "queue_schema" / "postgres" / "README.md"
LARGE = 600_000


class State(NamedTuple):
    """A row of the table, for one of its steps."""

    step: str
    rows: str


def table(operation: str) -> list[State]:
    """Return the states of an operation, in the order of the table."""
    states = []
    for line in README.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 5 and re.match(r"[A-Z]\d", cells[0]) and cells[1] == operation:
            states += [State(step.strip(), cells[3]) for step in cells[2].split(",")]
    return states


def step_of(statement: str) -> str:
    """Return the name of the step that a statement is."""
    if "INSERT INTO message" in statement:
        return "batch"
    if "session = session + 1" in statement:
        return "enter"
    return {"BEGIN": "begin", "COMMIT": "commit"}.get(statement.strip(), "work")


class Crash:
    """Ends a relay at one of its statements: cuts that one, and all that follow."""

    def __init__(self, proxy: CuttingProxy, before: int | None, answered: bool = False) -> None:
        """`before` counts the statements of the operation from 0; `answered` cuts after that one was carried out."""
        self._before = before
        self._moment = Moment.ANSWERED if answered else Moment.BEFORE
        #: The steps so far.
        self.steps: list[str] = []
        proxy.decide = self

    def __call__(self, text: str) -> Moment | None:
        if text.lstrip().startswith("SET"):
            return None
        self.steps.append(step_of(text))
        number = len(self.steps) - 1
        if self._before is None or number < self._before:
            return None
        return self._moment if number == self._before else Moment.BEFORE


class Scene:
    """A relay that will end, its message M and its report R, and a peer."""

    def __init__(self, proxy: CuttingProxy, server: Any, database: str, directory: Path) -> None:
        self.proxy, self.server, self.database = proxy, server, database
        proxy.decide = lambda _: None
        self.relay = open_alone(proxy.url(database), directory, lambda: NOW)
        self.peer = open_alone(server.url(database), directory, lambda: NOW)
        self.message = mail()
        self.report = mail("alice@example.org", sender=None)

    def claimed(self) -> Claim:
        return now(self.relay.add(self.message, NOW, LEASE))

    def marked(self) -> Claim:
        claim = self.claimed()
        now(self.relay.note_in_flight(claim.id, [0]))
        return claim

    def rows(self) -> str:
        """Describe the rows of M and R."""
        query = "SELECT id, node IS NOT NULL FROM smtprelay.message"
        sending = "SELECT sending FROM smtprelay.lane WHERE NOT fenced"
        marks = {number for (text,) in self.ask(sending) for number in read_marks(text)}
        # A mark is removed with a later batch, and counts as long as its relay has the message.
        claimed = {True: "claimed marked", False: "claimed"}
        states = {id: claimed[id in marks] if node else "waiting" for id, node in self.ask(query)}
        states |= {id: "finished" for (id,) in self.ask("SELECT id FROM smtprelay.history")}
        told = [f"{name} {states[id]}" for name, id in self.numbers() if id in states]
        chunks = {id for (id,) in self.ask("SELECT message_id FROM smtprelay.chunk")}
        return ", ".join(told + [f"{name}'s chunks" for name, id in self.numbers() if id in chunks]) or "-"

    def numbers(self) -> list[tuple[str, int]]:
        return [("M", to_number(self.message.id)), ("R", to_number(self.report.id))]

    def ask(self, query: str) -> list[Any]:
        return self.server.execute(query, database=self.database)

    def take_over(self) -> dict[QueueId, bool]:
        """Take the relay over, and claim; return the messages and whether a copy may have been sent."""
        end_lives(self.server, self.database, self.relay._node())
        session = DatabaseSession(read_server(self.server.url(self.database)).connection_parameters())
        take_over(session, self.relay._node(), by=self.peer._node())
        session.close()
        # The messages of fenced nodes are due by the clock of the database.
        claims = now(self.peer.claim(time.time() + 1, 10, LEASE))
        return {claim.id: bool(now(self.peer.note_in_flight(claim.id, [0]))) for claim in claims}


def now(deferred: "Deferred[Any]") -> Any:
    """Return the result of a Deferred that has fired, or raise its exception."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    (result,) = results
    if hasattr(result, "raiseException"):
        result.raiseException()
    return result


Act = Callable[[], "Deferred[Any]"]


def add(scene: Scene) -> Act:
    return lambda: scene.relay.add(scene.message, NOW, LEASE)


def add_unclaimed(scene: Scene) -> Act:
    return lambda: scene.relay.add(scene.message, NOW)


def add_large(scene: Scene) -> Act:
    writer = scene.relay.writer(scene.message.id)
    writer.write(b"x" * LARGE)
    scene.message = NewMail(scene.message.id, scene.message.envelope, writer.finish())
    return add(scene)


def claim(scene: Scene) -> Act:
    now(scene.relay.add(scene.message, NOW))
    return lambda: scene.relay.claim(NOW, 10, LEASE)


def mark(scene: Scene) -> Act:
    id = scene.claimed().id
    return lambda: scene.relay.note_in_flight(id, [0])


def settling(scene: Scene, verdict: Verdict, *reports: NewMail) -> Act:
    settlement = Settlement(scene.marked(), [verdict], NOW, reports=reports)
    return lambda: scene.relay.settle(settlement)


def settle(scene: Scene) -> Act:
    return settling(scene, Verdict(0, TOOK))


def put_off(scene: Scene) -> Act:
    return settling(scene, Verdict(0, LATER, NOW))


def bounce(scene: Scene) -> Act:
    return settling(scene, Verdict(0, NEVER), scene.report)


def release(scene: Scene) -> Act:
    claimed = scene.marked()
    return lambda: scene.relay.release(claimed, NOW)


def remove(scene: Scene) -> Act:
    now(scene.peer.add(scene.message, NOW))
    return lambda: scene.relay.apply(Action.REMOVE, [scene.message.id], NOW)


OPERATIONS = [add, add_unclaimed, add_large, claim, mark, settle, put_off, bounce, release, remove]


def crashed(scene: Scene, prepare: Callable[[Scene], Act], before: int | None, *, answered: bool = False) -> list[str]:
    """Carry the operation out up to this statement; return the steps so far."""
    act = prepare(scene)
    crash = Crash(scene.proxy, before, answered)
    try:
        now(act())
    except QueueError:
        assert before is not None
    return crash.steps if before is None else crash.steps[: before + 1]


def check(scene: Scene, state: State) -> None:
    """Let the peer take over from a state, and compare what it finds."""
    expected = {}
    for name, id in (("M", scene.message.id), ("R", scene.report.id)):
        if f"{name} waiting" in state.rows or f"{name} claimed" in state.rows:
            expected[id] = f"{name} claimed marked" in state.rows
    assert scene.take_over() == expected, state
    rows = read_rows(scene.server, scene.database)
    assert rows.missing == 0, state
    assert set(parts_without_a_message(scene.server, scene.database).values()) == {0}, state


@cache
def template() -> str:
    """Return the name of a database that has the schema."""
    server = shared_cluster()
    name = server.database()
    create_schema(server.url(name))
    return name


@contextmanager
def new_scene(proxy: CuttingProxy) -> Iterator[Scene]:
    """Set the scene in a database of its own."""
    server = shared_cluster()
    with (
        server.temporary(template()) as database,
        tempfile.TemporaryDirectory(prefix="smtprelay-crash-") as directory,
    ):
        scene = Scene(proxy, server, database, Path(directory))
        yield scene
        close(scene.peer)


@pytest.mark.parametrize(
    "operation", choose([add, claim, bounce], OPERATIONS), ids=lambda operation: operation.__name__
)
def test_a_relay_that_ends_leaves_the_rows_of_the_table_and_a_peer_goes_on(operation: Callable[[Scene], Act]):
    seen: list[State] = []

    def stop(proxy: CuttingProxy, before: int, *, answered: bool = False) -> None:
        with new_scene(proxy) as scene:
            steps = crashed(scene, operation, before, answered=answered)
            seen.append(State("answer" if answered else steps[-1], scene.rows()))
            check(scene, seen[-1])

    with CuttingProxy(shared_cluster().socket) as proxy:
        with new_scene(proxy) as whole:
            number = len(crashed(whole, operation, None))
            close(whole.relay)
        for before in range(number):
            stop(proxy, before)
        stop(proxy, number - 1, answered=True)
    assert without_repetitions(seen) == table(operation.__name__.replace("_", " "))


def close(queue: PostgresQueue) -> None:
    now(queue.close())


def without_repetitions(states: list[State]) -> list[State]:
    """Return the states without those that only repeat the step before."""
    return [state for index, state in enumerate(states) if index == 0 or state != states[index - 1]]
