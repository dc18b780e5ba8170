"""The pair of servers under Patroni: the standby takes over from a primary that hands over, and from a killed one."""

import psycopg
import pytest

from harness.patroni import PatroniPair
from harness.postgres import NoPostgresError


@pytest.mark.long
def test_the_standby_takes_over_with_all_that_was_committed():
    try:
        with PatroniPair() as pair, pair.temporary() as database:
            with psycopg.connect(pair.url(database)) as connection:
                connection.execute("CREATE TABLE note AS SELECT 1 AS n")
            for take_over in pair.switch_over, pair.fail_over:
                old = pair.primary()
                take_over()
                assert pair.primary() is not old
                with psycopg.connect(pair.url(database)) as connection:
                    connection.execute("UPDATE note SET n = n + 1")
            assert pair.execute("SELECT n FROM note", database=database) == [(3,)]
    except NoPostgresError as error:
        pytest.skip(str(error))
