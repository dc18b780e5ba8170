"""The relay as the commands ask and order it: the one that runs, or the queue files of one that is stopped."""
