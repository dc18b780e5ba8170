"""The demands on MX hosts for explanations: by the files of the relay, not changed, or by present answers."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from harness.zone import Zone, ZoneResolver
from mta.blocking import result_of, run_inline
from mta.config.settings import read_settings
from mta.daemon.secure.shown_demands import ShownDemands
from mta.explain.demands.facts import PolicyFacts
from mta.routing.router import MailRouter
from mta.routing.rules import RouterRules
from mta.smtp.domains import domain_list
from mta.sts.kept import KeptPolicy
from mta.sts.policy import StsMode, StsPolicy
from mta.sts.policy_file import FILE_NAME, PolicyFile

POLICY = StsPolicy(StsMode.ENFORCE, ("mx.a.test",), 86_400)
KEPT = KeptPolicy(POLICY, "1", time.time(), time.time())
# No connection is made to the policy host, because its address is private.
ZONE = {
    "a.test": {"MX": [[10, "mx.a.test"]]},
    "mx.a.test": {"A": ["198.51.100.1"]},
    "_mta-sts.a.test": {"TXT": ["v=STSv1; id=1;"]},
    "mta-sts.a.test": {"A": ["127.0.0.1"]},
}


class Explained:
    """Explains mail for a.test by the settings of a relay with this queue directory."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.zone = Zone(ZONE)
        self.resolver: Any = ZoneResolver(self.zone)
        settings = read_settings(
            {"QUEUE_DIR": str(directory), "NET_DEV": "none0", "MAILNAME": "relay.test", "DANE": "off"}
        )
        self.demands = ShownDemands(settings, self.clock, self.resolver, run_inline)

    def facts(self, domain: str = "a.test") -> PolicyFacts:
        rules = RouterRules("relay.test", domain_list([]), domain_list([]))
        router = MailRouter(rules, self.resolver, self.clock.seconds, secure=self.demands.routing)
        result_of(Deferred.fromCoroutine(router.resolve(domain)))
        return self.demands.about(domain)


def test_the_policy_that_a_worker_fetched_last_is_shown(tmp_path: Path) -> None:
    newer = KeptPolicy(POLICY, "2", KEPT.fetched + 60, KEPT.used)
    (tmp_path / "worker-2").mkdir()
    (tmp_path / "worker-2" / "queue.sqlite").touch()
    PolicyFile(tmp_path).write({"a.test": KEPT})
    PolicyFile(tmp_path / "worker-2").write({"a.test": newer})
    assert Explained(tmp_path).facts() == PolicyFacts(newer.until)


def test_a_policy_that_is_no_longer_announced_leaves_no_failure_behind(tmp_path: Path) -> None:
    explained = Explained(tmp_path)
    assert "no connection may be made to its address 127.0.0.1" in explained.facts().failure
    del explained.zone.records["_mta-sts.a.test"]
    assert explained.facts() == PolicyFacts()


def test_the_facts_about_many_domains_are_not_kept(tmp_path: Path) -> None:
    explained = Explained(tmp_path)
    assert explained.facts().failure
    for number in range(200):
        explained.zone.add(f"d{number}.test", MX=[[10, "mx.a.test"]])
        explained.facts(f"d{number}.test")
    assert explained.demands.about("a.test") == PolicyFacts()


@pytest.mark.parametrize("content", [b"", b"no database\n" * 100])
def test_a_file_that_is_empty_or_damaged_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    assert Explained(tmp_path).facts().failure
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(FILE_NAME, content)]


def test_a_directory_that_cannot_be_read_is_as_one_without_policies(tmp_path: Path) -> None:
    assert Explained(tmp_path / "none").facts().failure
    assert os.listdir(tmp_path) == []
