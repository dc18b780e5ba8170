"""The contract of RelayState over the API: the client's values, the routes, and a relay of one process behind them."""

from pathlib import Path
from socket import socket
from typing import cast

from mta.admin.client.client_state import ClientState
from mta.admin.client.unix_http import UnixHttp
from tests.daemon.parts import test_admin
from tests.drivers.operator_site import DrivenSocket, OperatorSiteDriver


class ApiStateTests(test_admin.OwnStateTests):
    def make(self) -> None:
        super().make()
        driver = OperatorSiteDriver(self.state)
        self.state = ClientState(UnixHttp(Path("control"), connect=lambda _: cast("socket", DrivenSocket(driver))))
