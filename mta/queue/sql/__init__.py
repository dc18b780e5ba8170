"""Parts that the queues in SQL databases share: statements by name, marks, values of rows, the delay of a commit."""
