"""The rules of listening ports."""

from mta.inbound.sockets.port_rule import (
    RELAY_PORT,
    SUBMISSION_PORT,
    SUBMISSION_TLS_PORT,
    ListeningSocket,
)
from mta.inbound.sockets.ports import bind
from mta.smtp.replies import reply

STOPPING = reply(421, "4.3.2", "try again later")


def test_a_client_is_refused_in_clear_only_where_it_reads_clear_text():
    assert RELAY_PORT.refusal(STOPPING) == SUBMISSION_PORT.refusal(STOPPING) == b"421 4.3.2 try again later\r\n"
    assert SUBMISSION_TLS_PORT.refusal(STOPPING) == b""


def test_the_address_of_a_socket_is_its_ip_address_and_its_port():
    for address in ("127.0.0.1", "::1"):
        with bind(address, 0, "BIND_IP") as bound:
            listening, port = ListeningSocket(bound, RELAY_PORT), bound.getsockname()[1]
        # The socket is closed now, as those are that the reactor has taken over.
        assert listening.address == (address, port)
