"""A Postfix that asks a private Dovecot about logins, as many providers run it.

Both are Debian's packages, started and stopped as a whole. They need root, because they change to their own users;
`why_not` names the missing part.
"""

import json
import re
import shutil
import tempfile
import threading
import urllib.parse
from collections.abc import Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple, Self

from harness import postfix
from harness.processes import Child, find_program
from harness.waiting import until
from tests.programs import dovecot

MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2")

_DOVECOT = """\
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/log
protocols =
ssl = no
auth_mechanisms = {mechanisms}
auth_failure_delay = 0 secs
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {home}/oauth2.conf
}}
passdb {{
  driver = passwd-file
  mechanisms = plain login cram-md5 scram-sha-256
  args = scheme=PLAIN username_format=%u {home}/users
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}}
# Without it, failures of an address delay its next logins.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  unix_listener {home}/auth {{
    mode = 0666
  }}
}}
"""
_OAUTH2 = """\
introspection_mode = get
introspection_url = http://127.0.0.1:{port}/introspect?token=
username_attribute = username
active_attribute = active
active_value = true
"""
_LOGIN = re.compile(r"sasl_method=([^, ]+), sasl_username=(\S+)")


class Login(NamedTuple):
    """A login that Postfix logged together with a message."""

    mechanism: str
    user: str


def why_not() -> str | None:
    """Return why no such server can be started here, or None if one can."""
    return postfix.why_not() or dovecot.why_not()


class _Introspection(ThreadingHTTPServer):
    """The endpoint that tells Dovecot the user of a token (RFC 7662)."""

    daemon_threads = True

    def __init__(self, tokens: Mapping[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tokens = tokens


class _Handler(BaseHTTPRequestHandler):
    server: _Introspection

    def do_GET(self) -> None:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        user = self.server.tokens.get(query.get("token", [""])[0])
        answer = {"active": "true", "username": user} if user else {"active": "false"}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


class SaslPostfix:
    """A server that offers these mechanisms under TLS and discards the mail of those who have logged in.

    `users` gives passwords by user, `tokens` users by token; `certificate` is a chain and its key. A context manager.
    """

    def __init__(
        self,
        certificate: tuple[Path, Path],
        users: Mapping[str, str],
        tokens: Mapping[str, str],
        mechanisms: tuple[str, ...] = MECHANISMS,
    ) -> None:
        # Daemons of other users must get through to the socket.
        self._home = Path(tempfile.mkdtemp(prefix="sasl-", dir="/var/tmp"))
        self._home.chmod(0o755)
        self._tokens = tokens
        names = " ".join(mechanisms).lower()
        (self._home / "dovecot.conf").write_text(_DOVECOT.format(home=self._home, mechanisms=names))
        (self._home / "users").write_text("".join(f"{user}:{password}\n" for user, password in users.items()))
        command = [find_program("dovecot") or "dovecot", "-F", "-c", str(self._home / "dovecot.conf")]
        self._dovecot = Child(command, self._home / "output")
        self._postfix = postfix.Postfix(settings=_settings(self._home / "auth", certificate))
        self.port = self._postfix.port

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self._home, ignore_errors=True)
            endpoint = _Introspection(self._tokens)
            (self._home / "oauth2.conf").write_text(_OAUTH2.format(port=endpoint.server_port))
            thread = threading.Thread(target=endpoint.serve_forever, daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(endpoint.server_close)
            stack.callback(endpoint.shutdown)
            stack.enter_context(self._dovecot)
            until(lambda: (self._home / "auth").exists() or not self._dovecot.running, what="dovecot's socket")
            if not self._dovecot.running:
                raise RuntimeError(f"dovecot does not start: {self._dovecot.text} {self.log}")
            stack.enter_context(self._postfix)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @property
    def log(self) -> str:
        """The logs of both so far."""
        files = [file for file in (self._home / "log", self._postfix.log) if file.exists()]
        return "".join(file.read_text(errors="replace") for file in files)

    @property
    def logins(self) -> list[Login]:
        """The logins that messages came with."""
        return [Login(*found) for found in _LOGIN.findall(self.log)]


def _settings(socket: Path, certificate: tuple[Path, Path]) -> dict[str, str]:
    chain, key = certificate
    return {
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_sasl_type": "dovecot",
        "smtpd_sasl_path": str(socket),
        "smtpd_sasl_security_options": "noanonymous",
        "smtpd_tls_security_level": "may",
        "smtpd_tls_auth_only": "yes",
        "smtpd_tls_cert_file": str(chain),
        "smtpd_tls_key_file": str(key),
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
        "default_transport": "discard:",
        "mynetworks": "",
    }
