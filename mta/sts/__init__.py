"""MTA-STS (RFC 8461): the policies by which domains demand TLS with a certificate, found, kept and renewed."""
