"""The demands on MX hosts in a relay: built when mail goes by MX, with the services that they need."""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from harness.daemon import ROOT
from harness.zone import Zone, ZoneResolver
from mta.config.settings import read_settings
from mta.daemon.secure.mx_demands import MxDemands
from mta.delivery.remote.tls_session import TlsFailure, TlsSession
from mta.event_log.lines import render_json
from mta.event_log.log import EventLog
from mta.message.outcome import TryLater
from mta.queue.memory import MemoryQueue
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.route import Plan, Route
from mta.routing.router import MailRouter
from mta.routing.rules import RouterRules
from mta.smtp.domains import DomainList
from mta.sts.kept import KeptPolicy
from mta.sts.policy import StsMode, StsPolicy
from mta.sts.policy_file import PolicyFile

POLICY = StsPolicy(StsMode.ENFORCE, ("mx.a.test",), 86_400)
ZONE = {
    "a.test": {"MX": [[10, "mx.a.test"]]},
    "mx.a.test": {"A": ["198.51.100.1"]},
    "_mta-sts.a.test": {"TXT": ["v=STSv1; id=1;"]},
}

# Starts the demands of a relay with some settings, and prints the modules that were imported.
_SHOW = """
import sys, time
from types import SimpleNamespace
from unittest.mock import Mock
from twisted.internet.defer import Deferred
from twisted.internet import reactor
import mta.tap, mta.daemon.relay
from mta.config.settings import read_settings
from mta.daemon.secure.mx_demands import MxDemands
settings = read_settings({"NET_DEV": "none0", **dict(pair.split("=", 1) for pair in sys.argv[1:])})
context = SimpleNamespace(
    settings=settings, event_log=Mock(), reactor=reactor, sockets=[], home=settings.queue_dir,
    wall_clock=time.time, in_thread=lambda work: Deferred(),
)
demands = MxDemands(context, Mock(), Mock())
demands.routing(Mock())
demands.startService()
print(*sys.modules)
"""


class MxDemandsTests(TestCase):
    def setUp(self) -> None:
        self.home = Path(self.mktemp())
        self.home.mkdir()
        now = time.time()
        PolicyFile(self.home).write({"a.test": KeptPolicy(POLICY, "1", now - 3600, now)})
        self.lines: list[str] = []

    def router(self, **environ: str) -> MailRouter:
        settings = read_settings({"NET_DEV": "none0", "DNSSEC": "off", **environ}, host_name=lambda: "relay.test")
        context: Any = SimpleNamespace(
            settings=settings,
            reactor=reactor,
            event_log=EventLog(self.lines.append, time.time, render_json),
            sockets=[],
            wall_clock=time.time,
            home=self.home,
            in_thread=deferToThread,
        )
        self.resolver = resolver = ZoneResolver(Zone(ZONE))
        resolver.client = None  # type: ignore[attr-defined]
        self.demands = MxDemands(context, resolver, MemoryQueue())  # type: ignore[arg-type]
        rules = RouterRules("relay.test", DomainList(), DomainList(), smarthost=settings.smarthost)
        router = MailRouter(rules, resolver, time.monotonic, secure=self.demands.routing)
        self.demands.startService()
        self.addCleanup(lambda: maybeDeferred(self.demands.stopService))
        return router

    async def test_the_policies_that_are_kept_are_demanded_from_the_first_mail_on(self) -> None:
        plan = await self.router().resolve("a.test")
        assert isinstance(plan, Plan)
        assert plan.routes[0].proof == Proof(ProofSource.STS, "a.test", ("mx.a.test",))

    async def test_nothing_is_demanded_if_all_is_off(self) -> None:
        plan = await self.router(MTA_STS="off").resolve("a.test")
        assert isinstance(plan, Plan)
        assert plan.routes[0].proof is None
        assert ("_mta-sts.a.test", "TXT") not in self.resolver.asked

    async def test_tls_policy_is_used_also_if_all_else_is_off(self) -> None:
        plan = await self.router(MTA_STS="off", TLS_POLICY="a.test=verify").resolve("a.test")
        assert isinstance(plan, Plan)
        assert plan.destination == "mx.a.test (verify)"

    async def test_a_policy_that_a_host_does_not_follow_is_looked_at_again(self) -> None:
        router = self.router()
        plan = await router.resolve("a.test")
        assert isinstance(plan, Plan)
        (route,) = plan.routes
        self.demands.session_ended(TlsSession("a.test", route, None))
        assert await self.fetches(router) == 0
        self.demands.session_ended(TlsSession("a.test", route, TlsFailure.EXPIRED, "it has expired"))
        assert await self.fetches(router) == 1

    async def fetches(self, router: MailRouter) -> int:
        """Route once more, and return how many fetches of the policy have failed, because there is no policy host."""
        router.use(None)
        assert not isinstance(await router.resolve("a.test"), TryLater)
        return len([line for line in self.lines if json.loads(line)["event"] == "policy-failed"])

    async def test_sessions_and_retries_before_the_first_mail_are_passed_over(self) -> None:
        self.router(SMARTHOST_ADDRESS="mail.test")
        self.demands.session_ended(TlsSession("a.test", Route("mx.a.test", "198.51.100.1", 25), TlsFailure.EXPIRED))
        self.demands.retry()
        assert list(self.demands) == []


def imported(*settings: str) -> set[str]:
    """Return the modules of a relay with these settings when its services have started."""
    command = [sys.executable, "-c", _SHOW, *settings]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


LARGE = {
    "mta.routing.demands.secured",
    "mta.routing.demands.dane",
    "mta.dns.dnssec.authenticity",
    "mta.sts.policy",
}
# Imported for the first policy that is fetched.
HTTP = {"mta.https.client", "twisted.web.client"}


@pytest.mark.parametrize("settings", [["SMARTHOST_ADDRESS=mail.test"], ["MTA_STS=off", "DANE=off"]])
def test_a_relay_that_demands_nothing_of_mx_hosts_imports_none_of_it(settings: list[str]) -> None:
    assert not imported(*settings) & (LARGE | HTTP)


def test_a_relay_whose_mail_goes_by_mx_imports_it_at_its_start() -> None:
    modules = imported("DNSSEC=off", "QUEUE_DIR=/nonexistent")
    assert modules >= LARGE
    assert not modules & HTTP
