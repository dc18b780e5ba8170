"""The pair of servers under Patroni: its synchronous standby takes over from a primary that is killed."""

import psycopg
import pytest

from harness.patroni import PatroniPair
from harness.postgres import NoPostgresError


@pytest.mark.long
def test_the_standby_takes_over_with_all_that_was_committed():
    try:
        with PatroniPair() as pair:
            with psycopg.connect(pair.url("postgres"), autocommit=True) as connection:
                connection.execute("CREATE TABLE note AS SELECT 1 AS n")
            old = pair.primary()
            old.kill()
            new = pair.primary()
            assert new is not old
            with psycopg.connect(pair.url("postgres")) as connection:
                assert connection.execute("SELECT n FROM note").fetchall() == [(1,)]
            old.start()
            pair.wait_for_standby()
    except NoPostgresError as error:
        pytest.skip(str(error))
