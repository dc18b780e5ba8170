"""An operator's questions to the shared queue, and orders on its messages."""
