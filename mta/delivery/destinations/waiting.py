"""The groups that wait before one destination, first come, first served, and the passes over them."""

from collections import deque
from collections.abc import Callable

from mta.delivery.job import Group


class WaitingGroups:
    """Two lines: `fresh` groups take any connection, `walking` ones a connection to a host they have not tried."""

    __slots__ = ("fresh", "walking")

    def __init__(self) -> None:
        self.fresh: deque[Group] = deque()
        self.walking: deque[Group] = deque()

    def __len__(self) -> int:
        return len(self.fresh) + len(self.walking)

    def first_again(self, group: Group) -> None:
        """Put a group before all others of its line."""
        (self.fresh if group.walk is None else self.walking).appendleft(group)

    def take_fresh(self) -> deque[Group]:
        """Take all fresh groups out, in their order."""
        fresh, self.fresh = self.fresh, deque()
        return fresh

    def take_beyond(self, places: int) -> list[Group]:
        """Take the fresh groups out that have no place among so many, in their order."""
        beyond = [self.fresh.pop() for _ in range(len(self.fresh) - places)]
        beyond.reverse()
        return beyond

    def take_out(self, unwanted: Callable[[Group], bool]) -> list[Group]:
        """Take the groups out for which `unwanted` is true, in their order."""
        taken = [group for line in (self.fresh, self.walking) for group in line if unwanted(group)]
        self.fresh = deque(group for group in self.fresh if not unwanted(group))
        self.walking = deque(group for group in self.walking if not unwanted(group))
        return taken


class CoalescedCalls:
    """Runs `one`; when it is called from within, it runs once more after: a crowd would fill the stack."""

    __slots__ = ("_once_more", "_one", "_running")

    def __init__(self, one: Callable[[], None]) -> None:
        self._one = one
        self._running = False
        self._once_more = False

    def __call__(self) -> None:
        """Run now, or after the pass that runs."""
        if self._running:
            self._once_more = True
            return
        self._running = True
        try:
            self._one()
            while self._once_more:
                self._once_more = False
                self._one()
        finally:
            self._running = False
