"""The SMTP language: grammar, framing, and the machines of both ends of a session, without I/O."""
