"""Two PostgreSQL servers under Debian's Patroni, which agrees on their primary by an etcd, all of an ordinary user."""

import json
import shutil
import signal
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import psycopg

from harness.databases import ADMINISTRATOR, OWNER, Databases, database_url
from harness.postgres import NoPostgresError, programs, signal_all
from harness.processes import Child, free_port
from harness.user_directory import UserDirectory
from harness.waiting import until

_HOST = "127.0.0.1"
_TRUST = [f"host all all {_HOST}/32 trust", f"host replication all {_HOST}/32 trust", "local all all trust"]
#: The seconds after which Patroni takes a primary for dead that gives no sign of life: the least that it accepts.
TTL = 20


class Member:
    """A server, and the Patroni that runs it. A context manager that kills both."""

    def __init__(self, name: str, etcd: int) -> None:
        self.name = name
        self.port = free_port()
        self._rest = free_port()
        self._etcd = etcd

    def __enter__(self) -> Self:
        self.files = UserDirectory()
        settings = self.files.give("patroni.json", json.dumps(self._settings()).encode())
        self._child = Child(self.files.command("patroni", str(settings)), self.files.path / "log")
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.files.close()

    def start(self) -> None:
        """Start Patroni, which starts the server."""
        self._child.start()

    def kill(self) -> None:
        """Kill Patroni and the server at the same time, as a machine does that fails."""
        found = list(self.files.processes())
        signal_all(found, signal.SIGSTOP)
        signal_all(found, signal.SIGKILL)
        self._child.wait()

    def hand_over(self) -> None:
        """Ask it, which is the primary, to make its standby the primary."""
        order = json.dumps({"leader": self.name}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://{_HOST}:{self._rest}/switchover", order, headers)
        with urllib.request.urlopen(request):
            pass

    def is_a(self, role: str) -> bool:
        """Whether it says that it has a role: `primary`, or `synchronous` standby."""
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"http://{_HOST}:{self._rest}/{role}"):
            return True
        return False

    @property
    def log(self) -> str:
        """The output of Patroni so far."""
        return self._child.text

    def _settings(self) -> dict[str, Any]:
        account = {"username": ADMINISTRATOR, "password": "unused"}
        parameters = {"shared_buffers": "32MB", "max_wal_size": "256MB", "wal_log_hints": True}
        shared = {
            "ttl": TTL,
            "loop_wait": 1,
            "retry_timeout": 3,
            "synchronous_mode": True,
            "synchronous_mode_strict": True,
            # A primary that was killed has written what its standby never got.
            "postgresql": {"use_pg_rewind": True, "parameters": parameters},
        }
        initdb = [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, {"auth": "trust"}, "no-sync"]
        return {
            "scope": "relay",
            "name": self.name,
            "restapi": {"listen": f"{_HOST}:{self._rest}", "connect_address": f"{_HOST}:{self._rest}"},
            "etcd3": {"host": f"{_HOST}:{self._etcd}"},
            "bootstrap": {"dcs": shared, "initdb": initdb},
            "postgresql": {
                "listen": f"{_HOST}:{self.port}",
                "connect_address": f"{_HOST}:{self.port}",
                "data_dir": str(self.files.path / "data"),
                "bin_dir": str(programs()),
                "authentication": {"replication": account, "superuser": account},
                "parameters": {"unix_socket_directories": str(self.files.path), "dynamic_shared_memory_type": "mmap"},
                "pg_hba": _TRUST,
            },
        }


class PatroniPair(Databases):
    """The etcd and two members. A context manager; entering waits until one is primary and one its standby."""

    def __enter__(self) -> Self:
        for program in ("patroni", "etcd"):
            if shutil.which(program) is None:
                raise NoPostgresError(f"{program} is missing: install Debian's packages patroni and etcd-server")
        with ExitStack() as stack:
            etcd = stack.enter_context(_Etcd())
            self.members = [stack.enter_context(Member(name, etcd.port)) for name in ("one", "two")]
            self.primary()
            self.wait_for_standby()
            self.execute(f"CREATE ROLE {OWNER} LOGIN")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def primary(self) -> Member:
        """Wait until there is a primary that takes changes, and return it."""
        port = until(self._port_that_takes_changes, what="a primary")
        return next(each for each in self.members if each.port == port)

    def _port_that_takes_changes(self) -> int | None:
        try:
            with psycopg.connect(self.url("postgres", user=ADMINISTRATOR)) as connection:
                return connection.info.port
        except psycopg.OperationalError:
            return None

    def wait_for_standby(self) -> None:
        """Wait until there is a synchronous standby."""
        until(lambda: any(each.is_a("synchronous") for each in self.members), what="a synchronous standby")

    def url(self, database: str, *, user: str = OWNER) -> str:
        """Return the URL of a database on whichever server is primary."""
        ports = ",".join(str(member.port) for member in self.members)
        hosts = ",".join(_HOST for _ in self.members)
        return database_url(hosts, ports, database, user=user, target_session_attrs="read-write")

    def switch_over(self) -> None:
        """Have Patroni make the standby the primary, as an administrator does before work on a machine."""
        old = self.primary()
        old.hand_over()
        until(lambda: self.primary() is not old, what="the other primary")
        self.wait_for_standby()

    def fail_over(self) -> None:
        """Kill the primary, wait until the standby is primary, and start the old one again, as its standby."""
        old = self.primary()
        old.kill()
        self.primary()
        old.start()
        self.wait_for_standby()


class _Etcd:
    """An etcd of one member."""

    def __enter__(self) -> Self:
        self.port, peers = free_port(), f"http://{_HOST}:{free_port()}"
        self._files = UserDirectory()
        clients = f"http://{_HOST}:{self.port}"
        options = {
            "data-dir": str(self._files.path / "data"),
            "listen-client-urls": clients,
            "advertise-client-urls": clients,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"default={peers}",
        }
        words = [f"--{name}={value}" for name, value in options.items()]
        Child(self._files.command(Path("etcd"), *words), self._files.path / "log").start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._files.close()
