"""A message's way in the shared queue, from its claim to its settlement."""
