"""The texts of a header by which an operator recognizes a message: Message-ID, Subject and From, shortened and safe."""

from mta.message.encoded_words import decoded_text
from mta.message.headers import HeaderScan
from mta.smtp.address import printable

#: Characters that are kept of a Message-ID, and of Subject and From.
MAX_MESSAGE_ID = 250
MAX_TEXT = 200


def texts(found: HeaderScan) -> tuple[str, str, str]:
    """Return the Message-ID, the Subject and the From field, as the functions below do."""
    id_value, subject_value, author_value = found.message_id, found.subject, found.author
    # The values of most messages are short, plain and in ASCII. Together they cost a third of the functions below.
    if len(id_value) <= MAX_MESSAGE_ID and len(subject_value) <= MAX_TEXT and len(author_value) <= MAX_TEXT:
        id = id_value.strip(b"<>")
        octets = id + subject_value + author_value
        if octets.isascii():
            text, id_end = octets.decode(), len(id)
            subject_end = id_end + len(subject_value)
            # Not searched as octets, because `in` between bytes raises and catches an exception inside.
            if "=?" not in text and text.isprintable():
                return text[:id_end], text[id_end:subject_end], text[subject_end:]
    return message_id(found), subject(found), author(found)


def message_id(found: HeaderScan) -> str:
    """Return the Message-ID without its angle brackets; "" if there is none."""
    return printable(found.message_id[: MAX_MESSAGE_ID + 2].decode(errors="replace").strip("<>")[:MAX_MESSAGE_ID])


def subject(found: HeaderScan) -> str:
    """Return the Subject, decoded (RFC 2047); "" if there is none."""
    return printable(decoded_text(found.subject, MAX_TEXT))


def author(found: HeaderScan) -> str:
    """Return the From field, decoded (RFC 2047); "" if there is none."""
    return printable(decoded_text(found.author, MAX_TEXT))
