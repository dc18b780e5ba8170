"""`smtprelay queue`: shows and changes the queues of all workers."""
