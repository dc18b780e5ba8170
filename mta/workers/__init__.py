"""More than one core: a parent, its workers, and the limits that they share."""
