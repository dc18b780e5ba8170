"""SASL (RFC 4422) for both ends of a session, without I/O and without base64."""
