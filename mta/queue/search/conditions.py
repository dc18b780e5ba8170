"""The conditions by which an operator selects messages, as a value."""

import enum
from dataclasses import dataclass


class State(enum.Enum):
    """The state of a recipient in the operator's words: HELD is a waiting recipient of a held message."""

    WAITING = "waiting"
    HELD = "held"
    DELIVERED = "delivered"
    FAILED = "failed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions that a message must all meet; an empty one is met by every message.

    In texts `*` stands for any characters, and ASCII letters match in either case. `recipient`, `domain`, `host`,
    `reply` and `states` must be met by the same recipient. `mta.queue.search.matching` has the meaning of each.
    """

    #: Each must be a part of an address, the From field or the Message-ID, or begin the id.
    words: tuple[str, ...] = ()
    #: One of them must be the id or its beginning.
    ids: tuple[str, ...] = ()
    #: The envelope's sender or the address in the From field; `<>` is the null sender.
    sender: str = ""
    recipient: str = ""
    #: The domain of a recipient.
    domain: str = ""
    #: A part of the Subject.
    subject: str = ""
    #: Without angle brackets.
    message_id: str = ""
    #: The IP address of the client; `""` is no condition, so the relay's own mail has none.
    client: str = ""
    login: str = ""
    #: A part of the host that answered last.
    host: str = ""
    #: A part of the last reply.
    reply: str = ""
    states: tuple[State, ...] = ()
    #: The message began to arrive at this time or later, or before that; wall-clock seconds.
    since: float | None = None
    until: float | None = None
    #: It has more octets than this.
    larger: int | None = None
    #: Its client does not want it to wait (FUTURERELEASE) beyond this time. An operator's words have no such condition.
    released: float | None = None


#: Met by every message.
ANY = Conditions()
