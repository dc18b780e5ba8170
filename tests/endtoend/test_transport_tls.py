"""TLS that a rule demands for one domain, in the running relay, and a change of that rule while the mail waits."""

import os
import signal

from tests.endtoend.mails import mail
from tests.endtoend.world import TO, received


def test_mail_for_a_domain_waits_for_tls_that_a_rule_demands_until_the_rule_is_gone(world, tmp_path):
    rules = tmp_path / "rules.d" / "50-tls.toml"
    rules.parent.mkdir()
    rules.write_text('[[transport]]\nrecipient = "bank.test"\ntls = "verify"\n')
    sink = world.sink()
    for domain in ("bank.test", "example.test"):
        world.dns.mail_host(domain)
    relay = world.relay(sink, RULES_DIR=str(rules.parent), RETRY_SCHEDULE="F,1h,15m")
    with relay.client() as client:
        client.sendmail("sender@sender.test", [TO, "ann@bank.test"], mail())
    (message,) = received(sink)
    assert message.recipients == (TO,)
    (deferred,) = relay.wait_for_events("deferred")
    assert deferred["to"] == "<ann@bank.test>"
    assert "TLS" in deferred["reply"]
    rules.write_text("[[transport]]\nconnections = 2\n")
    os.kill(relay.child.pid, signal.SIGHUP)
    relay.wait_for_events("rules")
    assert relay.tool("queue", "retry", "--all").returncode == 0
    assert [each.recipients for each in received(sink, 2)] == [(TO,), ("ann@bank.test",)]
