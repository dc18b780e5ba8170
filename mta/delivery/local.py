"""Delivery of mail for our own host names into the Maildirs under MAIL_DIR."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

from twisted.internet.defer import Deferred

from mta.delivery.maildir import Maildirs, Names, save
from mta.message.body import Body, head
from mta.message.envelope import Envelope
from mta.message.headers import header_end, values
from mta.message.outcome import Delivered, Failed, Outcome, TryLater
from mta.queue.interface import Claim, Pending
from mta.smtp.address import Address

# RFC 5321 section 4.5.1: mail for postmaster is never refused.
_POSTMASTER = "postmaster"
# Delivered-To stands on top, among the trace fields; what is further down is not worth the reading.
_TRACE_BYTES = 65536
# Enhanced status by cause (RFC 3463): the system is full, the mailbox is full; anything else is our own trouble.
_STATUS = {errno.ENOSPC: "4.3.1", errno.EDQUOT: "4.2.2"}

Run = Callable[[Callable[[], Outcome]], "Deferred[Outcome]"]


class LocalMail:
    """Puts mail into Maildirs. `run` does blocking work elsewhere, `host` is our name, `wall` tells the time."""

    def __init__(self, mail_dir: Path, host: str, *, run: Run, wall: Callable[[], float]) -> None:
        self._maildirs = Maildirs(mail_dir)
        self._names = Names(host)
        self._run = run
        self._wall = wall

    def mailbox(self, local: str) -> Path | None:
        """Return the Maildir that an unquoted local part leads to; None when there is none. Raises OSError."""
        return self._maildirs.find(local)

    def accepts(self, local: str) -> bool:
        """Whether mail for a local part is to be taken: there is a Maildir, it is postmaster, or we cannot tell now.

        Blocks for a few looks at the disk. A disk in trouble is no reason to refuse a user for good.
        """
        try:
            return local.lower() == _POSTMASTER or self.mailbox(local) is not None
        except OSError:
            return True

    def deliver(self, claim: Claim, pending: Pending) -> "Deferred[Outcome]":
        """Put one recipient's copy into its Maildir; when the outcome is Delivered it is on disk, synced."""
        return self._run(lambda: self._deliver(claim.envelope, claim.body, pending.recipient.address))

    def _deliver(self, envelope: Envelope, body: Body, recipient: Address) -> Outcome:
        try:
            maildir = self._find_or_make(recipient.local)
            if maildir is None:
                return Failed(f"no mailbox {recipient} here", status="5.1.1")
            if _was_here(body, recipient):
                return Failed(f"mail loop: the message was delivered to {recipient} before", status="5.4.6")
            save(maildir, self._names.new(self._wall()), _as_file(envelope, body, recipient))
        except OSError as error:
            return _trouble(recipient, error)
        return Delivered(f"saved in the mailbox {maildir.name}", host="")

    def _find_or_make(self, local: str) -> Path | None:
        found = self.mailbox(local)
        if found is None and local.lower() == _POSTMASTER:
            return self._maildirs.make(_POSTMASTER)
        return found


def _trouble(recipient: Address, error: OSError) -> TryLater:
    """Name the cause and the setting but no path of ours: a report of delay shows it to a stranger."""
    cause = error.strerror or "unknown error"
    return TryLater(
        f"cannot save mail for {recipient} in MAIL_DIR: {cause}", status=_STATUS.get(error.errno or 0, "4.3.0")
    )


def _was_here(body: Body, recipient: Address) -> bool:
    """Whether a delivery to this very address put its mark on the message already."""
    top = head(body, _TRACE_BYTES)
    marks = values(top[: header_end(top, ended=True)], "Delivered-To")
    return str(recipient).lower().encode() in {mark.lower() for mark in marks}


def _as_file(envelope: Envelope, body: Body, recipient: Address) -> Iterator[bytes]:
    """Yield the message with the fields of final delivery (RFC 5321 section 4.4) on top and the line ends of files."""
    yield f"Return-Path: <{envelope.sender or ''}>\nDelivered-To: {recipient}\n".encode()
    held = b""
    for chunk in body.chunks():
        text = held + chunk
        # A CR at the end of a piece may belong to a CRLF that the next piece completes.
        held = b"\r" if text.endswith(b"\r") else b""
        yield text.removesuffix(b"\r").replace(b"\r\n", b"\n")
    yield held
