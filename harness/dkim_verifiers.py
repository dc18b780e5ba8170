"""DKIM verifiers of other projects: dkimpy, and OpenDKIM where it is installed."""

import base64
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dkim
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from harness.waiting import PATIENCE
from mta.dkim.keys import SigningKey, dns_record, record_name

#: DNS records by name.
Records = Mapping[str, str]


def records(domain: str, keys: Iterable[SigningKey]) -> dict[str, str]:
    return {record_name(domain, key.selector): dns_record(key) for key in keys}


def dkimpy_accepts(message: bytes, dns: Records, index: int = 0) -> bool:
    """Whether the signature at this place, the topmost is 0, is good."""
    try:
        return bool(_Dkimpy(message).verify(index, lambda name, timeout=5: dns[name.decode().rstrip(".")].encode()))
    except dkim.DKIMException:
        return False


class _Dkimpy(dkim.DKIM):  # type: ignore[misc]
    """Takes Ed25519 from `cryptography`: PyNaCl is one more library, and does the same."""

    def verify_sig(self, sig: Any, include_headers: Any, sig_header: Any, dnsfunc: Any) -> bool:
        if sig[b"a"] != b"ed25519-sha256":
            return bool(super().verify_sig(sig, include_headers, sig_header, dnsfunc))
        tags = dkim.util.parse_tag_value(dnsfunc(sig[b"s"] + b"._domainkey." + sig[b"d"] + b"."))
        assert tags[b"k"] == b"ed25519"
        key = _Ed25519(tags[b"p"])
        self.pk, self.keysize, self.ktag, self.seqtlsrpt = key, 256, b"ed25519", False
        return bool(self.verify_sig_process(sig, include_headers, sig_header, dnsfunc)) and key.good


class _Ed25519:
    """Remembers the verdict: the only exception that dkimpy would take is PyNaCl's."""

    def __init__(self, encoded: bytes) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded))
        self.good = False

    def verify(self, digest: bytes, signature: bytes) -> None:
        try:
            self._key.verify(signature, digest)
        except InvalidSignature:
            return
        self.good = True


def opendkim() -> str | None:
    """Return where the program is."""
    return shutil.which("opendkim") or shutil.which("opendkim", path="/usr/sbin:/usr/local/sbin")


def opendkim_refuses(messages: Sequence[bytes], dns: Records) -> dict[int, str]:
    """Return the verdict of OpenDKIM on each message whose topmost signature it rejects, by the place of the message.

    OpenDKIM reads any blanks after the colon of a header field in a file as one. If the message has others there, it
    rejects a signature over the simple form of the header.
    """
    program = opendkim()
    assert program is not None
    with tempfile.TemporaryDirectory(prefix="opendkim-") as name:
        home = Path(name)
        (home / "keys").write_text("".join(f"{owner} {text}\n" for owner, text in dns.items()))
        (home / "conf").write_text(f"Mode v\nTestPublicKeys {home}/keys\n")
        paths = [home / f"{index:04}" for index in range(len(messages))]
        for path, message in zip(paths, messages, strict=True):
            path.write_bytes(message)
        command = [program, "-x", str(home / "conf"), "-t", ",".join(map(str, paths))]
        said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
        lines = {line.split(": ")[1]: line for line in (said.stdout + said.stderr).splitlines() if ": " in line}
    verdicts = [lines.get(str(path), "nothing was said") for path in paths]
    return {index: verdict for index, verdict in enumerate(verdicts) if not verdict.endswith(" succeeded")}
