"""Figures of the relay for Prometheus, and the answers that tell whether it is alive and ready."""
