"""A reactor whose timers are a Clock's, and whose readers read when a test says so, from real sockets."""

import select

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.internet.task import Clock
from zope.interface import implementer

# Seconds that a test waits for octets that are on their way.
_PATIENCE = 20.0


@implementer(IReactorFDSet)
class SocketReactor(Clock):
    """Knows readers. `read` plays the turn of a reactor in which octets have arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[IReadDescriptor] = []

    def addReader(self, reader: IReadDescriptor) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: IReadDescriptor) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    def addWriter(self, writer: IWriteDescriptor) -> None:
        raise NotImplementedError

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        raise NotImplementedError

    def removeAll(self) -> list[IReadDescriptor]:
        found, self.readers = self.readers, []
        return found

    def getReaders(self) -> list[IReadDescriptor]:
        return list(self.readers)

    def getWriters(self) -> list[IWriteDescriptor]:
        return []

    def read(self) -> None:
        """Wait until octets arrive at a reader, and let all readers read that have some."""
        descriptors = {reader.fileno(): reader for reader in self.readers}
        ready, _, _ = select.select(descriptors, (), (), _PATIENCE)
        assert ready, "nothing arrives"
        for descriptor in ready:
            descriptors[descriptor].doRead()
