"""The addresses to which no HTTPS request goes if a stranger has named the host: private ones, and the relay itself.

The owner of any domain chooses the hosts of policies and reports, so this holds whatever PRIVATE_DESTINATIONS says.
"""

from mta.https.interface import DEFAULT_PORT
from mta.routing.nat64 import Nat64
from mta.routing.private_addresses import OwnSockets, is_private


class StrangersHosts:
    """Judges the addresses of such hosts. `nat64` is None if IPv6 is off."""

    def __init__(self, nat64: Nat64 | None, listening: OwnSockets) -> None:
        """Prepare; `listening` are the sockets of the relay."""
        self._nat64 = nat64
        self._listening = listening

    async def refresh(self) -> None:
        """Bring the knowledge of the network's NAT64 up to date. This precedes each judgement."""
        if self._nat64 is not None:
            await self._nat64.refresh()

    def refuses(self, address: str) -> bool:
        """Whether no connection may be made to an address, in whatever form it is written or translated."""
        final = address if self._nat64 is None else self._nat64.translated(address)
        return is_private(final) or self._listening.includes(final, DEFAULT_PORT)
