"""The queue that several relays share in a PostgreSQL database."""
