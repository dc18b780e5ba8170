"""The databases that the tests of this process get."""

import psycopg
from twisted.trial.unittest import SynchronousTestCase

from tests.queue.postgres.cluster import database


class DatabaseTests(SynchronousTestCase):
    def test_each_is_new_and_of_its_user(self):
        for _ in range(2):
            with psycopg.connect(database(self)) as connection:
                connection.execute("CREATE TABLE note (n integer)")


def test_a_function_gets_one_too(database_url: str):
    psycopg.connect(database_url).close()
