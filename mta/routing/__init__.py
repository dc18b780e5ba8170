"""Where mail goes: recipient domain to an ordered list of routes."""
