"""A router whose answers the test sets."""

from twisted.internet.defer import Deferred, succeed

from mta.routing.route import Plan, Routing


class FakeRouter:
    """Every domain goes to `mx.test` unless `routings` says otherwise; domains in `slow` must be asked for."""

    def __init__(self) -> None:
        self.routings: dict[str, Routing] = {}
        self.slow: dict[str, Deferred[Routing]] = {}

    def cached(self, domain: str) -> Routing | None:
        return None if domain in self.slow else self._routing(domain)

    def resolve(self, domain: str) -> Deferred[Routing]:
        return self.slow[domain] if domain in self.slow else succeed(self._routing(domain))

    def _routing(self, domain: str) -> Routing:
        return self.routings.get(domain, Plan("mx.test", ()))
