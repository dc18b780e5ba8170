"""A real port that runs out of file descriptors: the replies to clients, and the recovery of the port."""

import contextlib
import os
import resource
import socket

from twisted.internet.defer import maybeDeferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from harness.waiting import eventually
from mta.inbound.sockets import accepting
from mta.inbound.sockets.accepting import MAX_BATCH, ClientConnection, RejectedClient
from mta.inbound.sockets.ports import bind, listen
from mta.smtp.replies import reply
from tests.fakes.greeter import GreeterFactory

AWAY = reply(421, "4.7.0", "Too many connections from your address")


class Host(GreeterFactory):
    def __init__(self):
        super().__init__()
        self.full = False
        self.faulty = False
        self.built = 0
        # How many were built in each turn of the reactor.
        self.turns = []
        self.told = []

    def buildProtocol(self, addr):
        self.built += 1
        self.note_turn()
        if self.faulty:
            raise RuntimeError("a fault of ours")
        if self.full:
            return RejectedClient(AWAY.wire)
        return super().buildProtocol(addr)

    def note_turn(self):
        from twisted.internet import reactor

        if not self.turns or self.turns[-1] is None:
            self.turns[-1:] = [0]
            reactor.callLater(0, self.turns.append, None)
        self.turns[-1] += 1

    def no_room(self, address, refusal, trouble):
        self.told.append((address, trouble))


@contextlib.contextmanager
def no_descriptor_left():
    """Let the process open none beyond those it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Watched(socket.socket):
    """A socket that notes each shutdown."""

    def __init__(self, descriptor):
        super().__init__(fileno=descriptor)
        self.shut = []

    def shutdown(self, how):
        self.shut.append(how)
        super().shutdown(how)


class ClosingTests(TestCase):
    def test_the_connection_of_a_client_is_closed_by_one_call(self):
        from twisted.internet import reactor

        here, there = socket.socketpair()
        self.addCleanup(there.close)
        watched = Watched(here.detach())
        connection = ClientConnection(watched, Protocol(), ("127.0.0.1", 40000), None, 0, reactor)
        connection.connectionLost(connectionDone)
        assert there.recv(1) == b""
        assert watched.shut == []


class Accepting(TestCase):
    def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.host = Host()
        listening = bind("127.0.0.1", 0, "BIND_IP")
        self.address = listening.getsockname()
        self.port = listen(reactor, listening, self.host)
        self.clients = []

    async def tearDown(self):
        for client in self.clients:
            client.close()
        await eventually(self.reactor, lambda: not self.host.open)
        await maybeDeferred(self.port.stopListening)
        assert self.port._reserved is None

    def connect(self):
        # Not connected before the port takes it, but that is the kernel's business.
        client = socket.socket()
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect(self.address)
        self.clients.append(client)
        return client

    def turn(self):
        """Wait for the reactor, which opens descriptors of its own when it begins to run."""
        return deferLater(self.reactor, 0)

    async def heard(self, client):
        """Return what a client hears until the connection ends."""
        said = []

        def ended():
            try:
                said.append(client.recv(512))
            except BlockingIOError:
                return False
            return said[-1] == b""

        await eventually(self.reactor, ended)
        return b"".join(said)

    async def test_of_many_clients_at_once_few_are_accepted_in_each_turn(self):
        await self.turn()
        clients = [self.connect() for _ in range(4 * MAX_BATCH)]
        await eventually(self.reactor, lambda: len(self.host.open) == len(clients))
        assert max(filter(None, self.host.turns)) == MAX_BATCH

    async def test_a_client_that_is_turned_away_hears_why_and_gets_no_transport(self):
        self.host.full = True
        assert await self.heard(self.connect()) == AWAY.wire
        assert self.port.sessionno == 0

    async def test_a_fault_with_one_client_does_not_close_the_port(self):
        self.host.faulty = True
        assert await self.heard(self.connect()) == b""
        assert len(self.flushLoggedErrors(RuntimeError)) == 1
        self.host.faulty = False
        self.connect()
        await eventually(self.reactor, lambda: self.host.open)

    async def test_without_descriptors_each_client_hears_421_and_the_next_is_served_when_there_are_some(self):
        await self.turn()
        clients = [self.connect() for _ in range(40)]
        with no_descriptor_left():
            for client in clients:
                assert (await self.heard(client)).startswith(b"421 4.3.2")
        assert {address for address, _ in self.host.told} == {"127.0.0.1"}
        assert self.host.built == 0
        self.connect()
        await eventually(self.reactor, lambda: self.host.open)

    async def test_without_even_the_spare_descriptor_clients_wait_and_the_reactor_rests(self):
        self.patch(accepting, "PAUSE", 0.1)
        await self.turn()
        client = self.connect()
        with no_descriptor_left():
            os.close(self.port._reserved)
            self.port._reserved = None
            thief = os.open(os.devnull, os.O_RDONLY)
            await eventually(self.reactor, lambda: self.host.told)
            assert self.port not in self.reactor.getReaders()
            os.close(thief)
        assert self.host.told[0][0] == ""
        await eventually(self.reactor, lambda: self.host.open)
        assert client.recv(512) == b"220\r\n"

    async def test_clients_leave_the_last_descriptors_to_the_relays_own_work(self):
        self.port._descriptor_limit = 0
        assert (await self.heard(self.connect())).startswith(b"421 4.3.2")
        assert self.host.told == [("127.0.0.1", "almost all descriptors are in use")]

    async def test_a_port_that_is_closed_while_it_rests_stays_closed(self):
        self.port.pause(0.0)
        await self.port.stopListening()
        assert not self.port.connected
