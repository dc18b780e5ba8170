"""The texts of a header by which an operator recognizes a message: Message-ID, Subject and From, shortened and safe."""

from mta.message.encoded_words import decoded_text
from mta.message.headers import HeaderScan
from mta.smtp.address import printable

#: Characters that are kept of a Message-ID, and of Subject and From.
MAX_MESSAGE_ID = 250
MAX_TEXT = 200


def message_id(found: HeaderScan) -> str:
    """Return the Message-ID without its angle brackets; "" if there is none."""
    return printable(found.message_id[: MAX_MESSAGE_ID + 2].decode(errors="replace").strip("<>")[:MAX_MESSAGE_ID])


def subject(found: HeaderScan) -> str:
    """Return the Subject, decoded (RFC 2047); "" if there is none."""
    return printable(decoded_text(found.subject, MAX_TEXT))


def author(found: HeaderScan) -> str:
    """Return the From field, decoded (RFC 2047); "" if there is none."""
    return printable(decoded_text(found.author, MAX_TEXT))
