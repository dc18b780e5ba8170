"""Reports on TLS (RFC 8460): sessions with MX hosts counted by day, and sent to the domains that ask for them."""
