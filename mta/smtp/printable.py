"""What text of a stranger may show on one line."""


def printable(text: str) -> str:
    """Return text with `?` for each character that could end a line or hide what follows; as long as it came."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
