"""For the operator: the journal and the smtprelay command."""
