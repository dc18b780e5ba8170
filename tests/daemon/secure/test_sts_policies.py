"""The source of MTA-STS policies as a service of a relay."""

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from harness.zone import Zone, ZoneResolver
from mta.daemon.secure.sts_policies import StsPolicies
from mta.event_log.lines import render_json
from mta.event_log.log import EventLog
from mta.sts.kept import KeptPolicy
from mta.sts.policy import StsMode, StsPolicy
from mta.sts.policy_file import PolicyFile

POLICY = StsPolicy(StsMode.ENFORCE, ("mx.a.test",), 86_400)


class StsPoliciesTests(TestCase):
    def setUp(self) -> None:
        self.home = Path(self.mktemp())
        self.home.mkdir()
        self.lines: list[str] = []
        self.zone = Zone({"_mta-sts.a.test": {"TXT": ["v=STSv1; id=1;"]}})

    def policies(self, *listening: tuple[str, int]) -> StsPolicies:
        context: Any = SimpleNamespace(
            settings=SimpleNamespace(ipv6=True),
            reactor=reactor,
            event_log=EventLog(self.lines.append, time.time, render_json),
            sockets=[SimpleNamespace(address=address) for address in listening],
            wall_clock=time.time,
            home=self.home,
            in_thread=deferToThread,
        )
        resolver: Any = ZoneResolver(self.zone)
        made = StsPolicies(context, resolver)
        made.startService()
        self.addCleanup(made.stopService)
        return made

    async def reason(self, *listening: tuple[str, int]) -> str:
        """Return why there is no policy."""
        assert await self.policies(*listening).source.policy("a.test") is None
        (event,) = map(json.loads, self.lines)
        assert event["event"] == "policy-failed"
        return str(event["reason"])

    async def test_the_policies_of_the_file_are_in_force_from_the_start(self) -> None:
        now = time.time()
        PolicyFile(self.home).write({"a.test": KeptPolicy(POLICY, "1", now, now)})
        assert await self.policies().source.policy("a.test") == POLICY

    async def test_no_policy_is_fetched_from_a_private_address(self) -> None:
        self.zone.add("mta-sts.a.test", A=["127.0.0.1"])
        assert "no connection may be made to its address 127.0.0.1" in await self.reason()

    async def test_no_policy_is_fetched_from_a_private_address_behind_nat64(self) -> None:
        self.zone.add("mta-sts.a.test", AAAA=["2001:db8:122:344::10.0.0.1"])
        self.zone.add("ipv4only.arpa", AAAA=["2001:db8:122:344::192.0.0.170"])
        assert "no connection may be made to its address 2001:db8:122:344::" in await self.reason()

    async def test_no_policy_is_fetched_from_the_relay_itself(self) -> None:
        self.zone.add("mta-sts.a.test", A=["192.0.2.1"])
        assert "no connection may be made to its address 192.0.2.1" in await self.reason(("192.0.2.1", 443))

    async def test_a_stop_writes_new_policies(self) -> None:
        policies = self.policies()
        now = time.time()
        policies.source._kept.put("b.test", KeptPolicy(POLICY, "1", now, now))
        await policies.stopService()
        assert PolicyFile(self.home).read().keys() == {"b.test"}
