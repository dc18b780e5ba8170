"""Readers of settings that belong together, each with the notices about them."""
