"""What both edges share of the transport: nothing of ours is imported here."""
