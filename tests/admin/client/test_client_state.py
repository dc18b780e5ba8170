"""The client of the API, whose requests a site in memory answers: long lists, and the contract of RelayState."""

from mta.admin.client import client_state
from mta.admin.state import StateError
from mta.queue.entries import Query, QueueId
from tests.admin.api.test_contract import ApiStateTests


class LongAnswersTests(ApiStateTests):
    def test_many_ids_and_long_lists_are_asked_in_parts(self) -> None:
        ids = [self.added().id for _ in range(7)]
        self.patch(client_state, "MAX_MESSAGES", 2)
        self.patch(client_state, "MAX_PAGE", 3)
        for query in (
            Query(),
            Query(newest_first=True, limit=5),
            Query(ids[1:]),
            Query(ids, newest_first=True, limit=3),
        ):
            self.assertEqual(self.now(self.state.find(query)), self.now(self.queue.find(query)), query)

    def test_a_mistake_in_a_question_is_one_line(self) -> None:
        text = self.refused(self.state.find(Query([QueueId("x")])), StateError)
        self.assertEqual(text, "not a queue id: 'x'")
