"""A relay among those that share the queue: from its start, through its takeover by others, to its end."""

from collections.abc import Iterator

import pytest
from twisted.internet.defer import Deferred

from mta.blocking import run_inline
from mta.queue.interface import QueueError
from mta.queue.postgres.membership.common_tasks import LOOK_INTERVAL, Chore
from mta.queue.postgres.membership.heartbeat import INTERVAL
from mta.queue.postgres.membership.membership import Membership, MembershipListeners, NodeIdentity
from mta.queue.postgres.membership.node import LEASE, Node
from mta.queue.postgres.membership.takeover import give_up
from tests.fakes.socket_reactor import SocketReactor
from tests.queue.postgres.shared_queue import SharedQueue


class Relay:
    """One relay, and the calls that it got."""

    def __init__(self, shared: SharedQueue, name: str, *chores: Chore) -> None:
        self.reactor = SocketReactor()
        self.calls: list[object] = []
        self.lines: list[str] = []
        self.ahead = 0.0
        self.membership = Membership(
            shared.node(name),
            NodeIdentity(name, "2.0", 1, 3),
            shared.session,
            clock=self.reactor,
            reactor=self.reactor,
            wall_clock=lambda: self.reactor.seconds() + self.ahead,
            run=run_inline,
            listeners=MembershipListeners(
                fenced=lambda: self.calls.append(("fenced", self.membership.node)),
                woken=self.calls.append,
                notice=self.lines.append,
                trouble=self.lines.append,
            ),
            chores=chores,
        )

    def pass_time(self, seconds: float) -> None:
        """Let time pass in steps of a second."""
        for _ in range(int(seconds)):
            self.reactor.advance(1)


@pytest.fixture
def relay(shared: SharedQueue) -> Iterator[Relay]:
    relay = Relay(shared, "mx1")
    relay.membership.start()
    yield relay
    relay.membership.leave()


def lease_of(shared: SharedQueue, node: Node) -> float:
    seconds = "SELECT extract(epoch FROM alive_until - clock_timestamp())::float8 FROM node WHERE id = %(id)s"
    left: float = shared.rows(seconds, id=node.id)[0][0]
    return left


def test_it_prolongs_its_lease_and_knows_how_many_live(shared: SharedQueue, relay: Relay):
    assert relay.membership.living == (relay.membership.node.id,)
    other = shared.node("mx2")
    shared.let_lease_end(relay.membership.node, 1)
    relay.pass_time(INTERVAL)
    assert lease_of(shared, relay.membership.node) > LEASE - 5
    assert relay.membership.living == (relay.membership.node.id, other.id)


def test_it_knows_the_clock_of_the_database(shared: SharedQueue, relay: Relay):
    ((now,),) = shared.rows("SELECT extract(epoch FROM clock_timestamp())::float8")
    here = relay.reactor.seconds
    assert abs(here() + relay.membership.offset - now) < 2
    relay.ahead = 1000
    assert abs(here() + 1000 + relay.membership.offset - now) < 2, "also after the wall clock was set"


def test_fenced_off_by_others_it_drops_its_claims_and_goes_on_as_a_new_node(shared: SharedQueue, relay: Relay):
    first = relay.membership.node
    give_up(shared.session(), first.id)
    relay.pass_time(INTERVAL)
    assert relay.calls.count(("fenced", first)) == 1
    second = relay.membership.node
    assert (second.name, second.lanes) == ("mx1", 3)
    assert second.id > first.id
    assert lease_of(shared, second) > LEASE - 5
    assert relay.lines[0].startswith("this relay has shown no sign of life for so long that another one took over its")
    assert relay.lines[1:] == [f"this relay goes on as node {second.id} of the shared queue"]
    relay.pass_time(2 * INTERVAL)
    assert relay.membership.node == second


def test_all_who_find_the_same_node_fenced_wait_for_the_same_new_one(shared: SharedQueue, relay: Relay):
    first = relay.membership.node
    shared.add(1, first)
    shared.refuse()
    waiting = [relay.membership.next_node(first.id) for _ in range(2)]
    assert not any(waiter.called for waiter in waiting)
    shared.accept()
    relay.pass_time(2)
    assert all(waiter.called for waiter in (*waiting, relay.membership.next_node(first.id)))
    assert relay.membership.node != first
    assert shared.message(1, "node") == (None,), "a node that no relay is any more keeps nothing"
    assert relay.calls.count(("fenced", first)) == 1


def test_an_old_relay_that_was_frozen_does_not_go_on_with_tables_that_newer_ones_have_changed(
    shared: SharedQueue, relay: Relay
):
    first = relay.membership.node
    give_up(shared.session(), first.id)
    shared.rows("UPDATE meta SET value = 9 WHERE name = 'oldest_compatible'")
    relay.pass_time(2 * INTERVAL)
    assert relay.membership.node == first
    (told,) = relay.lines[1:]
    assert "cannot go on as a new node yet: the shared queue was made by a newer smtprelay" in told


def test_it_takes_over_a_dead_relay_once_its_own_signs_of_life_go_back_for_a_lease(shared: SharedQueue, relay: Relay):
    dead = shared.node("mx2")
    shared.let_lease_end(dead, 10)
    shared.add(1, dead)
    relay.pass_time(LEASE - 1)
    assert shared.message(1, "node") == (dead.id,)
    relay.calls.clear()
    relay.pass_time(1 + INTERVAL)
    assert shared.message(1, "node") == (None,)
    assert True in relay.calls, "its own look for the mail of the dead relay"
    assert [line.partition(" s: ")[2] for line in relay.lines] == ["messages of it that the others take over: 1"]
    assert relay.membership.living == (relay.membership.node.id,)


def test_a_database_that_is_away_is_told_once_and_puts_takeovers_off(shared: SharedQueue, relay: Relay):
    relay.pass_time(LEASE)
    shared.let_lease_end(shared.node("mx2"))
    shared.refuse()
    # No longer than from one sign of life to the next but one.
    relay.pass_time(INTERVAL + 3)
    assert len(relay.lines) == 1
    assert relay.lines[0].startswith("the queue's database gives no answer: ")
    shared.accept()
    relay.pass_time(LEASE - 1)
    assert relay.lines[1:] == ["the queue's database answers again"]
    assert shared.rows("SELECT fenced FROM node WHERE name = 'mx2'") == [(False,)]
    relay.pass_time(2 * INTERVAL)
    assert shared.rows("SELECT fenced FROM node WHERE name = 'mx2'") == [(True,)]


def test_a_relay_that_leaves_gives_everything_back_and_wakes_the_others(shared: SharedQueue, relay: Relay):
    other = Relay(shared, "mx2")
    other.membership.start()
    other.reactor.read()
    shared.add(1, relay.membership.node)
    other.calls.clear()
    left = relay.membership.leave()
    assert left.called
    assert shared.message(1, "node") == (None,)
    other.reactor.read()
    assert other.calls == [True]
    assert relay.reactor.getDelayedCalls() == []
    assert relay.reactor.readers == []
    assert relay.lines == []
    other.membership.leave()


def test_a_relay_that_cannot_take_leave_says_so_and_lets_waiting_callers_go(shared: SharedQueue):
    relay = Relay(shared, "mx1")
    relay.membership.start()
    shared.refuse()
    waiter = relay.membership.next_node(relay.membership.node_id)
    left = relay.membership.leave()
    assert left.called
    errors: list[QueueError] = []
    late = relay.membership.next_node(relay.membership.node_id)
    for failed in (waiter, late):
        failed.addErrback(lambda failure: errors.append(failure.value))
    assert [str(error) for error in errors] == ["the relay is stopping"] * 2
    assert relay.lines[-1].startswith("the relay cannot take leave of the shared queue (no connection")
    shared.accept()


def test_chores_are_done_by_one_relay_and_their_failure_is_told_once(shared: SharedQueue):
    done: list[str] = []

    def audit(name: str) -> None:
        done.append(name)
        raise QueueError("not today")

    shared.rows("UPDATE chore SET next = clock_timestamp() WHERE name = 'audit'")
    relays = [Relay(shared, name, Chore("audit", 0.0, lambda _, name=name: audit(name))) for name in "ab"]
    for relay in relays:
        relay.membership.start()
    relays[0].pass_time(LOOK_INTERVAL)
    assert done == ["a"]
    shared.rows("UPDATE chore SET next = clock_timestamp() + interval '1 hour' WHERE name = 'audit'")
    relays[1].pass_time(LOOK_INTERVAL)
    assert done == ["a"]
    shared.rows("UPDATE chore SET next = clock_timestamp() WHERE name = 'audit'")
    relays[0].pass_time(LOOK_INTERVAL)
    assert done == ["a", "a"]
    assert relays[0].lines == ["audit of the shared queue: not today; trying again"]
    for relay in relays:
        relay.membership.leave()


def test_others_may_ask_for_a_turn(relay: Relay):
    turns: list[Deferred[bool]] = [relay.membership.has_turn("audit", 900) for _ in range(2)]
    assert [turn.result for turn in turns] == [True, False]
