"""A private PostgreSQL server for the tests and the bench: databases, standbys, failures and failovers.

It runs as an ordinary user, for its `with` block only, and ends too if the process that started it is killed. It is as
durable as the relay demands (`fsync` is on) and yet fast, because its files are in memory unless a directory is named.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

import psycopg
from psycopg import sql

from harness.databases import ADMINISTRATOR, OWNER, Databases, database_url
from harness.processes import Child, free_port
from harness.user_directory import UserDirectory
from harness.waiting import until

#: Roles that are members of this one give a password if they come over TCP. All others are trusted.
WITH_PASSWORD = "with_password"

_SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    # In files that go with the directory. Shared memory would outlive a server that is killed.
    "dynamic_shared_memory_type": "mmap",
}

# Files of 16 MiB in the write-ahead log of that size.
_LOG_FILES = 16

_ACCESS = f"""\
local all all trust
local replication all trust
host all +{WITH_PASSWORD} 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
"""

_DEBIAN = Path("/usr/lib/postgresql")


class NoPostgresError(Exception):
    """No server can be started here; the text names the package of Debian that is missing."""


def programs() -> Path:
    """Return the directory of the server's programs: those in PATH, else Debian's newest. Raises NoPostgresError."""
    in_path = shutil.which("initdb")
    found = [Path(in_path).resolve()] if in_path else []
    debian = _DEBIAN.glob("*/bin/initdb")
    found += sorted(debian, key=lambda path: int(path.parts[-3]), reverse=True)
    for initdb in found:
        if (initdb.parent / "postgres").exists():
            return initdb.parent
    raise NoPostgresError("PostgreSQL is missing: install Debian's package postgresql")


def signal_all(processes: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to all of these processes that there still are."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)


def _stopped(process: int) -> bool:
    """Whether a process is stopped or gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "TZX"
    except OSError:
        return True


class Cluster(Databases):
    """One server. A context manager: entering makes and starts it, leaving kills it and deletes its files.

    `settings` are settings of the server. With `directory` its files are in a new directory below that one, which any
    user must be able to enter. With `copy_of` it is a standby, known to that server by `name`.
    """

    def __init__(
        self,
        name: str = "main",
        *,
        tcp: bool = False,
        directory: Path | None = None,
        copy_of: "Cluster | None" = None,
        **settings: str,
    ) -> None:
        super().__init__()
        self.name = name
        self.tcp = tcp
        self.port = free_port()
        self.settings = {**_SETTINGS, **settings}
        self._parent = directory
        self._primary = copy_of

    def __enter__(self) -> Self:
        self._programs = programs()
        self.files = UserDirectory(self._parent)
        self._data = self.files.path / "data"
        try:
            self._child = Child(self._command(), self.files.path / "log")
            self._make()
            self.start()
            if self._primary is None:
                self.execute(f"CREATE ROLE {OWNER} LOGIN", f"CREATE ROLE {WITH_PASSWORD}")
        except BaseException:
            self.files.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.files.close()

    # --- Its life

    def start(self) -> None:
        """Start the server and wait until it answers. Raises RuntimeError with the end of its output if it ends."""
        self._child.start()
        until(lambda: self.answers() or not self._child.running, what="the PostgreSQL server's first answer")
        if not self._child.running:
            raise RuntimeError(f"PostgreSQL does not start: {self._child.text[-4000:]}")

    def answers(self) -> bool:
        """Whether it takes connections now."""
        try:
            psycopg.connect(self.url("postgres", user=ADMINISTRATOR), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """End it as an administrator does who waits for no client."""
        os.kill(self._child.pid, signal.SIGINT)
        self._child.wait()

    def kill(self) -> None:
        """End all its processes at the same time, as a machine does that fails. `start` starts it again."""
        self._stop_first_process()
        while found := list(self.files.processes()):
            signal_all(found, signal.SIGKILL)
        self._child.wait()
        # Such a server leaves a few octets of System V shared memory, whose number is in its file.
        *_, number = (self._data / "postmaster.pid").read_text().splitlines()[6].split()
        subprocess.run(["ipcrm", "-m", number], check=False)

    def restart(self) -> None:
        """Kill the server, and start it on the files that it left."""
        self.kill()
        self.start()

    def freeze(self, kind: str = "") -> None:
        """Stop its processes, or those of a kind such as `walsender`, which sends to standbys, until `thaw`."""
        if not kind:
            self._stop_first_process()
        found = list(self.files.processes(kind))
        signal_all(found, signal.SIGSTOP)
        until(lambda: all(map(_stopped, found)), what="the stop of the server's processes")

    def _stop_first_process(self) -> None:
        """Stop the process that starts all others."""
        os.kill(self._child.pid, signal.SIGSTOP)
        until(lambda: _stopped(self._child.pid), what="the stop of the server's first process")

    def thaw(self) -> None:
        """Let stopped processes go on."""
        signal_all(self.files.processes(), signal.SIGCONT)

    @property
    def pid(self) -> int:
        """The first process, of which all others of the server are children."""
        return self._child.pid

    @property
    def log(self) -> str:
        """The output of the server so far."""
        return self._child.text

    # --- Its databases

    def url(self, database: str, *others: "Cluster", user: str = OWNER, **options: str) -> str:
        """Return the URL of a database on this server and `others`, with options of the connection as parameters.

        It names the Unix socket, or the address if the server was started with `tcp`.
        """
        servers = (self, *others)
        hosts = ",".join("127.0.0.1" if server.tcp else str(server.files.path) for server in servers)
        ports = ",".join(str(server.port) for server in servers)
        return database_url(hosts, ports, database, user=user, **options)

    @property
    def socket(self) -> Path:
        """The Unix socket at which it listens."""
        return self.files.path / f".s.PGSQL.{self.port}"

    def set(self, **settings: str) -> None:
        """Change settings of the running server, as far as it can do so without a start."""
        change = sql.SQL("ALTER SYSTEM SET {} = {}")
        changes = [change.format(sql.Identifier(name), sql.Literal(value)) for name, value in settings.items()]
        self.execute(*changes, "SELECT pg_reload_conf()")

    def reuse_log_files(self) -> None:
        """Have the server make all files of its write-ahead log, and reuse them from now on.

        A server that has run for a while does so. A new one fills each file with zeros before it writes there.
        """
        # No checkpoint by itself meanwhile, which would have the server reuse files before all are there.
        self.set(max_wal_size="1GB")
        self.execute(*["SELECT pg_create_restore_point('next')", "SELECT pg_switch_wal()"] * _LOG_FILES, "CHECKPOINT")
        self.set(max_wal_size=_SETTINGS["max_wal_size"])

    # --- Its standbys

    def wait_for_standby(self, standby: "Cluster", *, synchronous: bool = True) -> None:
        """Wait until a standby has all changes made so far; `synchronous` makes each commit wait for it from now on."""
        if synchronous:
            self.set(synchronous_standby_names=f'"{standby.name}"')
        ((now,),) = self.execute("SELECT pg_current_wal_lsn()")
        query = f"SELECT application_name, sync_state, replay_lsn >= '{now}' FROM pg_stat_replication"
        wanted = (standby.name, "sync" if synchronous else "async", True)
        until(lambda: wanted in self.execute(query), what=f"replication to {standby.name}")

    def promote(self) -> None:
        """Make this standby a primary: it takes changes when this returns."""
        self.execute("SELECT pg_promote()")

    def follow(self, primary: "Cluster") -> None:
        """Make this server, which was killed or stopped, anew: as a standby of another one, at the same address."""
        shutil.rmtree(self._data)
        self._primary = primary
        self._child.command = self._command()
        self._make()
        self.start()

    # --- Its files

    def _make(self) -> None:
        if self._primary is None:
            options = ["--encoding=UTF8", "--locale=C.UTF-8", "--auth=trust", "--no-sync", "--no-instructions"]
            self._run("initdb", f"--username={ADMINISTRATOR}", *options)
            (self._data / "pg_hba.conf").write_text(_ACCESS)
            return
        source = self._primary.url("postgres", user=ADMINISTRATOR)
        options = ["--checkpoint=fast", "--no-sync", "--write-recovery-conf"]
        self._run("pg_basebackup", f"--dbname={source}", *options)
        # The settings that were changed at the primary, such as the name of its standby, are not those of its copy.
        (self._data / "postgresql.auto.conf").write_text("")

    def _run(self, program: str, *arguments: str) -> None:
        self.files.run(self._programs / program, f"--pgdata={self._data}", *arguments)

    def _command(self) -> list[str]:
        """Return the command that runs the server."""
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1" if self.tcp else "",
            "unix_socket_directories": str(self.files.path),
            **self.settings,
        }
        if self._primary is not None:
            settings["primary_conninfo"] = self._primary.url("", user=ADMINISTRATOR, application_name=self.name)
        words = [f"--{name}={value}" for name, value in settings.items()]
        return self.files.command(self._programs / "postgres", "-D", str(self._data), *words)
