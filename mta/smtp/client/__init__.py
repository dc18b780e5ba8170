"""The client's end of an SMTP or LMTP session, without I/O."""
