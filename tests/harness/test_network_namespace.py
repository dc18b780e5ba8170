"""The network with public addresses: who is inside it, and who is not."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.network_namespace import public_address, public_network, why_not
from mta.routing.private_addresses import is_private

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"


def namespace() -> str:
    return Path("/proc/thread-self/ns/net").readlink().name


def test_threads_and_programs_reach_a_server_inside_at_a_low_port_of_a_public_address():
    home, inside = namespace(), []
    with public_network(), socket.create_server((public_address(25), 25)) as server:
        thread = threading.Thread(target=lambda: inside.append(namespace()))
        thread.start()
        thread.join()
        assert inside == [namespace()]
        assert namespace() != home
        subprocess.run([sys.executable, "-c", CONNECT, public_address(25), "25"], check=True)
        server.accept()[0].close()
    assert namespace() == home


def test_the_network_is_left_after_an_exception():
    home = namespace()
    with pytest.raises(ZeroDivisionError), public_network():
        _ = 1 / 0
    assert namespace() == home


def test_two_networks_have_the_same_addresses_one_after_the_other():
    for _ in range(2):
        with public_network(), socket.create_server((public_address(1), 53)):
            pass


def test_addresses_are_not_private_for_the_relay():
    assert not is_private(public_address(1))
    with pytest.raises(AssertionError):
        public_address(255)
