"""The client's side of SCRAM-SHA-256, with and without channel binding."""

import hashlib
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mta.smtp.sasl import scram
from mta.smtp.sasl.interface import SaslError
from mta.smtp.sasl.logins import ChannelBinding, PasswordLogin
from mta.smtp.sasl.scram_client import ScramClient

# RFC 7677 section 3.
PENCIL = PasswordLogin("user", "pencil")
NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SALT = "W22ZaJ0SNY7soEsUEjb6gQ=="
SERVER_FIRST = f"r={NONCE}{SERVER_NONCE},s={SALT},i=4096"
CLIENT_FINAL = f"c=biws,r={NONCE}{SERVER_NONCE},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
EXPORTER = ChannelBinding("tls-exporter", bytes(range(32)))
UNIQUE = ChannelBinding("tls-unique", bytes(12))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


def pencil() -> ScramClient:
    return ScramClient(PENCIL, nonce=NONCE)


@dataclass
class ReferenceServer:
    """A server that computes everything as RFC 5802 section 3 writes it, in the terms of that section."""

    secret: scram.ScramSecret
    binding: ChannelBinding | None = None

    def first(self, client_first: bytes) -> bytes:
        header, _, self.client_first_bare = client_first.decode().partition(",,")
        self.header = f"{header},,"
        nonce = self.client_first_bare.rpartition(",r=")[2] + "server"
        salt = scram.encode(self.secret.salt)
        self.server_first = f"r={nonce},s={salt},i={self.secret.iterations}"
        return self.server_first.encode()

    def final(self, client_final: bytes) -> bytes | None:
        """Return the server's last message; None if it refuses the proof or the binding."""
        without_proof, _, proof = client_final.decode().rpartition(",p=")
        auth_message = f"{self.client_first_bare},{self.server_first},{without_proof}".encode()
        client_signature = scram.signature(self.secret.stored_key, auth_message)
        client_key = bytes(a ^ b for a, b in zip(scram.decode(proof), client_signature, strict=True))
        bound = self.header.encode() + (self.binding.data if self.binding is not None else b"")
        channel = without_proof.partition(",")[0]
        if hashlib.sha256(client_key).digest() != self.secret.stored_key or channel != f"c={scram.encode(bound)}":
            return None
        return b"v=" + scram.encode(scram.signature(self.secret.server_key, auth_message)).encode()


def test_the_messages_are_those_of_rfc_7677() -> None:
    client = pencil()
    assert (client.name, client.initial) == ("SCRAM-SHA-256", f"n,,n=user,r={NONCE}".encode())
    assert client.respond(SERVER_FIRST.encode()) == CLIENT_FINAL.encode()
    assert not client.complete
    assert client.respond(SERVER_FINAL) == b""
    assert client.complete
    with pytest.raises(SaslError, match="two challenges"):
        client.respond(b"")


@given(
    user=TEXT,
    password=TEXT,
    salt=st.binary(min_size=1, max_size=20),
    bound=st.sampled_from([(None, False), (EXPORTER, True), (UNIQUE, True), (EXPORTER, False)]),
)
@example(user="n=", password="n=", salt=b"n=", bound=(None, False))
@settings(max_examples=25, deadline=None)
def test_any_user_and_password_log_in(
    user: str, password: str, salt: bytes, bound: tuple[ChannelBinding | None, bool]
) -> None:
    binding, plus = bound
    client = ScramClient(PasswordLogin(user, password), binding, plus=plus)
    server = ReferenceServer(scram.derive(password, salt), binding if plus else None)
    assert client.initial is not None
    final = server.final(client.respond(server.first(client.initial)))
    assert final is not None
    assert client.respond(final) == b""
    assert client.complete


@pytest.mark.parametrize(
    ("binding", "plus", "name", "header"),
    [
        (None, False, "SCRAM-SHA-256", "n,,"),
        (EXPORTER, False, "SCRAM-SHA-256", "y,,"),
        (EXPORTER, True, "SCRAM-SHA-256-PLUS", "p=tls-exporter,,"),
        (UNIQUE, True, "SCRAM-SHA-256-PLUS", "p=tls-unique,,"),
    ],
)
def test_the_header_tells_how_the_login_is_bound(
    binding: ChannelBinding | None, plus: bool, name: str, header: str
) -> None:
    client = ScramClient(PENCIL, binding, plus=plus, nonce=NONCE)
    assert client.name == name
    assert client.initial == f"{header}n=user,r={NONCE}".encode()


def test_plus_is_not_possible_without_a_binding() -> None:
    with pytest.raises(ValueError, match="needs a channel binding"):
        ScramClient(PENCIL, plus=True)


def test_a_login_on_one_connection_is_no_login_on_another() -> None:
    client = ScramClient(PENCIL, EXPORTER, plus=True)
    server = ReferenceServer(scram.derive("pencil", b"salt"), ChannelBinding("tls-exporter", bytes(32)))
    assert client.initial is not None
    assert server.final(client.respond(server.first(client.initial))) is None


def test_a_wrong_password_is_no_login() -> None:
    client, server = pencil(), ReferenceServer(scram.derive("pen", b"salt"))
    assert client.initial is not None
    assert server.final(client.respond(server.first(client.initial))) is None


def test_each_login_has_a_nonce_of_its_own_without_commas() -> None:
    messages = {ScramClient(PENCIL).initial for _ in range(50)}
    assert len(messages) == 50
    assert all(message is not None and message.count(b",") == 3 and message.isascii() for message in messages)


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ("", "malformed"),
        ("v=x", "malformed"),
        (f"m=ext,{SERVER_FIRST}", "demands an extension"),
        (f"r={SERVER_NONCE},s={SALT},i=4096", "nonce"),
        (f"r=x{NONCE}y,s={SALT},i=4096", "nonce"),
        (f"r={NONCE},s={SALT},i=4096", "nonce"),
        (f"r={NONCE}\u00e9,s={SALT},i=4096", "nonce"),
        (f"r={NONCE} x,s={SALT},i=4096", "nonce"),
        (f"r={NONCE}x,s=!,i=4096", "not base64"),
        (f"r={NONCE}x,s=,i=4096", "no salt"),
        (f"r={NONCE}x,s={SALT},i=4095", "from 4096 to 1000000"),
        (f"r={NONCE}x,s={SALT},i=1", "from 4096"),
        (f"r={NONCE}x,s={SALT},i=1000001", "from 4096"),
        (f"r={NONCE}x,s={SALT},i={'9' * 400}", "from 4096"),
        (f"r={NONCE}x,s={SALT},i=-4096", "from 4096"),
        (f"r={NONCE}x,s={SALT},i=", "from 4096"),
        (f"r={NONCE}x,i=4096,s={SALT}", "malformed"),
        (f"s={SALT},r={NONCE}x,i=4096", "malformed"),
    ],
)
def test_a_bad_first_message_of_the_server_gets_no_proof(first: str, words: str) -> None:
    with pytest.raises(SaslError, match=words):
        pencil().respond(first.encode())


def test_a_message_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(SaslError, match="UTF-8"):
        pencil().respond(b"r=\xff")


def test_an_optional_extension_is_passed_over_and_signed() -> None:
    client, server = pencil(), ReferenceServer(scram.derive("pencil", b"salt"))
    assert client.initial is not None
    server.server_first = server.first(client.initial).decode() + ",x=1,y=2"
    final = server.final(client.respond(server.server_first.encode()))
    assert final is not None
    client.respond(final + b",z=3")
    assert client.complete


@pytest.mark.parametrize("final", [b"", b"v=", b"v=AAAA", b"v=" + b"A" * 43 + b"=", b"v=!", b"x=1", b"ok", b"v"])
def test_a_server_that_does_not_know_the_password_is_not_believed(final: bytes) -> None:
    client = pencil()
    client.respond(SERVER_FIRST.encode())
    with pytest.raises(SaslError):
        client.respond(final)
    assert not client.complete


def test_the_servers_signature_is_that_of_this_exchange() -> None:
    client = ScramClient(PENCIL, nonce=NONCE[:-1] + "x")
    client.respond(SERVER_FIRST.replace(NONCE, NONCE[:-1] + "x").encode())
    with pytest.raises(SaslError, match="does not know the password"):
        client.respond(SERVER_FINAL)


def test_the_servers_reason_for_a_refusal_is_kept() -> None:
    client = pencil()
    client.respond(SERVER_FIRST.encode())
    assert client.respond("e=channel-bindings-dont-match\x1b\u00e9,x=1".encode()) == b""
    assert client.failure == "channel-bindings-dont-match??"
    assert not client.complete


@given(messages=st.lists(st.binary(max_size=60) | st.just(SERVER_FIRST.encode()), max_size=4))
@settings(max_examples=100, deadline=None)
def test_no_message_but_the_right_ones_completes_a_login(messages: list[bytes]) -> None:
    client = pencil()
    for message in messages:
        try:
            client.respond(message)
        except SaslError as error:
            assert "pencil" not in str(error)  # noqa: PT017  any message of the error is fine but for the password
            break
    assert not client.complete


@given(position=st.integers(0, len(SERVER_FIRST) - 1), octet=st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_a_changed_first_message_is_refused_or_changes_the_proof(position: int, octet: int) -> None:
    changed = bytearray(SERVER_FIRST.encode())
    if changed[position] == octet:
        return
    changed[position] = octet
    client = pencil()
    try:
        proof = client.respond(bytes(changed))
    except SaslError:
        return
    assert proof.rpartition(b",p=")[2] != CLIENT_FINAL.encode().rpartition(b",p=")[2]
    with pytest.raises(SaslError):
        client.respond(SERVER_FINAL)
