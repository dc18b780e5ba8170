"""Submits one message to the relay on this host by SMTP: to all of its recipients, or to none."""

import os
import re
import smtplib
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from mta.cli.environment import introduce
from mta.cli.exim.sendmail_message import MessageText, with_author
from mta.cli.exim.sendmail_options import SendmailError
from mta.inbound.networks import TrustList
from mta.smtp.address import printable

_PATIENCE = 600.0
_RCPT_MAX = re.compile(r"(?:^|\s)RCPTMAX=([1-9][0-9]{0,8})(?!\S)", re.IGNORECASE)
# RFC 5321 section 4.5.3.1.8: any server takes as many.
_RECIPIENTS = 100


@dataclass(frozen=True, slots=True)
class RelayPort:
    """The place at which programs on this host reach the relay, and the hosts of which it expects a PROXY header."""

    host: str
    port: int
    balancers: TrustList


@dataclass(frozen=True, slots=True)
class UserMail:
    """A message of a user of this host. Addresses may be without a domain, which the relay adds."""

    sender: str
    recipients: Sequence[str]
    message: MessageText
    #: The name in a From field that is added if there is none.
    full_name: str = ""
    #: Parameters of MAIL and of each RCPT.
    mail_options: Sequence[str] = ()
    recipient_options: Sequence[str] = ()


class RelayClient(smtplib.SMTP):
    """A connection to the relay, which may have to begin with a PROXY header."""

    def __init__(self, place: RelayPort) -> None:
        self._balancers = place.balancers
        super().__init__(place.host, place.port, "localhost", _PATIENCE)

    def __exit__(self, *exc: object) -> None:
        # The outcome of the message is known, so an error at QUIT must not be taken for one of the message.
        with suppress(OSError, smtplib.SMTPException):
            self.quit()
        self.close()

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connection: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        introduce(connection, self._balancers)
        return connection


def submit(mail: UserMail, place: RelayPort) -> None:
    """Submit a message. Raises SendmailError, after which nobody gets it unless the text says otherwise.

    The status of the error is EX_TEMPFAIL if another try may succeed, and EX_UNAVAILABLE if the relay refuses for good.
    """
    with _session(place) as client:
        _send(client, mail)


def largest_message(place: RelayPort) -> int:
    """Return the octets of the largest message that the relay takes (RFC 1870). Raises SendmailError."""
    with _session(place) as client:
        features: dict[str, Any] = client.esmtp_features
        return int(features.get("size") or 0) or sys.maxsize


@contextmanager
def _session(place: RelayPort) -> Iterator[RelayClient]:
    """Yield a connection to the relay after EHLO; turn its errors into SendmailError."""
    try:
        client = RelayClient(place)
    except smtplib.SMTPResponseException as error:
        raise _refused(error) from None
    except (OSError, smtplib.SMTPException) as error:
        raise unreachable(place, error) from None
    try:
        with client:
            client.ehlo_or_helo_if_needed()
            yield client
    except smtplib.SMTPResponseException as error:
        raise _refused(error) from None
    except (OSError, smtplib.SMTPException) as error:
        words = "the connection to the relay was lost before it answered for the message, send it again"
        raise SendmailError(os.EX_TEMPFAIL, f"{words}: {_reason(error)}") from None


def unreachable(place: RelayPort, error: Exception) -> SendmailError:
    """Return an error about a relay that does not answer, or no longer."""
    where = f"{place.host} port {place.port}"
    return SendmailError(os.EX_TEMPFAIL, f"the relay cannot be reached at {where}, nothing was sent: {_reason(error)}")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error)


def _send(client: RelayClient, mail: UserMail) -> None:
    """Send a message in as many transactions as its recipients need."""
    message = _completed(client, mail).octets
    options = _mail_options(client, mail, message)
    recipients, limit = list(mail.recipients), _most_recipients(client)
    for start in range(0, len(recipients), limit):
        try:
            _transaction(client, mail, options, recipients[start : start + limit], message)
        except SendmailError as error:
            raise _cut_off(error, start) from None
        except smtplib.SMTPResponseException as error:
            raise _cut_off(_refused(error), start) from None


def _completed(client: RelayClient, mail: UserMail) -> MessageText:
    """Return the message with a From field. The relay adds the domain of its own name, with which its EHLO begins."""
    if not mail.sender:
        return mail.message
    name = _text(client.ehlo_resp or client.helo_resp or b"").partition(" ")[0]
    address = mail.sender if "@" in mail.sender else f"{mail.sender}@{name}"
    return with_author(mail.message, address, mail.full_name)


def _mail_options(client: RelayClient, mail: UserMail, message: bytes) -> list[str]:
    """Return the parameters of MAIL."""
    options = list(mail.mail_options)
    if client.has_extn("size"):
        options.append(f"SIZE={len(message)}")
    if not message.isascii():
        options.append("BODY=8BITMIME")
    if not all(address.isascii() for address in (mail.sender, *mail.recipients)):
        options.append("SMTPUTF8")
    return options


def _most_recipients(client: RelayClient) -> int:
    """Return the number of recipients that the relay takes in one transaction (RFC 9422)."""
    features: dict[str, Any] = client.esmtp_features
    found = _RCPT_MAX.search(features.get("limits", ""))
    return int(found[1]) if found else _RECIPIENTS


def _transaction(
    client: RelayClient, mail: UserMail, options: Sequence[str], recipients: Sequence[str], message: bytes
) -> None:
    """Send a message to recipients, or to none of them if one is refused. Raises SendmailError and smtplib's errors."""
    _expect(client.mail(mail.sender, options))
    replies = [(address, *client.rcpt(address, mail.recipient_options)) for address in recipients]
    refused = [(address, code, text) for address, code, text in replies if not 200 <= code < 300]
    if refused:
        client.rset()
        lines = [f"<{printable(address)}> refused: {code} {_text(text)}" for address, code, text in refused]
        if len(refused) < len(recipients):
            lines.append("nothing was sent, not to the other recipients either")
        raise _refusal([code for _, code, _ in refused], *lines)
    _expect(client.data(message))


def _expect(reply: tuple[int, bytes]) -> None:
    """Raise SMTPResponseException for a reply that refuses."""
    code, text = reply
    if not 200 <= code < 300:
        raise smtplib.SMTPResponseException(code, text)


def _refused(error: smtplib.SMTPResponseException) -> SendmailError:
    """Return an error about a reply to the session or the whole message."""
    return _refusal([error.smtp_code], f"refused: {error.smtp_code} {_text(error.smtp_error)}")


def _refusal(codes: Sequence[int], *lines: str) -> SendmailError:
    """Return an error about replies. Their status is temporary only if all of them are."""
    return SendmailError(os.EX_TEMPFAIL if all(code < 500 for code in codes) else os.EX_UNAVAILABLE, *lines)


def _cut_off(error: SendmailError, sent: int) -> SendmailError:
    """Return an error that tells how many recipients already have the message."""
    if not sent:
        return error
    return SendmailError(error.exit_code, *error.lines, f"the first {sent} recipients get the message nevertheless")


def _text(text: bytes | str) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return printable(" ".join(words.split()))
