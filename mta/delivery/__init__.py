"""From the queue to the remote host, with retries, throttling and reports."""
