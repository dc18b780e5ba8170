"""The event log: one method an event, and the output that never blocks the relay."""
