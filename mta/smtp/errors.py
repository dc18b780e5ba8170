"""Two families of errors for two culprits: we misused a machine (a bug), or they broke the protocol (a reply)."""

from mta.smtp.replies import Reply


class LocalProtocolError(Exception):
    """A driver called a machine out of turn. Nothing a remote sends can cause it."""


class ProtocolRefusal(Exception):
    """What they sent is refused with this reply; `fatal` also ends the session. Never leaves a machine."""

    def __init__(self, reply: Reply, *, fatal: bool = False) -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.fatal = fatal
