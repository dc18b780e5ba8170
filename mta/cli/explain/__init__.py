"""`smtprelay explain`: the relay's decisions on a message that is only described, and their reasons."""
