"""Statements that the reactor executes itself: their answers, errors and lost connections, and threads in between."""

import os

import psycopg
from twisted.internet import reactor
from twisted.internet.error import ConnectionLost
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from harness.crowd import descriptors_used_up
from harness.waiting import eventually
from mta.queue.interface import QueueError
from mta.queue.postgres.arrays import numbers, octets, read_numbers
from mta.queue.postgres.errors import OutcomeUnknown
from mta.queue.postgres.lanes.answers import AnswerReader
from mta.queue.postgres.prepared import PreparedStatement, prepared_statement
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server
from tests.queue.postgres.cluster import database

_ARRAY = "%(values)s::bigint[]"
TOTAL = prepared_statement("total", f"SELECT ARRAY[sum(one)]::bigint[] FROM unnest({_ARRAY}) AS one")
# Each of these does no harm while its array is empty.
SLEEP = prepared_statement("sleep", f"SELECT pg_sleep(cardinality({_ARRAY}))")
WARN = prepared_statement("warn", f"SELECT pg_temp.warn(cardinality({_ARRAY}))")
ADD = prepared_statement("add", f"INSERT INTO once SELECT unnest({_ARRAY})")
LENGTHS = prepared_statement("lengths", "SELECT ARRAY(SELECT length(unnest(%(values)s::bytea[])))::bigint[]")
_WARNING = "BEGIN IF number > 0 THEN RAISE WARNING 'careful'; END IF; RETURN number; END"


class AnswerReaderTests(TestCase):
    def setUp(self) -> None:
        self.url = database(self)
        self.session = DatabaseSession(read_server(self.url).connection_parameters())
        self.addCleanup(self.session.close)
        self.answers = AnswerReader(self.session, reactor)
        self.addCleanup(self.answers.release)
        self.session.rows("CREATE SCHEMA smtprelay")
        self.session.rows("CREATE TABLE once (one bigint UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        self.session.rows(f"CREATE FUNCTION pg_temp.warn(number int) RETURNS int LANGUAGE plpgsql AS $$ {_WARNING} $$")
        for statement in (TOTAL, SLEEP, WARN, ADD):
            self.session.execute(statement, {"values": numbers([])})
            assert self.session.is_ready(statement)

    def end(self, process: int) -> None:
        """End a process of the server, by a connection of its own."""
        with psycopg.connect(self.url) as connection:
            connection.execute("SELECT pg_terminate_backend(%s, 10000)", [process])

    async def total(self, *each: int) -> tuple[int, ...]:
        assert self.answers.acquire()
        ((array,),) = await self.answers.execute(TOTAL, {"values": numbers(each)})
        return read_numbers(array)

    async def failure(self, statement: PreparedStatement, *values: int) -> QueueError:
        """Execute a statement that fails; check that the connection is closed and that the reactor has forgotten it."""
        assert self.answers.acquire()
        error = await self.assertFailure(self.answers.execute(statement, {"values": numbers(values)}), QueueError)
        self.check_forgotten()
        return error

    def check_forgotten(self) -> None:
        assert not self.session.connected
        assert self.answers not in reactor.getReaders()
        assert self.answers not in reactor.getWriters()

    async def test_one_statement_after_another_has_its_answer(self) -> None:
        for last in range(5):
            assert await self.total(*range(last + 1)) == (sum(range(last + 1)),)

    async def test_a_statement_that_is_larger_than_the_buffers_of_the_socket_is_sent_whole(self) -> None:
        self.session.execute(LENGTHS, {"values": None})
        assert self.answers.acquire()
        ((array,),) = await self.answers.execute(LENGTHS, {"values": octets([b"x" * 3_000_000] * 3)})
        assert read_numbers(array) == (3_000_000,) * 3
        assert self.answers not in reactor.getWriters()
        assert await self.total(1, 2) == (3,)

    async def test_a_thread_may_use_the_session_in_between(self) -> None:
        for _ in range(3):
            assert await self.total(1) == (1,)
            self.answers.release()
            assert self.answers not in reactor.getReaders()
            assert await deferToThread(self.session.rows, "SELECT 7") == [(7,)]

    async def test_without_a_descriptor_for_the_reactor_a_thread_may_use_the_session(self) -> None:
        with descriptors_used_up(os.getpid()):
            assert not self.answers.acquire()
            assert self.session.rows("SELECT 7") == [(7,)]
        assert await self.total(1) == (1,)

    async def test_an_error_is_that_of_the_statement_though_it_came_with_the_commit(self) -> None:
        assert self.answers.acquire()
        assert await self.answers.execute(ADD, {"values": numbers([1])}) == []
        assert "duplicate key" in str(await self.failure(ADD, 2, 2))
        assert self.session.rows("SELECT one FROM once") == [(1,)]

    async def test_an_outcome_is_unknown_after_a_warning(self) -> None:
        error = await self.failure(WARN, 1)
        assert isinstance(error, OutcomeUnknown)
        assert "careful" in str(error)

    async def test_an_outcome_is_unknown_after_a_lost_connection(self) -> None:
        ended = deferToThread(self.end, self.session.connection.info.backend_pid)
        error = await self.failure(SLEEP, *range(1000))
        assert isinstance(error, OutcomeUnknown)
        assert "terminating connection" in str(error)
        await ended

    async def test_an_outcome_is_unknown_after_the_connection_was_cut_here(self) -> None:
        reactor.callLater(0, self.session.cut)
        assert isinstance(await self.failure(SLEEP, *range(1000)), OutcomeUnknown)

    async def test_an_outcome_is_unknown_if_the_reactor_gives_the_connection_up(self) -> None:
        reactor.callLater(0, self.answers.connectionLost, Failure(ConnectionLost()))
        assert isinstance(await self.failure(SLEEP, *range(1000)), OutcomeUnknown)

    async def test_a_connection_that_ends_while_nothing_is_under_way_is_closed(self) -> None:
        assert await self.total(1) == (1,)
        await deferToThread(self.end, self.session.connection.info.backend_pid)
        await eventually(reactor, lambda: not self.session.connected)
        self.check_forgotten()
