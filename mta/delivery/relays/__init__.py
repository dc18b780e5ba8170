"""The limits of a destination over several relays that share a queue."""
