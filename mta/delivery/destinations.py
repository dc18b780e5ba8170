"""All destinations that something is known of, and how much mail may wait before each.

What cannot go now is left in the queue, unread: the mail for one dead or slow destination neither fills the room that
the others need nor costs more than a look as often as it may be tried.
"""

from collections.abc import Callable, Sequence

from mta.delivery.crowd import Crowd
from mta.delivery.destination import Destination
from mta.delivery.job import Group, Owner
from mta.delivery.limits import DeliveryLimits
from mta.queue.interface import PutOff, Waiting
from mta.routing.route import Plan, Router


class Destinations:
    """Keeps the destinations, made by `new` when mail for them comes.

    `room` tells how many more messages the relay can work on, `owed` from when on one that waits must be looked at
    whether or not it can be tried, because its sender is to hear of it.
    """

    def __init__(
        self,
        router: Router,
        owner: Owner,
        *,
        new: Callable[[str], Destination],
        room: Callable[[], int],
        owed: Callable[[Waiting], float],
        wall: Callable[[], float],
        limits: DeliveryLimits,
    ) -> None:
        self._router = router
        self._owner = owner
        self._new = new
        self._room = room
        self._owed = owed
        self._wall = wall
        self._limits = limits
        self._known: dict[str, Destination] = {}
        # Those that may be down or full, with the turns they give.
        self._suspects: dict[str, Crowd] = {}
        self._closed = False

    def all(self) -> list[Destination]:
        """Return them all."""
        return list(self._known.values())

    def enter(self, group: Group, plan: Plan) -> None:
        """Let a group wait before its destination, or give it back with the time to come again."""
        destination = self._known.get(plan.destination)
        if destination is None:
            destination = self._meet(plan.destination)
        if self._closed:
            self._owner.abandoned(group)
        elif self._full(destination):
            group.job.again = self._turn(destination)
            self._owner.abandoned(group)
        else:
            destination.enter(group, plan)
            if not destination.running:
                self._suspects.setdefault(plan.destination, Crowd(self._limits.longest_turn))

    def put_off(self) -> PutOff | None:
        """Return what tells the queue which mail to leave alone; None when every destination takes mail."""
        self._suspects = {name: crowd for name, crowd in self._suspects.items() if self._shut(name)}
        return self._until if self._suspects else None

    def close(self) -> None:
        """Give back what waits, and whatever comes from now on; what runs goes on."""
        self._closed = True
        for destination in self.all():
            destination.close()

    def _meet(self, name: str) -> Destination:
        if len(self._known) >= self._limits.jobs:
            self._known = {each: known for each, known in self._known.items() if not known.quiet}
        destination = self._known[name] = self._new(name)
        return destination

    def _full(self, destination: Destination) -> bool:
        """Whether no more may wait: as much as there is room left for others, little while there is no connection.

        Each crowd that comes takes half of what the ones before it left, so there is always room for one more.
        """
        waiting = destination.waiting
        if waiting < self._limits.waiting_unproven:
            return False
        return not destination.connected or waiting >= self._room()

    def _shut(self, name: str) -> bool:
        destination = self._known.get(name)
        return destination is not None and (destination.blocked is not None or self._full(destination))

    def _turn(self, destination: Destination) -> float:
        crowd = self._suspects.setdefault(destination.name, Crowd(self._limits.longest_turn))
        return crowd.turn(self._wall(), destination.waiting, destination.begun)

    def _until(self, waiting: Waiting) -> float | None:
        """Return until when a message is to be left alone: none of its recipients can go before."""
        destinations = self._shut_to(waiting.domains)
        if not destinations:
            return None
        until = min(destination.blocked or self._turn(destination) for destination in destinations)
        owed = self._owed(waiting)
        return min(until, owed) if owed > self._wall() else None

    def _shut_to(self, domains: Sequence[str]) -> list[Destination]:
        """Return the destinations of these domains if all are shut, else none."""
        found: list[Destination] = []
        for domain in domains:
            routing = self._router.known(domain)
            destination = self._known.get(routing.destination) if isinstance(routing, Plan) else None
            if destination is None or destination.name not in self._suspects:
                return []
            found.append(destination)
        return found
