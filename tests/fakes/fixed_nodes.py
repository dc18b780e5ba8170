"""The nodes of a relay that shares a queue, without signs of life."""

from twisted.internet.defer import Deferred, fail

from mta.queue.interface import QueueError
from mta.queue.postgres.membership.node import Node


class FixedNodes:
    """The Nodes of a relay that has one only."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def next_node(self, fenced: int) -> "Deferred[None]":
        return fail(QueueError(f"node {fenced} is fenced off"))

    def wake_peers(self) -> None:
        """Do nothing: there are no others."""
