"""One relay as the smarthost of another: the login on a submission port by the strongest mechanism."""

import pytest

from harness.certificates import authority
from harness.daemon import Daemon
from harness.processes import free_port
from mta.smtp.sasl import scram
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received
from tests.length import choose

ROOT = authority()
NAME = "smart.example.test"
SECRET = scram.format_secret(scram.derive("correct-horse", b"salt of the test"))
BCRYPT = "$2y$04$uZXVIIV1QI3ORoE6sEnYW.5mOyGHYI6nLCOVLwVwf4OYTBBEW0tUe"


@pytest.mark.parametrize(
    ("users", "mechanism"),
    [(f"app:{SECRET}", "SCRAM-SHA-256-PLUS"), *choose([], [(f"app:{SECRET} old:{BCRYPT}", "PLAIN")])],
)
def test_a_relay_logs_in_at_another_one(world, tmp_path, users, mechanism):
    world.dns.add({NAME: {"A": ["127.0.0.1"]}})
    world.dns.mail_host("example.test")
    sink = world.sink()
    certificate, key = ROOT.leaf([NAME]).write(tmp_path, "smart")
    port = str(free_port())
    smart = world.relay(
        sink,
        MAILNAME=NAME,
        CERTIFICATE_PATH=str(certificate),
        KEY_PATH=str(key),
        SUBMISSION_PORT=port,
        AUTH_USERS=users,
    )
    settings = {
        "DNS_SERVERS": world.dns.setting,
        "SMARTHOST_ADDRESS": NAME,
        "SMARTHOST_PORT": port,
        "SMARTHOST_USER": "app",
        "SMARTHOST_PASSWORD": "correct-horse",
        "SMARTHOST_CA_FILE": str(ROOT.write(tmp_path)),
    }
    with Daemon(tmp_path / "client", **settings) as relay:
        relay.submit(mail(), TO)
        received(sink)
        (delivered, *_) = relay.wait_for_events("delivered")
    (login,) = smart.wait_for_events("login")
    assert (login["user"], login["mechanism"]) == ("app", mechanism)
    assert delivered["tls"].endswith(" verified")
