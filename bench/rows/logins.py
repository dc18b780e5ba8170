"""B16: the latency of one client that does not log in while others log in for each message."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench.client import Client
from bench.crowd import LOGIN_PASSWORD, crowd
from bench.row import RELAY, Bench, Figures, Goal
from bench.rows.bad_clients import p99, times
from bench.tunnel import CERTIFICATE, KEY, certificates
from harness.processes import free_port
from mta.users.secrets import new_secret

_SCHEMES = ("argon2id", "bcrypt")
#: Logins a second, each in a session of its own, of users that log in again and again.
_RATE, _USERS = 50, 20
#: Logins a second of users that have not logged in before.
_FIRST_RATE, _FIRST_USERS = 5, 5000
_WARM = 100


@dataclass(frozen=True, slots=True)
class LoginsBeside:
    """The row. Each scheme is measured between two halves of a quiet time; its ratio is that of the two p99."""

    name: str = "B16"
    words: str = "50 logins a second by AUTH PLAIN inside TLS: 4 KiB, one other session, latency of the durable 250"
    contenders: Sequence[str] = (RELAY,)
    goals: Sequence[Goal] = tuple(Goal(f"{scheme}/quiet", 2, at_most=True) for scheme in _SCHEMES)

    def run(self, bench: Bench, contender: str) -> Figures:
        """Send one message after the other on one connection, quietly and amid the logins with each scheme."""
        figures: dict[str, float] = {}
        for scheme in _SCHEMES:
            figures |= _measured(bench, contender, scheme)
        return figures


def _measured(bench: Bench, contender: str, scheme: str) -> dict[str, float]:
    """Return the figures of one scheme, with a relay of its own."""
    half, port = bench.amount(2000, 200), free_port()
    secret = new_secret(scheme, LOGIN_PASSWORD)
    users = "".join(f"user{number}:{secret}\n" for number in range(_FIRST_USERS))
    settings = {
        "CERTIFICATE_PATH": f"@HOME@/{CERTIFICATE}",
        "KEY_PATH": f"@HOME@/{KEY}",
        "SUBMISSION_TLS_PORT": str(port),
        "AUTH_USERS_FILE": "@HOME@/users",
    }
    with ExitStack() as stack:
        sink = stack.enter_context(bench.sink())
        files = {**certificates(), "users": users.encode()}
        server = stack.enter_context(bench.server(contender, sink.port, relay=settings, files=files))
        client = stack.enter_context(Client(server.port))
        times(client, _WARM)
        quiet = times(client, half)
        with crowd("login", port, count=_USERS, rate=_RATE):
            amid = times(client, 2 * half)
        quiet += times(client, half)
        with crowd("login", port, count=_FIRST_USERS, rate=_FIRST_RATE):
            first = times(client, 2 * half)
    return {
        f"{scheme}/quiet": p99(amid) / p99(quiet),
        f"p99 ms {scheme}": p99(amid),
        f"p99 ms {scheme} first": p99(first),
        f"p99 ms {scheme} quiet": p99(quiet),
    }


ROW = LoginsBeside()
