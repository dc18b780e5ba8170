"""Delivers claimed messages: routes each recipient, sends groups to destinations and settles the results."""
