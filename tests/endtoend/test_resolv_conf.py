"""A network whose DNS server changes while the relay runs: /etc/resolv.conf is rewritten, and the relay follows it."""

import json
import os
import sys
from pathlib import Path

import pytest

from harness.daemon import ROOT, Daemon
from harness.network import Network, NoNetworkError
from harness.processes import Child, with_mounts
from harness.sink import Sink
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes namespaces of its own")

NEW_SERVER = "127.0.0.2"
ZONE = {"example.test": {"MX": [[10, "mx.example.test"]]}, "mx.example.test": {"A": ["127.0.0.1"]}}


def dns_server(folder: Path) -> Child:
    (folder / "zone.json").write_text(json.dumps(ZONE))
    command = [sys.executable, "-m", "harness.dns_server", "--port", "53", "--interface", NEW_SERVER]
    return Child([*command, "--zone", str(folder / "zone.json")], folder / "dns.log", {"PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize("workers", ["1", "2"])
def test_mail_goes_out_once_the_file_names_a_server_that_answers(tmp_path, workers):
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.1\n")
    try:
        with Network() as network, network.entered(), Sink() as sink, dns_server(tmp_path) as dns:
            until(lambda: "ready" in dns.text, what="the DNS server")
            settings = {"SMTPPORTOUT": str(sink.port), "PRIVATE_DESTINATIONS": "allow", "RETRY_SCHEDULE": "F,10m,1s"}
            relay = Daemon(tmp_path / "relay", WORKERS=workers, **settings)
            relay.child.command[:0] = with_mounts({"/etc/resolv.conf": conf})
            with relay:
                relay.submit(mail(), TO)
                (event, *_) = relay.wait_for_events("deferred")
                assert "from 127.0.0.1:53" in event["reply"]
                # As the owner of a bind mount does it: empty for a moment, and the same file.
                conf.write_text("")
                conf.write_text(f"nameserver {NEW_SERVER}\n")
                received(sink)
    except NoNetworkError as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")
