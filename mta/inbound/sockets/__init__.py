"""Listening sockets: bound, accepted from in small batches, balanced between processes."""
