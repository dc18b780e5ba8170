"""The parts of the time that a delivery took, for its line in the log."""

from math import floor


class Stages:
    """The parts of the time that one delivery took, in seconds.

    `total` since the message was accepted, `queued` until this attempt began, `waited` for a connection, `transfer` for
    the transaction.
    """

    __slots__ = ("queued", "total", "transfer", "waited")

    def __init__(self, total: float, queued: float, waited: float, transfer: float) -> None:
        # Not `round`, which goes through decimal digits: four calls were 1 % of a relayed message (measured). And not
        # `// 1`, which takes more than twice as long as `floor`.
        self.total = floor(total * 1000 + 0.5) / 1000
        self.queued = floor(queued * 1000 + 0.5) / 1000
        self.waited = floor(waited * 1000 + 0.5) / 1000
        self.transfer = floor(transfer * 1000 + 0.5) / 1000
