"""Dovecot's authentication service alone, and a client of its socket, as a mail server with Dovecot's SASL is one."""

import base64
import hashlib
import hmac
import json
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import Self

from harness.processes import Child, find_program
from harness.waiting import until
from mta.smtp.sasl.interface import Mechanism

_KEY = b"a key that signs tokens, 32 octets"
_CONFIGURATION = """\
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/log
protocols =
ssl = no
auth_mechanisms = plain login cram-md5 scram-sha-256 xoauth2 oauthbearer
auth_failure_delay = 0
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {home}/oauth2.conf
}}
passdb {{
  driver = passwd-file
  args = username_format=%u {home}/users
}}
service auth {{
  unix_listener {home}/auth {{
    mode = 0666
  }}
}}
"""
_TOKENS = """\
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={home}/keys/
username_attribute = email
"""


class DovecotAuth:
    """A private instance with these users, by name, whose secrets have a scheme. Use as a context manager."""

    def __init__(self, **users: str) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="dovecot-", dir="/var/tmp"))
        self.home.chmod(0o755)
        keys = self.home / "keys" / "default" / "HS256"
        keys.mkdir(parents=True)
        (keys / "default").write_bytes(base64.b64encode(_KEY))
        (self.home / "users").write_text("".join(f"{name}:{secret}\n" for name, secret in users.items()))
        (self.home / "oauth2.conf").write_text(_TOKENS.format(home=self.home))
        configuration = self.home / "dovecot.conf"
        configuration.write_text(_CONFIGURATION.format(home=self.home))
        command = [find_program("dovecot") or "dovecot", "-F", "-c", str(configuration)]
        self._child = Child(command, self.home / "output")
        self._requests = 0

    def __enter__(self) -> Self:
        self._child.start()
        path = self.home / "auth"
        until(lambda: path.exists() or not self._child.running, what="dovecot's socket")
        if not self._child.running:
            raise RuntimeError(f"dovecot does not start: {self._child.text}")
        return self

    def __exit__(self, *exc: object) -> None:
        if self._child.running:
            self._child.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def log_in(self, mechanism: Mechanism) -> bool:
        """Run one exchange; return whether Dovecot accepts the login."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.home / "auth"))
            file = connection.makefile("rwb", buffering=0)
            self._requests += 1
            file.write(b"VERSION\t1\t2\nCPID\t%d\n" % self._requests)
            while not file.readline().startswith(b"DONE"):
                pass
            initial = mechanism.initial
            response = "" if initial is None else f"\tresp={base64.b64encode(initial).decode() or '='}"
            file.write(f"AUTH\t1\t{mechanism.name}\tservice=smtp\tsecured=tls\tno-penalty{response}\n".encode())
            while (answer := file.readline().rstrip(b"\n").split(b"\t"))[0] == b"CONT":
                file.write(b"CONT\t1\t" + base64.b64encode(mechanism.respond(base64.b64decode(answer[2]))) + b"\n")
            assert answer[0] in {b"OK", b"FAIL"}, answer[0]
            return answer[0] == b"OK"


def signed_token(user: str) -> str:
    """Return a token for a user that the service accepts for an hour (RFC 7519)."""
    now = int(time.time())
    claims = {"email": user, "sub": user, "iat": now - 10, "nbf": now - 10, "exp": now + 3600}
    text = ".".join(_part(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{text}.{_part(hmac.digest(_KEY, text.encode(), hashlib.sha256))}"


def _part(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")
