"""The AUTH command of a sink (RFC 4954): one method a mechanism, each of which records exactly what it is shown."""

import base64
import binascii
import hashlib
import hmac
import json
import socket
from typing import TYPE_CHECKING

from harness.gsasl import ScramServer
from harness.sink_rules import Login
from harness.sink_wire import Wire

if TYPE_CHECKING:
    from harness.sink import Sink

#: User, password or token, and whether they are right.
Shown = tuple[str, str, bool]


class Logins(Wire):
    """The wire, and the login at its beginning. `user` is the user who has logged in, or ""."""

    def __init__(self, sink: "Sink", connection: socket.socket, number: int) -> None:
        super().__init__(sink, connection, number)
        self.user = ""
        self._responses: list[bytes] = []

    def do_auth(self, argument: bytes) -> None:
        mechanism, _, initial = argument.partition(b" ")
        name = mechanism.decode("ascii", "replace").upper()
        if name not in self.sink.mechanisms:
            self.fault(f"asked for {name}, which was not offered")
            self.send("504 5.5.4 no such mechanism")
            return
        self._responses = []
        try:
            first = self._taken(b"" if initial == b"=" else initial) if initial else None
            user, secret, good = getattr(self, f"auth_{name.lower().replace('-', '_')}")(first)
        except (binascii.Error, ValueError):
            # Cancelled by "*", or not the form of the mechanism.
            self._record(name, "", "", accepted=False)
            self.send("501 5.5.2 not understood")
            return
        self._record(name, user, secret, accepted=good)
        usual = "235 2.7.0 welcome" if good else "535 5.7.8 authentication credentials invalid"
        if self.answer("AUTH", name, usual):
            self.user = user

    def _record(self, name: str, user: str, secret: str, *, accepted: bool) -> None:
        login = Login(name, user, secret, accepted, self.encrypted, tuple(self._responses), self.certificate)
        with self.sink.lock:
            self.sink.logins.append(login)

    def _taken(self, encoded: bytes) -> bytes:
        response = base64.b64decode(encoded, validate=True)
        self._responses.append(response)
        return response

    def challenge(self, words: bytes) -> bytes:
        """Send a challenge and return the response."""
        self.send("334 " + base64.b64encode(words).decode())
        return self._taken(self.line())

    def auth_plain(self, initial: bytes | None) -> Shown:
        response = self.challenge(b"") if initial is None else initial
        _, user, password = response.decode().split("\0")
        return user, password, self.sink.users.get(user) == password

    def auth_login(self, initial: bytes | None) -> Shown:
        user = (self.challenge(b"Username:") if initial is None else initial).decode()
        password = self.challenge(b"Password:").decode()
        return user, password, self.sink.users.get(user) == password

    def auth_cram_md5(self, initial: bytes | None) -> Shown:
        words = b"<1.2@sink.example.test>"
        user, _, digest = self.challenge(words).decode().rpartition(" ")
        secret = self.sink.users.get(user, "")
        right = hmac.new(secret.encode(), words, hashlib.md5).hexdigest()
        return user, secret if digest == right else "", digest == right and bool(secret)

    def auth_external(self, initial: bytes | None) -> Shown:
        """Believe the certificate; the response may name a user (RFC 4422 appendix A)."""
        named = (self.challenge(b"") if initial is None else initial).decode()
        return named or self.certificate, "", bool(self.certificate)

    def auth_xoauth2(self, initial: bytes | None) -> Shown:
        """Take `user=...^Aauth=Bearer ...^A^A`, the form of Google and Microsoft."""
        fields = (self.challenge(b"") if initial is None else initial).decode().split("\1")
        if len(fields) != 4 or fields[2:] != ["", ""] or not fields[0].startswith("user="):
            raise ValueError("not the form of XOAUTH2")
        return self._bearer(fields[0].removeprefix("user="), fields[1])

    def auth_oauthbearer(self, initial: bytes | None) -> Shown:
        """Take `n,a=user,^A...^Aauth=Bearer ...^A^A` (RFC 7628 section 3.1)."""
        fields = (self.challenge(b"") if initial is None else initial).decode().split("\1")
        header, values = fields[0], dict(field.partition("=")[::2] for field in fields[1:-2])
        flag, authzid, rest = header.split(",")
        if flag != "n" or rest or fields[-2:] != ["", ""] or not {"auth"} <= set(values) <= {"auth", "host", "port"}:
            raise ValueError("not the form of OAUTHBEARER")
        user = authzid.removeprefix("a=").replace("=2C", ",").replace("=3D", "=")
        return self._bearer(user, f"auth={values['auth']}")

    def _bearer(self, user: str, field: str) -> Shown:
        token = field.removeprefix("auth=Bearer ")
        good = self.sink.tokens is not None and token in self.sink.tokens
        if not good:
            # The client has to answer the failure before it gets the 535.
            self.challenge(json.dumps({"status": "401", "schemes": "bearer"}).encode())
        return user, token, good

    def auth_scram_sha_256(self, initial: bytes | None) -> Shown:
        return self._scram("SCRAM-SHA-256", initial)

    def auth_scram_sha_256_plus(self, initial: bytes | None) -> Shown:
        return self._scram("SCRAM-SHA-256-PLUS", initial)

    def _scram(self, name: str, initial: bytes | None) -> Shown:
        # A server that offers -PLUS says so to the other mechanism too, which then finds a downgrade.
        binding = self.exporter if "SCRAM-SHA-256-PLUS" in self.sink.mechanisms else None
        response = self.challenge(b"") if initial is None else initial
        with ScramServer(name, self.sink.users, binding) as server:
            while (words := server.step(response)) is not None:
                response = self.challenge(words)
            return server.user, "", server.accepted
