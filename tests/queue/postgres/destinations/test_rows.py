"""The rows of destinations that are down, in words that any remote may have chosen."""

from twisted.trial.unittest import SynchronousTestCase

from mta.message.outcome import TryLater
from mta.queue.postgres.destinations.rows import note_failure
from tests.queue.postgres.tables import Tables


class FailureTests(SynchronousTestCase):
    def test_a_reply_with_octets_that_the_database_does_not_take_is_noted(self):
        session = Tables(self).new_session(changes=False)
        trouble = TryLater("421 4.3.2 a\0b\udce9", "mx.example.test[192.0.2.1]:25", "4.3.2")
        row = note_failure(session, "example.test", trouble, first=60.0, longest=600.0)
        self.assertEqual(row.trouble.text, "421 4.3.2 ab?")
