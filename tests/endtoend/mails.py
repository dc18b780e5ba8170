"""Messages that are hard to carry unharmed."""

HEAD = (
    b"From: Sender <sender@sender.test>\r\n"
    b"To: Someone <someone@example.test>\r\n"
    b"Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n"
    b"Date: Sun, 22 Nov 2026 12:00:00 +0000\r\n"
    b"Message-ID: <%s@sender.test>\r\n"
)


def mail(token: str = "1", body: bytes = b"Hello\r\n") -> bytes:
    """Return a message with all required fields, so that the relay adds no field."""
    return HEAD % token.encode() + b"\r\n" + body


#: Dots where they hurt, folded and odd headers, 8-bit text, the longest line allowed, blank lines at both ends.
HARD = (
    HEAD % b"hard"
    + b"X-Folded: one\r\n\ttwo\r\n three\r\nX-Empty:\r\nX-Bcc: kept@example.test\r\nMIME-Version: 1.0\r\n"
    + b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    + b"\r\n.\r\n..\r\n.leading dot\r\n...\r\nFrom the start\r\n>From\r\n\t \r\n"
    + "Grüße aus Zürich ☃\r\n".encode()
    + b"x" * 998
    + b"\r\n"
    + b"trailing blanks  \r\n\r\n\r\n"
)
