"""The queue of a relay: its own in QUEUE_DIR, or the one at QUEUE_URL that several relays share."""
