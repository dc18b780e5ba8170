"""More than one core: a parent, its workers, and what they tell each other."""
