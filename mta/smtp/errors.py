"""Two kinds of errors: misuse of a machine by its driver, which is a bug, and errors of the peer, which get a reply."""

from mta.smtp.replies import Reply


class LocalProtocolError(Exception):
    """A driver called a machine out of turn. Input from the peer cannot cause it."""


class ProtocolRefusal(Exception):
    """A command is refused with a reply. Never leaves a machine.

    `fatal` also ends the session; `counted` counts as a syntax or sequence error.
    """

    def __init__(self, reply: Reply, *, fatal: bool = False, counted: bool = True) -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.fatal = fatal
        self.counted = counted
