"""The speed of sending: the pace that a destination's answers allow, and the rates that the operator's rules set."""
