"""Explanations for an operator: of a message that is only described, and of one in the queue."""
