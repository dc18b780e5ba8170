"""The rules of an operator: patterns, conditions and decisions as values."""
