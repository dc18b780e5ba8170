"""A server that greets and then only listens."""

from twisted.internet.protocol import Factory, Protocol

from mta.inbound.sockets.port_rule import RELAY_PORT


class GreeterFactory(Factory):
    """Knows which of its connections are open."""

    noisy = False
    rule = RELAY_PORT

    def __init__(self) -> None:
        self.open: list[Greeter] = []

    def buildProtocol(self, _addr: object) -> Protocol | None:
        return Greeter(self)


class Greeter(Protocol):
    """One connection of a factory."""

    def __init__(self, factory: GreeterFactory) -> None:
        self._open = factory.open

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"220\r\n")
        self._open.append(self)

    def connectionLost(self, reason: object = None) -> None:  # noqa: ARG002
        self._open.remove(self)
