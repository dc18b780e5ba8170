"""Files of the queue: directory, permissions, free space, and the threads that wait for the disk."""
