"""The server's end of an SMTP session, without I/O."""
