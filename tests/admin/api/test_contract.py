"""The contract of RelayState over the API: the client's values, the routes, and a relay of one process behind them."""

from collections.abc import Sequence
from pathlib import Path
from socket import socket
from typing import Any, cast

from twisted.internet.defer import fail

from mta.admin.client import client_state
from mta.admin.client.client_state import ClientState
from mta.admin.client.unix_http import UnixHttp
from mta.admin.state import Order, OrderResult
from mta.queue.entries import Action, QueueId
from mta.queue.interface import QueueError
from tests.daemon.parts import test_admin
from tests.drivers.operator_site import DrivenSocket, OperatorSiteDriver


class ApiStateTests(test_admin.OwnStateTests):
    def make(self) -> None:
        super().make()
        driver = OperatorSiteDriver(self.state)
        self.state = ClientState(UnixHttp(Path("control"), connect=lambda _: cast("socket", DrivenSocket(driver))))

    def test_an_order_on_many_messages_takes_several_requests(self) -> None:
        self.patch(client_state, "ORDER_IDS", 2)
        ids = [self.added().id for _ in range(5)]
        self.assertEqual(self.ordered(Action.HOLD, ids), OrderResult(tuple(ids)))
        self.assertEqual([len(each[1]) for each in self.applied()], [2, 2, 1])

    def test_an_order_that_fails_in_a_later_request_has_the_changes_of_the_earlier_ones(self) -> None:
        self.patch(client_state, "ORDER_IDS", 2)
        ids = [self.added().id for _ in range(3)]
        apply = self.queue.apply

        def fail_later(action: Action, some: Sequence[QueueId], *more: Any, **options: Any) -> Any:
            return fail(QueueError("disk")) if ids[2] in some else apply(action, some, *more, **options)

        self.patch(self.queue, "apply", fail_later)
        self.assertEqual(self.ordered(Action.HOLD, ids), OrderResult(tuple(ids[:2]), failure="disk"))
        self.assertEqual(self.refused(self.state.order(Order(Action.HOLD, (ids[2],), "alice"))), "disk")
