"""The client's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677).

Both sides prove that they know the password, and neither sends it. With a channel binding (-PLUS) the proof is valid
on this TLS connection only, so that a host between the two cannot pass it on.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from functools import lru_cache

from mta.smtp.sasl import scram
from mta.smtp.sasl.interface import SaslError
from mta.smtp.sasl.logins import ChannelBinding, PasswordLogin
from mta.smtp.sasl.saslprep import prepared

_NONCE_OCTETS = 24
# RFC 5802 section 7: printable ASCII without the comma.
_NONCE = re.compile(r"[!-+\--~]+")
_FIRST = re.compile(r"r=([^,]*),s=([^,]*),i=([^,]*)(?:,.*)?", re.DOTALL)
_VERDICT = re.compile(r"([ve])=([^,]*)(?:,.*)?", re.DOTALL)
_MAX_FAILURE = 100
# The password is turned into keys once for each salt, because that may take half a second (RFC 5802 section 5.1).
_salted_password = lru_cache(maxsize=8)(scram.salted_password)


class ScramClient:
    """One login by SCRAM.

    With `plus` the login is bound to the TLS connection of `binding`. Without it, a `binding` tells the server that the
    client could have used -PLUS, so that the server notices if -PLUS was removed from its offer on the way.
    """

    def __init__(
        self, login: PasswordLogin, binding: ChannelBinding | None = None, *, plus: bool = False, nonce: str = ""
    ) -> None:
        """Prepare; a random `nonce` is made unless one is given. Raises ValueError for `plus` without `binding`."""
        self.name = scram.PLUS_NAME if plus else scram.NAME
        self.failure = "the login is bound to this TLS connection" if plus else ""
        self._password = login.password
        self._nonce = nonce or secrets.token_urlsafe(_NONCE_OCTETS)
        self._header, self._bound = _header(binding, plus=plus)
        self._bare = f"n={scram.escape_name(prepared(login.user))},r={self._nonce}"
        self.initial: bytes | None = f"{self._header}{self._bare}".encode()
        self._step: Callable[[str], bytes] = self._prove
        self._server_signature = b""
        self._verified = False

    @property
    def complete(self) -> bool:
        """Whether the server has proved that it knows the password."""
        return self._verified

    def respond(self, challenge: bytes) -> bytes:
        """Return the proof for the first challenge, and an empty response for the second one after checking it.

        Raises SaslError if the server violates the mechanism or does not know the password.
        """
        try:
            text = challenge.decode()
        except UnicodeDecodeError:
            raise SaslError(f"the server's message for {self.name} is not UTF-8") from None
        return self._step(text)

    def _prove(self, server_first: str) -> bytes:
        nonce, salt, iterations = self._read_first(server_first)
        self._step = self._verify
        salted = _salted_password(self._password, salt, iterations)
        client_key = scram.signature(salted, b"Client Key")
        bound = scram.encode(self._header.encode() + self._bound)
        without_proof = f"c={bound},r={nonce}"
        message = f"{self._bare},{server_first},{without_proof}".encode()
        proof = scram.exclusive_or(client_key, scram.signature(hashlib.sha256(client_key).digest(), message))
        self._server_signature = scram.signature(scram.signature(salted, b"Server Key"), message)
        return f"{without_proof},p={scram.encode(proof)}".encode()

    def _read_first(self, text: str) -> tuple[str, bytes, int]:
        """Return nonce, salt and iterations of the server's first message."""
        if text.startswith("m="):
            raise SaslError(f"the server demands an extension of {self.name} that this relay does not know")
        match = _FIRST.fullmatch(text)
        if match is None:
            raise SaslError(f"the server's first message for {self.name} is malformed")
        nonce = match[1]
        if not nonce.startswith(self._nonce) or nonce == self._nonce or _NONCE.fullmatch(nonce) is None:
            raise SaslError(f"the server's nonce for {self.name} is not made from this relay's")
        try:
            salt, iterations = scram.decode(match[2]), scram.parse_iterations(match[3])
        except scram.ScramError as error:
            raise SaslError(f"the server's first message for {self.name} cannot be used: {error}") from None
        if not salt:
            raise SaslError(f"the server's first message for {self.name} has no salt")
        return nonce, salt, iterations

    def _verify(self, server_final: str) -> bytes:
        self._step = self._refuse
        match = _VERDICT.fullmatch(server_final)
        if match is None:
            raise SaslError(f"the server's last message for {self.name} is malformed")
        if match[1] == "e":
            self.failure = re.sub(r"[^ -~]", "?", match[2][:_MAX_FAILURE])
            return b""
        if not hmac.compare_digest(match[2].encode(), scram.encode(self._server_signature).encode()):
            raise SaslError("the server does not know the password; another host may answer in its place")
        self._verified = True
        return b""

    def _refuse(self, _: str) -> bytes:
        raise SaslError(f"{self.name} has two challenges")


def _header(binding: ChannelBinding | None, *, plus: bool) -> tuple[str, bytes]:
    """Return the GS2 header (RFC 5801 section 4) and the data that the proof binds."""
    if not plus:
        return ("y,," if binding is not None else "n,,"), b""
    if binding is None:
        raise ValueError("SCRAM-SHA-256-PLUS needs a channel binding")
    return f"p={binding.name},,", binding.data
