"""An operator's questions to the queue file, and orders on its messages."""
