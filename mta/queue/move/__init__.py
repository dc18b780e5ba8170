"""The move of a queue from QUEUE_DIR to a database that several relays share, and back."""
