"""B17: the rate of mail through one port while applications log in at another, a hundred times a second."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from bench.crowd import LOGIN_PASSWORD, crowd
from bench.row import RELAY, Bench, Figures, Goal
from bench.rows.sending import Load, pass_through, warm_up
from bench.tunnel import CERTIFICATE, KEY, certificates
from harness.processes import free_port
from mta.users.secrets import new_secret

#: The same sessions without a login in them, and no session at all.
NO_LOGINS, NO_SESSIONS = "no logins", "no sessions"
_KINDS = {RELAY: "login", NO_LOGINS: "greet"}
_RATE, _USERS = 100, 20


@dataclass(frozen=True, slots=True)
class LoginRate:
    """The row. Its logins are of users that have logged in before, as applications do that log in for each mail."""

    name: str = "B17"
    words: str = "100 logins a second with bcrypt 10 inside TLS: 4 KiB, 20 other sessions, reused connections"
    contenders: Sequence[str] = (RELAY, NO_LOGINS, NO_SESSIONS)
    goals: Sequence[Goal] = (Goal("accepts/s", 0.8, against=NO_LOGINS), Goal("accepts/s", 0.8, against=NO_SESSIONS))

    def run(self, bench: Bench, contender: str) -> Figures:
        """Send messages through a relay beside the sessions of the contender."""
        messages, port = bench.amount(5000, 1500), free_port()
        secret = new_secret("bcrypt", LOGIN_PASSWORD)
        users = "".join(f"user{number}:{secret}\n" for number in range(_USERS))
        settings = {
            "CERTIFICATE_PATH": f"@HOME@/{CERTIFICATE}",
            "KEY_PATH": f"@HOME@/{KEY}",
            "SUBMISSION_TLS_PORT": str(port),
            "AUTH_USERS_FILE": "@HOME@/users",
        }
        files = {**certificates(), "users": users.encode()}
        with bench.sink() as sink, bench.server(RELAY, sink.port, relay=settings, files=files) as server:
            warm_up(server, sink, Load(), messages // 10)
            kind = _KINDS.get(contender)
            with nullcontext() if kind is None else crowd(kind, port, count=_USERS, rate=_RATE):
                return pass_through(server, sink, Load(), messages).figures()


ROW = LoginRate()
