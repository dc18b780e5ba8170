"""The language: SMTP grammar and both ends of the dialogue, with no socket, clock or logger in sight."""
