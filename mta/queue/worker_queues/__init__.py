"""The queues of several workers: seen as one, and merged into the first."""
