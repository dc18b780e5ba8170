"""The events of messages, sent to a program of the operator: spooled on disk, signed, in order."""
