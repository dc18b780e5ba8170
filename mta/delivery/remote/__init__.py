"""Delivery to a remote host: connections, SMTP and LMTP transactions, and the walk over the hosts."""
