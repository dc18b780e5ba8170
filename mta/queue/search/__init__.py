"""Conditions by which an operator finds messages: their value, their meaning, and their words."""
