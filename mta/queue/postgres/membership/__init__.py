"""The relays that share a queue: their signs of life, the takeover of a dead one, common tasks, wake-ups."""
