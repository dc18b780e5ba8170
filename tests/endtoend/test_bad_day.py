"""Twenty situations of a bad day: the command that explains each, and its output as docs/bad-day.md shows it.

Times, ids, ports and spans are left out of the comparison.
"""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from harness.certificates import authority
from harness.mail import mail as new_mail
from harness.processes import free_port
from harness.sink_rules import Rule
from harness.waiting import until
from mta.blocking import run_inline
from mta.cli.results import result
from mta.message.outcome import TryLater
from mta.queue.ids import IdSource
from mta.queue.interface import Settlement, Verdict
from mta.queue.sqlite.queue import open_queue
from tests.endtoend.mails import mail
from tests.endtoend.world import TO
from tests.length import choose
from tests.programs.small_disk import NoDiskError, fill, small_disk

PAGE = Path(__file__).parent.parent.parent / "docs" / "bad-day.md"
SCHEDULE = {"RETRY_SCHEDULE": "F,2h,15m; G,16h,1h,1.5; F,4d,6h"}
_VARYING = (
    (re.compile(r"\b[0-7][0-9a-hjkmnp-tv-z]{12}\b"), "ID"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\dZ?"), "TIME"),
    (re.compile(r"\b(?:\d+[dhms]){1,2} ago\b"), "SPAN ago"),
    (re.compile(r"\bin (?:\d+[dhms]){1,2}:"), "in SPAN:"),
    (re.compile(r":\d{2,5}\b"), ":PORT"),
    (re.compile(r"\bport \d{2,5}\b"), "port PORT"),
    (re.compile(r"\b\d+ more messages waiting\b"), "MANY more messages waiting"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "DATE"),
    (re.compile(r"\b\d+ octets\b"), "N octets"),
)


def without_varying(text: str) -> str:
    for pattern, name in _VARYING:
        text = pattern.sub(name, text)
    return text


def shown(heading: str) -> str:
    """Return the output that the page shows in this section, without the command."""
    section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert section, f"the page has no section {heading}"
    return section.partition("```text\n")[2].partition("```")[0].partition("\n")[2]


def assert_shown(heading: str, text: str) -> None:
    assert without_varying(text) == without_varying(shown(heading))


def explained(relay, index=0) -> str:
    """Return the page about a message in the queue."""
    done = relay.tool("explain", relay.queue()[index]["id"])
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def deferred(world, sink, **settings) -> str:
    """Have a message deferred by a relay with these settings, and return the page about it."""
    relay = world.relay(sink, **SCHEDULE, **settings)
    relay.submit(mail(), TO)
    relay.wait_for_events("deferred")
    return explained(relay)


def smarthost(world, **settings) -> dict[str, str]:
    """Return the settings for a smarthost `smart.example.test` at 127.0.0.5."""
    world.dns.add({"smart.example.test": {"A": ["127.0.0.5"]}})
    return {"SMARTHOST_ADDRESS": "smart.example.test", **settings}


def wrong_password(world) -> str:
    root = authority()
    files = tuple(map(str, root.leaf(["smart.example.test"]).write(world.home)))
    sink = world.sink(address="127.0.0.5", tls=files, users={"me": "right-password"})
    login = {"SMARTHOST_USER": "me", "SMARTHOST_PASSWORD": "wrong-password"}
    trust = {"SSL_CERT_FILE": str(root.write(world.home))}
    return deferred(world, sink, **smarthost(world, SMARTHOST_PORT=str(sink.port), **login, **trust))


def missing_login(world) -> str:
    sink = world.sink(Rule("MAIL", "530 5.7.0 Authentication required"), address="127.0.0.5")
    return deferred(world, sink, **smarthost(world, SMARTHOST_PORT=str(sink.port)))


def expired_certificate(world) -> str:
    root = authority()
    files = tuple(map(str, root.leaf(["smart.example.test"], expired=True).write(world.home)))
    sink = world.sink(address="127.0.0.5", tls=files)
    trust = {"SMARTHOST_TLS": "verify", "SSL_CERT_FILE": str(root.write(world.home))}
    return deferred(world, sink, **smarthost(world, SMARTHOST_PORT=str(sink.port), **trust))


def no_starttls(world) -> str:
    sink = world.sink(address="127.0.0.5")
    return deferred(world, sink, **smarthost(world, SMARTHOST_PORT=str(sink.port), SMARTHOST_TLS="require"))


def wrong_port(world) -> str:
    return deferred(world, world.sink(), **smarthost(world, SMARTHOST_PORT=str(free_port())))


def dns_down(world) -> str:
    return deferred(world, world.sink(), DNS_SERVERS=f"127.0.0.1:{free_port()}")


def servfail(world) -> str:
    world.dns.add({"example.test": {"FAIL": "SERVFAIL"}})
    return deferred(world, world.sink())


def greylisting(world) -> str:
    return deferred(world, world.sink(Rule("RCPT", "450 4.7.1 Greylisted, please come back in 300 seconds")))


def over_quota(world) -> str:
    return deferred(world, world.sink(Rule("RCPT", "452 4.2.2 Mailbox is over quota")))


def failed(world, *rules: Rule, to: str = TO) -> str:
    """Have a message refused for good, wait until its sender has the report, and return the page about it."""
    world.dns.mail_host("sender.test", "127.0.0.6")
    sink = world.sink(*rules)
    world.sink(address="127.0.0.6", port=sink.port)
    relay = world.relay(sink, **SCHEDULE)
    relay.submit(mail(), to)
    (event,) = relay.wait_for_events("failed")
    relay.wait_until_empty()
    done = relay.tool("explain", event["id"])
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def block_list(world) -> str:
    text = "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"
    return failed(world, Rule("RCPT", text))


def content_refused(world) -> str:
    return failed(world, Rule(".", "554 5.7.1 This message looks like spam"))


def dkim_key_differs(world) -> str:
    return failed(world, Rule(".", "550 5.7.20 No passing DKIM signature found: body hash ok, key in DNS differs"))


def null_mx(world) -> str:
    world.dns.add({"nomail.test": {"MX": [[0, ""]]}})
    return failed(world, to="bob@nomail.test")


def held(world) -> str:
    relay = world.relay(world.sink(Rule("RCPT", "451 4.3.0 come back")), **SCHEDULE)
    relay.submit(mail(), TO)
    relay.wait_for_events("deferred")
    # Times are whole seconds over the API.
    until(lambda: _age(relay) > 3, what="an age that tells an operator from a rule")
    assert relay.tool("queue", "hold", relay.queue()[0]["id"]).returncode == 0
    return explained(relay)


def _age(relay) -> float:
    return time.time() - datetime.fromisoformat(relay.queue()[0]["created"]).timestamp()


def dead_domain(world) -> str:
    world.dns.mail_host("dead.test", "127.0.0.7")
    relay = world.relay(world.sink(), **SCHEDULE)
    number = choose(50, 5000)
    with relay.client() as client:
        client.sendmail("sender@sender.test", ["x@dead.test"], mail())
        relay.wait_for_events("destination-down")
        for _ in range(number - 1):
            client.sendmail("sender@sender.test", ["x@dead.test"], mail())
    until(lambda: not any(each["in_delivery"] for each in relay.queue()), what="mail that waits")
    return explained(relay, -1)


def bounce_of_a_bounce(world) -> str:
    relay = world.relay(world.sink(Rule("RCPT", "550 5.1.1 no such person")), **SCHEDULE)
    relay.submit(mail(), TO)
    relay.wait_for_events("failed", 2)
    relay.wait_until_empty()
    return relay.tool("explain", relay.events("reported")[0]["report"]).stdout


def delivered_yesterday(world) -> str:
    relay = world.relay(world.sink(), **SCHEDULE)
    relay.submit(mail(), TO)
    (event,) = relay.wait_for_events("delivered")
    relay.wait_until_empty()
    return relay.tool("explain", event["id"]).stdout


def refused_relay(world) -> str:
    relay = world.relay(world.sink())
    words = ("--from", "app@a.test", "--to", "bob@b.test", "--client", "203.0.113.9")
    return relay.tool("explain", *words).stdout


def silent_host(world) -> str:
    relay = world.stopped_relay(world.sink(), **SCHEDULE)
    relay.start()
    relay.stop()
    waited = TryLater("connection timed out after 30 s", "mx.example.test[192.0.2.1]:25", "4.4.1")
    add_deferred(relay.queue_dir, waited)
    return explained(relay)


def add_deferred(directory: Path, outcome: TryLater) -> None:
    """Add a message that was tried once to the queue of a relay that is not running."""
    now = time.time()
    queue = open_queue(directory, run=run_inline, now=now)
    new = replace(new_mail(TO, sender="sender@sender.test"), id=IdSource().new(now))
    claim = result(queue.add(new, now, lease=60.0))
    result(queue.settle(Settlement(claim, [Verdict(0, outcome, due=now + 900)], now)))
    result(queue.close())


SITUATIONS: dict[str, Callable] = {
    "Wrong password": wrong_password,
    "Missing login": missing_login,
    "Expired certificate": expired_certificate,
    "No STARTTLS": no_starttls,
    "Wrong port": wrong_port,
    "The DNS is down": dns_down,
    "SERVFAIL": servfail,
    "Greylisting": greylisting,
    "Block list": block_list,
    "Mailbox over quota": over_quota,
    "Content refused": content_refused,
    "Null MX": null_mx,
    "A silent host": silent_host,
    "The DKIM key differs": dkim_key_differs,
    "Relaying refused": refused_relay,
    "Held": held,
    "5,000 messages for a dead domain": dead_domain,
    "A bounce of a bounce": bounce_of_a_bounce,
    "Did it go out yesterday?": delivered_yesterday,
}


@pytest.mark.parametrize("heading", choose(list(SITUATIONS)[::3], list(SITUATIONS)))
def test_a_bad_day_is_explained_as_the_page_shows(world, heading):
    text = SITUATIONS[heading](world)
    assert_shown(heading, text)


def test_a_full_disk_is_told_by_the_health_check(world):
    relay = world.stopped_relay(world.sink())
    try:
        with small_disk(relay.queue_dir, "33M"):
            relay.start()
            filler = fill(relay.queue_dir, 0)
            relay.wait_for_events("trouble")
            done = relay.tool("health")
            filler.unlink()
            relay.stop()
    except NoDiskError as error:
        pytest.skip(str(error))
    assert_shown("A full disk", done.stderr)
