"""Mailboxes on this host: the Maildirs under MAIL_DIR. All of it blocks."""

import errno
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mta.delivery.local.maildir import Maildirs, Names, save
from mta.message.body import Body, head
from mta.message.envelope import Envelope
from mta.message.headers import delivery_marks, header_end
from mta.message.outcome import Delivered, Failed, Outcome, TryLater
from mta.queue.interface import Claim, Pending
from mta.smtp.address import POSTMASTER, Address, is_postmaster

# Delivered-To stands on top, among the trace fields; what is further down is not worth the reading.
_TRACE_BYTES = 65536
#: Recipients that a copy which they share names.
MOST_NAMED = 20
# Enhanced status by cause (RFC 3463): the system is full, the mailbox is full; anything else is our own trouble.
_STATUS = {errno.ENOSPC: "4.3.1", errno.EDQUOT: "4.2.2"}


@dataclass(frozen=True, slots=True)
class Copy:
    """A recipient and the mailbox that gets the copy; `otherwise` does if there is no such mailbox."""

    pending: Pending
    mailbox: Address
    otherwise: Address | None = None


class Mailboxes:
    """The Maildirs of our users. `host` is our name, `wall_clock` tells the time."""

    def __init__(self, mail_dir: Path, host: str, wall_clock: Callable[[], float], *, create: bool = False) -> None:
        """Prepare; `create` makes a Maildir for any user who has none, not only for postmaster."""
        self._maildirs = Maildirs(mail_dir)
        self._names = Names(host)
        self._wall_clock = wall_clock
        self._create = create

    def has(self, local: str) -> bool:
        """Whether an unquoted local part leads to a mailbox, or to one that would be made. Raises OSError."""
        return self._new_name(local) is not None or self._maildirs.find(local) is not None

    def save(self, claim: Claim, copies: Sequence[Copy]) -> dict[int, Outcome]:
        """Put a message into mailboxes, one copy into each; return the outcomes by the recipients' index.

        When an outcome is Delivered the copy is on disk, synced. The copy of an earlier attempt, whose end a crash kept
        out of the queue, is replaced while it is unread.
        """
        try:
            marks = delivered_before(claim.body, by_alias=claim.envelope.origin.is_by_alias)
        except OSError as error:
            return {copy.pending.index: _trouble(copy.mailbox, error) for copy in copies}
        outcomes: dict[int, Outcome] = {}
        sharing: dict[Path, list[Copy]] = {}
        for copy in copies:
            found = self._find(copy, marks)
            if isinstance(found, Path):
                sharing.setdefault(found, []).append(copy)
            else:
                outcomes[copy.pending.index] = found
        for maildir, together in sharing.items():
            outcome = self._save(claim, maildir, together)
            outcomes |= dict.fromkeys((copy.pending.index for copy in together), outcome)
        return outcomes

    def _find(self, copy: Copy, marks: frozenset[bytes]) -> Path | Outcome:
        """Return the Maildir that a copy goes to, or the outcome if there is none or the message was there before."""
        try:
            for address in (copy.mailbox, copy.otherwise):
                maildir = None if address is None else self._find_or_make(address.local)
                if address is not None and maildir is not None:
                    return loop(address) if is_marked(address, marks) else maildir
        except OSError as error:
            return _trouble(copy.mailbox, error)
        return Failed(f"no mailbox {copy.mailbox} here", status="5.1.1")

    def _save(self, claim: Claim, maildir: Path, together: Sequence[Copy]) -> Outcome:
        """Save one copy for all of these recipients."""
        names = list(dict.fromkeys(copy.mailbox for copy in together))
        try:
            text = _as_file(claim.envelope, claim.body, names[:MOST_NAMED])
            shown = self._names.of(claim.created, claim.id)
            save(maildir, self._names.new(self._wall_clock()), text, shown=shown)
        except OSError as error:
            return _trouble(names[0], error)
        return Delivered(f"saved in the mailbox {maildir.name}", host="")

    def _find_or_make(self, local: str) -> Path | None:
        found = self._maildirs.find(local)
        if found is None and (name := self._new_name(local)) is not None:
            return self._maildirs.make(name)
        return found

    def _new_name(self, local: str) -> str | None:
        """Return the name under which a Maildir may be made for a local part."""
        if is_postmaster(local):
            return POSTMASTER
        return self._maildirs.name(local) if self._create else None


def delivered_before(body: Body, *, by_alias: bool = False) -> frozenset[bytes]:
    """Return the marks of earlier deliveries on a message, in lower case. Raises OSError.

    The first mark of a message that came `by_alias` is our own and a moment old: in `bob: bob, bob@corp.example` it is
    the one that the mailbox bob puts there as well.
    """
    top = head(body, _TRACE_BYTES)
    return frozenset(delivery_marks(top[: header_end(top, ended=True)])[by_alias:])


def is_marked(recipient: Address, marks: Container[bytes]) -> bool:
    """Whether the mark of a delivery to this address is among some, which are in lower case."""
    return str(recipient).lower().encode() in marks


def loop(recipient: Address) -> Failed:
    """Return the outcome for a message that was here before."""
    return Failed(f"mail loop: the message was delivered to {recipient} before", status="5.4.6")


def _trouble(recipient: Address, error: OSError) -> TryLater:
    """Name the cause and the setting but no path of ours: a report of delay shows it to a stranger."""
    cause = error.strerror or "unknown error"
    return TryLater(
        f"cannot save mail for {recipient} in MAIL_DIR: {cause}", status=_STATUS.get(error.errno or 0, "4.3.0")
    )


def _as_file(envelope: Envelope, body: Body, recipients: Iterable[Address]) -> Iterator[bytes]:
    """Yield the message with the fields of final delivery (RFC 5321 section 4.4) on top and the line ends of files."""
    marks = "".join(f"Delivered-To: {recipient}\n" for recipient in recipients)
    yield f"Return-Path: <{envelope.sender or ''}>\n{marks}".encode()
    held = b""
    for chunk in body.chunks():
        text = held + chunk
        # A CR at the end of a piece may belong to a CRLF that the next piece completes.
        held = b"\r" if text.endswith(b"\r") else b""
        yield text.removesuffix(b"\r").replace(b"\r\n", b"\n")
    yield held
