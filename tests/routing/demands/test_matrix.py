"""What a domain publishes, against what the server of its host and the DNS show: whether mail goes, and how.

Each cell is delivered: router, connector, TLS and server are real, the answers of the DNS have the given security.
"""

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.trial.unittest import TestCase

from harness.certificates import Leaf, authority, self_signed
from harness.sink import Sink
from harness.zone import Zone, ZoneResolver
from mta.delivery.remote.connector import SmtpConnector
from mta.message.outcome import Delivered, TryLater
from mta.routing.demands.dane import Dane
from mta.routing.demands.deciding import DemandTerms
from mta.routing.demands.secured import SecuredRouting
from mta.routing.route import Plan
from mta.routing.router import MailRouter
from mta.routing.rules import RouterRules
from mta.smtp.domains import DomainList
from tests.drivers.connector_case import request
from tests.drivers.loopback_case import loopback_options
from tests.drivers.tlsa import tlsa
from tests.fakes.authenticity import FixedPolicies, ZoneAuthenticity, sts_policy

# The table of the documentation. Each cell is the end of `tls` in the log; ! is a notice.
_PAGE = Path(__file__).parent.parent.parent.parent / "docs" / "secure-delivery.md"

DOMAIN, HOST = "a.test", "mx.a.test"
AUTHORITY = authority()
SERVERS: dict[str, Leaf | None] = {
    "good": AUTHORITY.leaf([HOST]),
    "expired": AUTHORITY.leaf([HOST], expired=True),
    "other name": AUTHORITY.leaf(["other.test"]),
    "impostor": self_signed([HOST]),
    "no STARTTLS": None,
}
POLICIES = {
    "STS testing": sts_policy("testing", HOST),
    "STS enforce": sts_policy("enforce", HOST),
    "STS and DANE": sts_policy("enforce", "*.a.test"),
    "STS other hosts": sts_policy("enforce", "*.b.test"),
}


def cells() -> Iterator[tuple[str, str, str]]:
    """Yield each cell with its row and column."""
    _, _, behind = _PAGE.read_text().partition("| published ")
    table = f"| published {behind.partition(chr(10) * 2)[0]}"
    head, _, *rows = ([cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines())
    for row in rows:
        for column, words in zip(head[1:], row[1:], strict=True):
            yield row[0], column, words


class MatrixTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def router(self, published: str, shown: str, port: int) -> MailRouter:
        """Return a router for a domain that publishes this, whose host has its server at a port of this machine."""
        leaf = SERVERS.get(shown) or SERVERS["good"]
        own = SERVERS["good"] if shown == "impostor" else leaf
        assert own is not None
        zone = Zone({DOMAIN: {"MX": [[10, HOST]]}, HOST: {"A": ["127.0.0.1"]}})
        if "DANE" in published:
            usage = 1 if "unusable" in published else 3
            zone.add(f"_{port}._tcp.{HOST}", TLSA=[tlsa(usage, 1, 1, own.certificate)])
        source = ZoneAuthenticity(zone, ["a.test"])
        source.usable = shown != "no signatures"
        if shown == "forged TLSA":
            source.bogus[f"_{port}._tcp.{HOST}"] = "signature expired"
        policies = FixedPolicies({DOMAIN: POLICIES[published]} if published in POLICIES else {})
        resolver = ZoneResolver(zone)
        rules = RouterRules("relay.test", DomainList(), DomainList(), port_out=port, private=True)
        secure = partial(
            SecuredRouting,
            resolver=resolver,
            terms=DemandTerms(),
            dane=Dane(source),
            policies=policies,
            seconds=lambda: 0.0,
        )
        return MailRouter(rules, resolver, lambda: 0.0, random.Random(0), secure=secure)

    async def result(self, published: str, shown: str) -> str:
        leaf = SERVERS[shown] if shown in SERVERS else SERVERS["good"]
        tls = None if leaf is None else tuple(map(str, leaf.write(self.folder)))
        told: list[str] = []
        with Sink([], tls=tls) as sink:
            plan = await self.router(published, shown, sink.port).resolve(DOMAIN)
            if isinstance(plan, TryLater):
                self.assertEqual(plan.status, "4.7.5")
                self.assertIn(f"TLS_POLICY={DOMAIN}=opportunistic would send it all the same", plan.text)
                return "waits"
            assert isinstance(plan, Plan)
            return await self.delivered(plan, told) + ("!" if told else "")

    async def delivered(self, plan: Plan, told: list[str]) -> str:
        options = loopback_options(
            AUTHORITY,
            "relay.test",
            unproven=lambda _, reason: told.append(reason),
        )
        found: Any = await SmtpConnector(options).open(plan)
        if isinstance(found, TryLater):
            self.assertIn(f"TLS_POLICY={DOMAIN}=opportunistic would send it all the same", found.text)
            return "waits"
        outcome = (await found.deliver(request())).outcomes[0]
        self.assertIsInstance(outcome, Delivered)
        found.quit()
        return "in clear" if not found.security else " ".join(found.security.split(" (")[0].split()[2:])

    async def test_each_cell_is_what_the_relay_does(self) -> None:
        self.assertEqual(len(list(cells())), 49)
        wrong = {}
        for published, shown, words in cells():
            result = await self.result(published, shown)
            if result != words:
                wrong[published, shown] = result, words
        self.assertEqual(wrong, {})
