"""The fate of each message of a soak, decided by the seed and the message's number alone.

Recipients are numbered; a message is a run of numbers and is called by its first. The client that sends a
message and the server that takes it both ask here, so that they agree without communication.
"""

from dataclasses import dataclass

DOMAINS = tuple(f"d{number}.test" for number in range(8))
#: Where failures are reported to.
SENDERS = "sender.test"
#: A local domain of the relay without any user.
NOBODYS = "local.test"

CLIENT_FAULTS = (
    "drops in the data",
    "drops after the end of data",
    "smuggled ending",
    "wrong command",
    "slow",
    "never reads",
    "reset",
    "unknown recipient",
    "too large",
    "stranger",
)
#: The answers of a server, and their commands; BODY is the middle of the data.
REMOTE_FAULTS = (
    *((step, how) for step in ("MAIL", "RCPT", "DATA", "END") for how in ("4xx", "421", "drop", "slow", "garbage")),
    *((step, "5xx") for step in ("MAIL", "RCPT", "DATA", "END")),
    ("BODY", "drop"),
)
#: One fault of this kind is never over: the message fails when its time is up.
GIVES_UP = ("RCPT", "4xx")

_LINE = b"x" * 76 + b"\r\n"
_ODD = 0x9E3779B97F4A7C15
_MIX = 0xBF58476D1CE4E5B9
_64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Fate:
    """The fate of a message: the number of its recipients, the way in, and the faults."""

    recipients: int
    bdat: bool
    large: bool
    client: str | None = None
    remote: tuple[str, str] | None = None
    #: Attempts that the remote fault spoils.
    times: int = 0


class Plan:
    """Deals fates: `one_in` says how rare faults are."""

    def __init__(self, seed: int, one_in: int = 100) -> None:
        self._salt = seed * _ODD & _64
        self._one_in = one_in
        self._usual = [Fate(3 if number % 20 == 1 else 1, number % 20 == 2, False) for number in range(20)]

    def dice(self, number: int) -> int:
        """Return a large number that looks as if drawn at random."""
        drawn = (number * _ODD + self._salt) & _64
        drawn = ((drawn ^ (drawn >> 31)) * _MIX) & _64
        return drawn ^ (drawn >> 29)

    def fate(self, number: int) -> Fate:
        """Return the fate of the message whose first recipient has this number."""
        drawn = self.dice(number)
        chosen, drawn = drawn % self._one_in == 0, drawn // self._one_in
        if chosen:
            return self._fault(drawn)
        if drawn % 1000 == 7:
            return Fate(1, False, large=True)
        return self._usual[drawn % 20]

    def _fault(self, drawn: int) -> Fate:
        of_client, drawn = drawn % 2, drawn // 2
        recipients, drawn = 1 + drawn % 3, drawn // 3
        bdat, drawn = drawn % 4 == 0, drawn // 4
        large, drawn = drawn % 20 == 0, drawn // 20
        if of_client:
            return Fate(recipients, bdat, large, client=CLIENT_FAULTS[drawn % len(CLIENT_FAULTS)])
        remote, drawn = REMOTE_FAULTS[drawn % len(REMOTE_FAULTS)], drawn // len(REMOTE_FAULTS)
        times = 255 if remote == GIVES_UP and drawn % 4 == 0 else 1 + drawn % 2
        return Fate(recipients, bdat, large, remote=remote, times=times)


def sender(first: int) -> str:
    """Return the sender of a message."""
    return f"s{first}@{SENDERS}"


def recipient(number: int, first: int) -> str:
    """Return a recipient's address. All of a message are of one domain, so that they travel together."""
    return f"r{number}@{DOMAINS[first % len(DOMAINS)]}"


def number_of(address: str) -> int | None:
    """Return the number in a recipient's address, or None for any other address."""
    digits = address[1:].partition("@")[0]
    return int(digits) if address[:1] == "r" and digits.isascii() and digits.isdigit() else None


def content(octets: int) -> bytes:
    """Return a message of about that size, its last line ended and the end of data not yet said."""
    head = b"From: <soak@sender.test>\r\nTo: <all@d0.test>\r\nSubject: soak\r\n\r\n"
    return head + _LINE * max(1, (octets - len(head)) // len(_LINE))


SMALL = content(4096)
#: More than the queue keeps in a row.
LARGE = content(300_000)
