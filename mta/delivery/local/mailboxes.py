"""Saves messages in the mailboxes of this host, the Maildirs under MAIL_DIR. All functions block."""

import errno
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mta.delivery.local.maildir import MaildirNames, Maildirs, save
from mta.message import headers
from mta.message.body import Body, head
from mta.message.envelope import Envelope
from mta.message.outcome import Delivered, Failed, Outcome, TryLater
from mta.queue.interface import Claim, Pending
from mta.smtp.address import POSTMASTER, Address, is_postmaster

# The octets that are searched for Delivered-To, which is one of the trace fields at the top.
_TRACE_BYTES = 65536
#: The number of recipients that the Delivered-To fields of a shared copy name.
MAX_NAMED = 20
# Enhanced status by errno (RFC 3463): the system is full, the mailbox is full; all other errors get 4.3.0.
_STATUS = {errno.ENOSPC: "4.3.1", errno.EDQUOT: "4.2.2"}


@dataclass(frozen=True, slots=True)
class Copy:
    """A recipient and the mailbox that gets its copy; `fallback` gets it if there is no such mailbox."""

    pending: Pending
    mailbox: Address
    fallback: Address | None = None


class Mailboxes:
    """The Maildirs of the users of this host. `host` is the relay's name in the names of files."""

    def __init__(self, mail_dir: Path, host: str, wall_clock: Callable[[], float], *, create: bool = False) -> None:
        """Prepare; with `create` any user gets a Maildir at the first delivery, not only postmaster."""
        self._maildirs = Maildirs(mail_dir)
        self._names = MaildirNames(host)
        self._wall_clock = wall_clock
        self._create = create

    def has(self, local: str) -> bool:
        """Whether an unquoted local part has a mailbox or would get one. Raises OSError."""
        return self._new_name(local) is not None or self._maildirs.find(local) is not None

    def save(self, claim: Claim, copies: Sequence[Copy]) -> dict[int, Outcome]:
        """Save a message in mailboxes, one copy in each; return the outcomes by recipient index.

        If an outcome is Delivered, the copy is synced to disk. A copy of an earlier attempt that a crash left unsettled
        is replaced as long as it is unread.
        """
        try:
            delivered_to = delivered_to_values(claim.body, by_alias=claim.envelope.origin.is_by_alias)
        except OSError as error:
            return {copy.pending.index: _save_failure(copy.mailbox, error) for copy in copies}
        outcomes: dict[int, Outcome] = {}
        sharing: dict[Path, list[Copy]] = {}
        for copy in copies:
            found = self._find(copy, delivered_to)
            if isinstance(found, Path):
                sharing.setdefault(found, []).append(copy)
            else:
                outcomes[copy.pending.index] = found
        for maildir, together in sharing.items():
            outcome = self._save(claim, maildir, together)
            outcomes |= dict.fromkeys((copy.pending.index for copy in together), outcome)
        return outcomes

    def _find(self, copy: Copy, delivered_to: frozenset[bytes]) -> Path | Outcome:
        """Return the Maildir of a copy, or the outcome if it has none or the message was delivered there before."""
        try:
            for address in (copy.mailbox, copy.fallback):
                maildir = None if address is None else self._find_or_make(address.local)
                if address is not None and maildir is not None:
                    return loop_failure(address) if is_delivered_to(address, delivered_to) else maildir
        except OSError as error:
            return _save_failure(copy.mailbox, error)
        return Failed(f"no mailbox {copy.mailbox} here", status="5.1.1")

    def _save(self, claim: Claim, maildir: Path, together: Sequence[Copy]) -> Outcome:
        """Save one copy for all these recipients."""
        names = list(dict.fromkeys(copy.mailbox for copy in together))
        try:
            text = _as_file(claim.envelope, claim.body, names[:MAX_NAMED])
            final_name = self._names.stable(claim.created, claim.id)
            save(maildir, self._names.unique(self._wall_clock()), text, final_name=final_name)
        except OSError as error:
            return _save_failure(names[0], error)
        return Delivered(f"saved in the mailbox {maildir.name}", host="")

    def _find_or_make(self, local: str) -> Path | None:
        found = self._maildirs.find(local)
        if found is None and (name := self._new_name(local)) is not None:
            return self._maildirs.make(name)
        return found

    def _new_name(self, local: str) -> str | None:
        """Return the name of a Maildir that may be created for a local part, or None."""
        if is_postmaster(local):
            return POSTMASTER
        return self._maildirs.name(local) if self._create else None


def delivered_to_values(body: Body, *, by_alias: bool = False) -> frozenset[bytes]:
    """Return the Delivered-To values of a message in lower case, which name its earlier recipients. Raises OSError.

    The first value of a message that came `by_alias` is left out, because this relay added it for the alias: in
    `bob: bob, bob@corp.example` it equals the value for the mailbox bob.
    """
    top = head(body, _TRACE_BYTES)
    return frozenset(headers.delivered_to(top[: headers.header_end(top, ended=True)])[by_alias:])


def is_delivered_to(recipient: Address, delivered_to: Container[bytes]) -> bool:
    """Whether Delivered-To values in lower case name this recipient."""
    return str(recipient).lower().encode() in delivered_to


def loop_failure(recipient: Address) -> Failed:
    """Return the outcome of a message that was delivered to this recipient before."""
    return Failed(f"mail loop: the message was delivered to {recipient} before", status="5.4.6")


def _save_failure(recipient: Address, error: OSError) -> TryLater:
    """Return the outcome of an error. Its text names no path, because a delay report shows it to the sender."""
    cause = error.strerror or "unknown error"
    return TryLater(
        f"cannot save mail for {recipient} in MAIL_DIR: {cause}", status=_STATUS.get(error.errno or 0, "4.3.0")
    )


def _as_file(envelope: Envelope, body: Body, recipients: Iterable[Address]) -> Iterator[bytes]:
    """Yield the message with LF line ends, below the fields of final delivery (RFC 5321 section 4.4)."""
    delivered_to = "".join(f"Delivered-To: {recipient}\n" for recipient in recipients)
    yield f"Return-Path: <{envelope.sender or ''}>\n{delivered_to}".encode()
    held = b""
    for chunk in body.chunks():
        text = held + chunk
        # A CR at the end of a piece may be the first half of a CRLF.
        held = b"\r" if text.endswith(b"\r") else b""
        yield text.removesuffix(b"\r").replace(b"\r\n", b"\n")
    yield held
