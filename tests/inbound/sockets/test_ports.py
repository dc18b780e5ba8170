"""Errors in binding the listening sockets."""

import errno
import select
import socket

import pytest

from mta.inbound.sockets.ports import NoSuchProtocol, PortError, bind


def test_a_bound_socket_listens_without_blocking() -> None:
    with bind("127.0.0.1", 0, "BIND_IP") as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
        assert not listening.getblocking()


def test_a_port_in_use_is_named_with_the_remedy() -> None:
    with bind("127.0.0.1", 0, "BIND_IP") as listening:
        port = listening.getsockname()[1]
        with pytest.raises(PortError, match=f"127.0.0.1 port {port}: another program listens there"):
            bind("127.0.0.1", port, "BIND_IP")


def test_an_address_of_another_host_names_its_setting() -> None:
    with pytest.raises(PortError, match="check BIND_IP"):
        bind("198.51.100.7", 0, "BIND_IP")


def test_ipv4_and_ipv6_can_be_bound_to_one_port() -> None:
    with bind("0.0.0.0", 0, "BIND_IP") as first, bind("::", first.getsockname()[1], "BIND_IP6") as second:
        assert second.getsockname()[1] == first.getsockname()[1]


def test_connections_are_accepted_with_no_delay_for_short_replies() -> None:
    with bind("127.0.0.1", 0, "BIND_IP") as listening, socket.create_connection(listening.getsockname()):
        select.select([listening], [], [], 5)
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_kernel_without_ipv6_is_distinguished_from_a_port_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(family: int, kind: int) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", unsupported)
    with pytest.raises(NoSuchProtocol, match="cannot listen on ::0: Address family not supported by protocol"):
        bind("::0", 2525, "BIND_IP6")


def test_an_error_names_the_setting_of_its_port() -> None:
    with bind("127.0.0.1", 0, "BIND_IP") as listening:
        port = listening.getsockname()[1]
        with pytest.raises(PortError, match=r"choose another SUBMISSION_PORT$"):
            bind("127.0.0.1", port, "BIND_IP", port_setting="SUBMISSION_PORT")
