"""Exim, OpenSMTPD, Sendmail and Postfix as an application's host runs them: they take mail and relay all of it on."""

import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar, Self

from bench.debian import end, start_server
from harness import postfix
from harness.processes import free_port
from tests.clients.packages import HOME, NAME, PACKAGE, command_in, prepare, unpacked


@dataclass(frozen=True)
class RelayLogin:
    """A login at the relay, inside TLS, whose certificate an authority (PEM) has signed for `localhost`."""

    user: str
    password: str = field(repr=False)
    authority: str


class ForeignServer(ABC):
    """A mail server on a port of 127.0.0.1 that relays everything to another port. Use as a context manager.

    Raises NoPackageError where its package cannot be used.
    """

    package: ClassVar[str]
    users: ClassVar[Sequence[str]]

    def __init__(self, relay_port: int, login: RelayLogin | None = None) -> None:
        self.port = free_port()
        self._relay_port = relay_port
        self._login = login

    def __enter__(self) -> Self:
        package = unpacked(self.package)
        with ExitStack() as stack:
            folder = tempfile.TemporaryDirectory(prefix=f"{self.package}-", dir="/var/tmp", ignore_cleanup_errors=True)
            self._home = Path(stack.enter_context(folder))
            # Its daemons run as users of its own, who must get through to their directories.
            self._home.chmod(0o755)
            prepare(self._home, self.users)
            self._configure()
            command = command_in(package, self._home, self._command())
            stack.callback(end, start_server(self.package, command, self.port, self._home / "output"))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @abstractmethod
    def waiting(self) -> int:
        """Return how many messages are in the queue."""

    @abstractmethod
    def _configure(self) -> None:
        """Write the configuration into the home."""

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """Return the command that runs it in the foreground."""

    def _files(self, folder: str, pattern: str) -> int:
        return sum(fnmatchcase(name, pattern) for _, _, names in os.walk(self._home / folder) for name in names)

    def _folder(self, name: str, user: str | None = None, mode: int = 0o750) -> None:
        """Make a folder in the home that belongs to a user."""
        path = self._home / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        if user is not None:
            number = 64001 + self.users.index(user)
            os.chown(path, number, number)


class Exim(ForeignServer):
    """Exim, which closes its half of a connection in clear behind the end of its message."""

    package = "exim4-daemon-light"
    users = ("Debian-exim",)

    def waiting(self) -> int:
        return self._files("var/spool/exim/input", "*-H")

    def _configure(self) -> None:
        for folder in ("var/spool/exim", "var/spool/log"):
            self._folder(folder, "Debian-exim")
        text = _EXIM.format(name=NAME, package=PACKAGE, port=self.port, relay_port=self._relay_port)
        if self._login is not None:
            (self._home / "authority.pem").write_text(self._login.authority)
            login = _EXIMS_LOGIN.format(home=HOME, user=self._login.user, password=self._login.password)
            text = text.replace("  allow_localhost\n", f"  allow_localhost\n{login}")
        (self._home / "exim.conf").write_text(text)

    def _command(self) -> Sequence[str]:
        return [f"{PACKAGE}/usr/sbin/exim4", "-C", f"{HOME}/exim.conf", "-bdf", "-q1s"]


_EXIM = """\
primary_hostname = {name}
exim_path = {package}/usr/sbin/exim4
spool_directory = /var/spool/exim
log_file_path = /var/spool/log/%slog
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
pid_file_path = /var/spool/exim/exim.pid
disable_ipv6
keep_environment =
host_lookup =
rfc1413_hosts =
tls_advertise_hosts =
acl_smtp_rcpt = accept
smtp_accept_queue_per_connection = 0
queue_run_max = 5

begin routers
onward:
  driver = manualroute
  route_list = * 127.0.0.1 byname
  self = send
  transport = onward

begin transports
onward:
  driver = smtp
  port = {relay_port}
  allow_localhost

begin retry
* * F,1h,1s
"""


# The options of a transport, and the section that follows it.
_EXIMS_LOGIN = """\
  hosts_require_auth = *
  hosts_require_tls = *
  tls_verify_certificates = {home}/authority.pem
  tls_verify_cert_hostnames =

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^{user}^{password}
"""


class OpenSmtpd(ForeignServer):
    """OpenSMTPD."""

    package = "opensmtpd"
    users = ("opensmtpd", "opensmtpq")

    def waiting(self) -> int:
        # A message is a folder with its envelopes beside it.
        return self._files("var/spool/smtpd/queue", "message")

    def _configure(self) -> None:
        self._folder("var/lib/opensmtpd/empty", mode=0o755)
        self._folder("var/spool/smtpd", mode=0o711)
        onward = f"host smtp://127.0.0.1:{self._relay_port}"
        secrets = ""
        if self._login is not None:
            secrets = f'table secrets {{ site = "{self._login.user}:{self._login.password}" }}\n'
            onward = f"host smtp+tls://site@127.0.0.1:{self._relay_port} auth <secrets> tls no-verify"
        (self._home / "smtpd.conf").write_text(
            f"{secrets}listen on 127.0.0.1 port {self.port} hostname {NAME}\n"
            f'action "onward" relay {onward} helo {NAME}\n'
            'match from any for any action "onward"\n'
        )

    def _command(self) -> Sequence[str]:
        return [f"{PACKAGE}/usr/sbin/smtpd", "-d", "-f", f"{HOME}/smtpd.conf"]


class Sendmail(ForeignServer):
    """Sendmail."""

    package = "sendmail-bin"
    users = ("smmta", "smmsp")

    def waiting(self) -> int:
        return self._files("var/spool/mqueue", "qf*")

    def _configure(self) -> None:
        self._folder("var/spool/mqueue", mode=0o700)
        text = _SENDMAIL.format(name=NAME, port=self.port, relay_port=self._relay_port)
        (self._home / "sendmail.mc").write_text(text)

    def _command(self) -> Sequence[str]:
        macros = f"{PACKAGE}/usr/share/sendmail/cf"
        make = f"m4 -D_CF_DIR_={macros}/ {macros}/m4/cf.m4 {HOME}/sendmail.mc > {HOME}/sendmail.cf"
        run = f"exec {PACKAGE}/usr/libexec/sendmail/sendmail -C {HOME}/sendmail.cf -bD -q1s"
        return ["sh", "-ec", f"PATH=$PATH:{PACKAGE}/usr/bin; {make}; {run}"]


_SENDMAIL = """\
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `{name}')dnl
define(`confPID_FILE', `/run/sendmail.pid')dnl
define(`confLOG_LEVEL', `9')dnl
define(`SMART_HOST', `esmtp:[127.0.0.1]')dnl
define(`ESMTP_MAILER_ARGS', `TCP $h {relay_port}')dnl
define(`STATUS_FILE', `/mnt/statistics')dnl
define(`confMIN_QUEUE_AGE', `1s')dnl
define(`confQUEUE_LA', `1000')dnl
define(`confREFUSE_LA', `1000')dnl
undefine(`ALIAS_FILE')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`promiscuous_relay')dnl
DAEMON_OPTIONS(`Family=inet, Address=127.0.0.1, Port={port}, Name=MTA')dnl
MAILER(`smtp')dnl
"""


class Postfix:
    """The host's own Postfix. Raises NoPackageError if it is not installed."""

    def __init__(self, relay_port: int, login: RelayLogin | None = None) -> None:
        settings = {
            "relayhost": f"[127.0.0.1]:{relay_port}",
            "disable_dns_lookups": "yes",
            "smtp_tls_security_level": "may",
            "minimal_backoff_time": "1s",
            "queue_run_delay": "1s",
        }
        self._authority: Path | None = None
        if login is not None:
            with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as file:
                file.write(login.authority)
            self._authority = Path(file.name)
            self._authority.chmod(0o644)
            settings |= {
                "relayhost": f"[localhost]:{relay_port}",
                "smtp_host_lookup": "native",
                "smtp_sasl_auth_enable": "yes",
                "smtp_sasl_password_maps": f"static:{login.user}:{login.password}",
                "smtp_sasl_security_options": "noanonymous",
                "smtp_tls_security_level": "verify",
                "smtp_tls_CAfile": file.name,
            }
        self._server = postfix.Postfix(settings=settings)
        self.port = self._server.port

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.stop()
        if self._authority is not None:
            self._authority.unlink()

    def waiting(self) -> int:
        """Return how many messages are in the queue."""
        return self._server.waiting()
