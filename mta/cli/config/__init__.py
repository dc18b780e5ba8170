"""`smtprelay config`: the settings, their documentation, and rules made of other servers' files."""
