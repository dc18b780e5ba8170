"""Delivery to Maildirs of this host, and the aliases that lead elsewhere."""
