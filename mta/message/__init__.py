"""Messages: envelopes, bodies, outcomes, header fields and reports (RFC 5321, 5322, 3464)."""
