"""Options and makeService for twistd: the only place that builds concrete things."""
