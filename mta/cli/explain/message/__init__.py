"""`smtprelay explain ID`: one page about one message, from the queue files, the settings and the running relay."""
