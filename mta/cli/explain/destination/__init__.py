"""`smtprelay explain DOMAIN`: the lines about a destination."""
