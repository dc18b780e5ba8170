"""The batches in which records of events are sent, and the signature of a batch."""

import hashlib
import hmac
import json

#: The header of a batch with its signature.
SIGNATURE = "Smtprelay-Signature"


def batch_body(relay: str, worker: int, dropped: int, records: bytes) -> bytes:
    """Return the body of a request with these records, a line each.

    `dropped` is the number of events that were dropped so far, because the spool was full.
    """
    head = json.dumps({"relay": relay, "worker": worker, "dropped": dropped}).encode("ascii")
    # A line end in a value is escaped. The last comma is left out without a copy of all before it.
    events = memoryview(records.replace(b"\n", b",\n"))[: -len(b",\n")]
    return b"".join((head[:-1], b', "events": [', events, b"]}"))


def signature(secret: str, now: int, body: bytes) -> str:
    """Return the value of the header SIGNATURE: the time, and HMAC-SHA-256 (RFC 2104) of time, a dot, and the body."""
    signing = hmac.new(secret.encode(), b"%d." % now, hashlib.sha256)
    signing.update(body)
    return f"t={now},v1={signing.hexdigest()}"
