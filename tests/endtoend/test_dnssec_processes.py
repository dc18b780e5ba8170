"""DNSSEC in every process that delivers: each has a libunbound of its own, also after the relay gave root up."""

from itertools import count
from pathlib import Path

import pytest

from harness.certificates import self_signed
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.secure_world import SecureWorld, tlsa
from tests.endtoend.test_run_as import NOBODY_AT_ALL, SOMEBODY, identity
from tests.programs.open_python import with_open_python


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_process_validates_as_the_user_that_the_relay_became(secure: SecureWorld, workers: str) -> None:
    prefix = with_open_python()
    if prefix is None:
        pytest.skip("nobody but root may run this Python")
    secure.domain("dane.example", "mx.dane.example")
    own = self_signed(["elsewhere.example"])
    host = secure.host("mx.dane.example", shows=own)
    secure.tree.set("_25._tcp.mx.dane.example", "TLSA", tlsa(3, 1, own.certificate))
    secure.publish()
    relay = secure.stopped_relay(WORKERS=workers, DNSSEC="libunbound", RUN_AS=SOMEBODY)
    relay.child.command[:0] = prefix
    sent = count(1)
    with relay:

        def delivering() -> list[int]:
            """Return the processes that have libunbound, after one more message."""
            relay.submit(mail(), "someone@dane.example")
            relay.wait_for_events("delivered", next(sent))
            return [pid for pid in processes if "/libunbound.so.8" in Path(f"/proc/{pid}/maps").read_text()]

        processes = list(relay.workers().values()) or [relay.child.pid]
        found = until(lambda: len(delivering()) == int(workers) and delivering(), what="a look-up in each process")
        assert {each["tls"].rpartition(" ")[2] for each in relay.events("delivered")} == {"dane"}
        for pid in found:
            assert identity(pid) == NOBODY_AT_ALL
        assert relay.stop() == 0
    assert "Traceback" not in relay.child.text
    assert len(host.messages) == next(sent) - 1
