"""A router whose answers the test sets."""

from twisted.internet.defer import Deferred, succeed

from mta.routing.choice import Discard, Fail, Reroute, RouteChoice, ViaSmarthost
from mta.routing.route import Local, Plan, Routing
from mta.smtp.parameters import TlsDemand


class FakeRouter:
    """Every domain goes to `mx.test` unless `routings` says otherwise; domains in `slow` must be asked for.

    A choice of no host is the routing itself, one of a smarthost a plan for the destination of its name, and an order a
    plan for the destination that it names.
    """

    def __init__(self) -> None:
        self.routings: dict[str, Routing] = {}
        self.slow: dict[str, Deferred[Routing]] = {}
        #: What `resolve` was asked for.
        self.asked: list[tuple[str, RouteChoice | None]] = []
        #: The demands of messages that it was asked for.
        self.demands: set[TlsDemand | None] = set()

    def cached(self, domain: str, choice: RouteChoice | None = None, demand: TlsDemand | None = None) -> Routing | None:
        self.demands.add(demand)
        return None if domain in self.slow else self._routing(domain, choice)

    def resolve(
        self, domain: str, choice: RouteChoice | None = None, demand: TlsDemand | None = None
    ) -> Deferred[Routing]:
        self.demands.add(demand)
        self.asked.append((domain, choice))
        return self.slow[domain] if domain in self.slow else succeed(self._routing(domain, choice))

    def _routing(self, domain: str, choice: RouteChoice | None) -> Routing:
        if isinstance(routing := self.routings.get(domain), Local):
            return routing
        if isinstance(choice, Discard | Fail):
            return choice
        if isinstance(choice, ViaSmarthost):
            return Plan(choice.smarthost.name, (), smarthost=choice.smarthost)
        if isinstance(choice, Reroute):
            return Plan(choice.to, ())
        return routing or Plan("mx.test", ())
