"""Measure one DKIM signature: the relay's, dkimpy's own, and the key operation alone.

Usage: python -m bench.dkim_bench [--octets N] [--seconds S]

The message is a small one as intake stores it: a Received field, nine others and a body. Both canonical forms are
relaxed. Each figure is the best of five runs, in milliseconds of wall time; the relay's begins with a body in memory
and ends with the fields to put on top. The last lines hash a large body in pieces, which is done in a thread.
"""

import argparse
import timeit
from collections.abc import Callable

import dkim
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet.defer import Deferred

from mta.blocking import run_inline
from mta.dkim.canonical import RELAXED, SIMPLE, body_hash
from mta.dkim.keyring import KeyName
from mta.dkim.keys import SigningKey, new_key
from mta.dkim.signature import Canon
from mta.dkim.signer import DkimSigner
from mta.message.body import CHUNK_BYTES, MemoryBody
from mta.message.envelope import Envelope, Origin

HEADER = b"""\
Received: from app.example.org ([192.0.2.1])\r
\tby relay.example.org with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384)\r
\tid 0123456789ABCDEF for <bob@example.net>; Sun, 22 Nov 2026 12:00:00 +0000\r
From: Alice <alice@example.org>\r
To: Bob <bob@example.net>\r
Subject: The figures that you asked for, and a few words on how we came by them\r
Date: Sun, 22 Nov 2026 12:00:00 +0000\r
Message-ID: <0123456789ABCDEF@app.example.org>\r
MIME-Version: 1.0\r
Content-Type: text/plain; charset=utf-8\r
Content-Transfer-Encoding: 8bit\r
X-Mailer: app\r
\r
"""
LINE = b"The quick brown fox jumps over the lazy dog, again.  And again.\r\n"
ENVELOPE = Envelope(None, (), Origin.of_relay("relay.example.org"))
LARGE = 20 * 1024 * 1024


class OneKey:
    """A keyring that asks no disk."""

    def __init__(self, key: SigningKey) -> None:
        self._keys = (key,)

    def keys(self, domain: str) -> tuple[SigningKey, ...]:  # noqa: ARG002
        """Return the one key for every domain."""
        return self._keys

    def files(self) -> tuple[tuple[KeyName, ...], ...]:
        """Return no domains."""
        return ()


def ours(key: SigningKey, message: bytes) -> Callable[[], object]:
    signer = DkimSigner(OneKey(key), Canon(), ours=lambda _: True, run=run_inline)
    body = MemoryBody(message)
    return lambda: Deferred.fromCoroutine(signer.sign(ENVELOPE, body))


def theirs(key: SigningKey, message: bytes) -> Callable[[], object]:
    pem = key.private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    forms = (b"relaxed", b"relaxed")
    return lambda: dkim.sign(message, b"dkim", b"example.org", pem, canonicalize=forms)


def hashing(form: str, text: bytes) -> Callable[[], object]:
    def run() -> None:
        taking = body_hash(form)
        for start in range(0, len(text), CHUNK_BYTES):
            taking.update(text[start : start + CHUNK_BYTES])
        taking.digest()

    return run


def milliseconds(work: Callable[[], object], seconds: float) -> float:
    once = timeit.timeit(work, number=1)
    number = max(1, int(seconds / 5 / once))
    return min(timeit.repeat(work, number=number, repeat=5)) / number * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--octets", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure")
    options = parser.parse_args()
    message = HEADER + (LINE * (options.octets // len(LINE) + 1))[: options.octets - len(HEADER) - 2] + b"\r\n"
    rsa, ed25519 = new_key("dkim", "rsa"), new_key("dkim", "ed25519")
    large = LINE * (LARGE // len(LINE))
    for name, work in (
        ("rsa 2048, ours", ours(rsa, message)),
        ("rsa 2048, the key operation alone", lambda: rsa.sign(message)),
        ("rsa 2048, dkimpy", theirs(rsa, message)),
        ("ed25519, ours", ours(ed25519, message)),
        ("ed25519, the key operation alone", lambda: ed25519.sign(message)),
        (f"hash of {LARGE >> 20} MiB, relaxed", hashing(RELAXED, large)),
        (f"hash of {LARGE >> 20} MiB, simple", hashing(SIMPLE, large)),
    ):
        print(f"{name:36} {milliseconds(work, options.seconds):9.3f} ms", flush=True)


if __name__ == "__main__":
    main()
