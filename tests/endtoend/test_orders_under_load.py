"""Orders on messages found by conditions, while mail keeps coming: each does what its dry run has counted, no more."""

import itertools
import json
import re
import threading
from collections import defaultdict

import pytest

from harness.sink_rules import Rule
from harness.waiting import until
from tests.endtoend.mails import mail
from tests.length import choose

BUSY = Rule("RCPT", "451 4.3.0 come back")
DOMAINS = ("hold.test", "bounce.test", "remove.test", "leave.test")
CLIENTS = 3
SUBJECT = b"Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?="


class Injection:
    """Clients that submit mail without a pause until the end of the block.

    `accepted` has the tokens of accepted messages by round and domain; the round is in the Subject.
    """

    def __init__(self, relay):
        self.relay = relay
        self.accepted = defaultdict(set)
        self.failures = []
        self._round = 1
        self._stop = threading.Event()
        self._lanes = [threading.Thread(target=self._run, args=(lane,)) for lane in range(CLIENTS)]
        # The round in which each client is.
        self._at = [0] * CLIENTS

    def __enter__(self):
        for lane in self._lanes:
            lane.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        for lane in self._lanes:
            lane.join()
        assert self.failures == []

    @property
    def number(self):
        return sum(map(len, self.accepted.values()))

    def end_round(self):
        """Begin the next round; return when each client has."""
        self._round += 1
        until(lambda: self.failures or min(self._at) == self._round, what="the next round")
        assert self.failures == []

    def _run(self, lane):
        try:
            with self.relay.client() as client:
                for count, domain in enumerate(itertools.cycle(DOMAINS)):
                    if self._stop.is_set():
                        return
                    self._at[lane] = number = self._round
                    token = f"{lane}-{count}"
                    text = mail(token).replace(SUBJECT, b"Subject: round %d." % number)
                    client.sendmail("sender@sender.test", [f"someone@{domain}"], text)
                    self.accepted[number, domain].add(token)
        except Exception as error:  # noqa: BLE001 (the test fails with it)
            self.failures.append(error)


def ordered(relay, *words):
    """Run an order that must succeed, and return its output and its errors."""
    done = relay.tool("queue", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def counted(output):
    """Return the number of messages in the first line of a dry run."""
    return int(re.match(r"\w+: (\d+) messages?\n", output)[1])


def message_tokens(relay, *words):
    """Return the tokens of messages that a search finds."""
    output, _ = ordered(relay, "find", "--json", "--limit", "1000000", *words)
    found = json.loads(output) if output.startswith("[") else [json.loads(line) for line in output.splitlines()]
    return {entry["message_id"].partition("@")[0] for entry in found}


@pytest.mark.parametrize("workers", choose([1, 2], [1, 2, 4]))
def test_orders_under_load_do_what_their_dry_runs_have_counted(world, workers):
    for domain in DOMAINS:
        world.dns.mail_host(domain)
    sink = world.sink(BUSY)
    relay = world.relay(sink, RETRY_SCHEDULE="F,1h,30m", WORKERS=str(workers))
    with Injection(relay) as injection:
        until(lambda: injection.failures or injection.number > choose(200, 2000), what="some mail")
        injection.end_round()
        first = {domain: injection.accepted[1, domain] for domain in DOMAINS}
        for action in ("hold", "bounce", "remove"):
            domain = f"{action}.test"
            which = ("--domain", domain, "--subject", "round 1.")
            dry, _ = ordered(relay, action, *which, "--dry-run")
            assert counted(dry) == len(first[domain])
            output, _ = ordered(relay, action, *which, "--yes")
            assert re.search(rf"^{len(first[domain])} messages: ", output, re.MULTILINE), output
        assert message_tokens(relay, "--status", "held") == first["hold.test"]
        assert message_tokens(relay, "--status", "failed") == first["bounce.test"]
        assert message_tokens(relay, "--status", "removed") == first["remove.test"]
        injection.end_round()
    everything = set().union(*injection.accepted.values())
    sink.rules.clear()
    _, said = ordered(relay, "retry", "--all")
    assert f"not tried: {len(first['hold.test'])} held messages" in said
    gone = first["bounce.test"] | first["remove.test"]
    until(lambda: tokens(sink) >= everything - gone - first["hold.test"], what="all mail that nobody holds")
    assert not tokens(sink) & (gone | first["hold.test"])
    held, _ = ordered(relay, "find", "--status", "held", "--limit", "1", "--json")
    ordered(relay, "retry", re.search(r'"id": ?"(\w+)"', held)[1])
    until(lambda: len(tokens(sink) & first["hold.test"]) == 1, what="the held message that was tried by its id")
    ordered(relay, "release", "--all")
    # A released message keeps the time of its next attempt.
    ordered(relay, "retry", "--all")
    relay.wait_until_empty()
    assert tokens(sink) == everything - gone
    reports = [message for message in sink.messages if not message.sender]
    assert len(reports) == len(first["bounce.test"])
    output, _ = ordered(relay, "summary")
    assert "ledger: " in output
    assert "not accounted for" not in output
    assert relay.events("fault") == []


def tokens(sink):
    """Return the tokens of the messages, without reports, that have arrived."""
    return {message.header("Message-ID")[1:].partition("@")[0] for message in list(sink.messages) if message.sender}
