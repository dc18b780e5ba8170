"""Relays wake each other through the sockets of a real reactor."""

from functools import partial

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from harness.waiting import eventually
from mta.queue.postgres.membership.membership import Membership, MembershipListeners, NodeIdentity
from tests.queue.postgres.cluster import database
from tests.queue.postgres.shared_queue import SharedQueue


class ReactorTests(TestCase):
    def setUp(self) -> None:
        self.shared = SharedQueue(database(self))
        self.addCleanup(self.shared.close)
        self.woken: list[tuple[str, bool]] = []
        self.lines: list[str] = []

    def relay(self, name: str) -> Membership:
        membership = Membership(
            self.shared.node(name),
            NodeIdentity(name, "1.0", 1, 2),
            self.shared.session,
            clock=reactor,
            reactor=reactor,
            wall_clock=reactor.seconds,
            run=deferToThread,
            listeners=MembershipListeners(
                fenced=partial(self.lines.append, "fenced"),
                woken=lambda peer: self.woken.append((name, peer)),
                notice=self.lines.append,
                trouble=self.lines.append,
            ),
        )
        membership.start()
        return membership

    async def test_a_relay_that_leaves_wakes_the_others_at_once(self) -> None:
        first, second = self.relay("mx1"), self.relay("mx2")
        await eventually(reactor, lambda: first.hears and second.hears)
        self.woken.clear()
        before = reactor.seconds()
        await first.leave()
        await eventually(reactor, lambda: ("mx2", True) in self.woken)
        assert reactor.seconds() - before < 5, "sooner than it looks by itself"
        await second.leave()
        assert self.lines == []

    async def test_a_lost_connection_is_noticed_and_made_anew(self) -> None:
        relay = self.relay("mx1")
        await eventually(reactor, lambda: relay.hears)
        self.shared.end_listening()
        await eventually(reactor, lambda: not relay.hears)
        await eventually(reactor, lambda: relay.hears)
        await relay.leave()
        assert self.lines == []
